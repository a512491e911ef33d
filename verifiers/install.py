"""How to install what an extra brings, in words that work in any environment."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires

DISTRIBUTION = "orch-sampling"


def install_command(extra: str) -> str:
    """The command that installs the packages of an extra for this interpreter.

    Packages are named, since orch itself may have been installed from anywhere.
    """
    try:
        wanted = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return f"install what the extra {extra!r} names in orch's pyproject.toml"
    packages = []
    for requirement in wanted:
        name, _, condition = requirement.partition(";")
        if f"extra == '{extra}'" in condition.replace('"', "'"):
            packages.append(name.strip())
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])
