"""A module of ours as a process of its own: the very package that this file belongs to.

Whatever the working directory or another installation holds. Standard library alone, since a guard
must come up in a moment.
"""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_BOOT = (
    "import sys; root = sys.argv.pop(1); root in sys.path or sys.path.insert(0, root); "
    "from {module} import main; main()"
)


def command_of(module: str) -> tuple[str, ...]:
    """The command line that calls `main` of a module; arguments may follow."""
    return sys.executable, "-P", "-c", _BOOT.format(module=module), str(_ROOT)
