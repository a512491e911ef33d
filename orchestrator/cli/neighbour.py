"""Notices when a neighbour's package of the same name was imported in place of ours.

PyPI has other packages that install a top-level `verifiers`; in a shared environment the last
one installed wins.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from orchestrator.errors import ConfigError

OURS = ("budgets", "verifiers", "providers")


def refuse_shadowed_packages() -> None:
    """Raise ConfigError where one of our packages is not our own."""
    home = Path(__file__).resolve().parents[2]
    for name in OURS:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if found is None or found.parent.parent != home:
            raise ConfigError(
                f"The package {name!r} that Python finds is not orch's own but "
                f"{found or 'missing'}: another distribution shadows it. Install orch in an "
                "environment of its own, for example with pipx or `uv tool`."
            )
