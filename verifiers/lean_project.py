"""A Lean 4 project on this machine: its toolchain, its REPL, its libraries; what is missing.

The project is a built Lake project (with Mathlib, for MiniF2F). Where it also has the REPL of
leanprover-community, as a dependency or built beside it, proofs go to that; otherwise to the
toolchain's `lean`, as files. Nothing is built or downloaded here, and Lake itself is not run:
what it would put into the environment is worked out from the folders.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

GET_LEAN = (
    "install elan (https://github.com/leanprover/elan), make a project with Mathlib "
    "(lake +leanprover-community/mathlib4:lean-toolchain new NAME math; lake exe cache get), "
    "and give the folder as `lean_project` or ORCH_LEAN_PROJECT"
)
GET_REPL = (
    "add https://github.com/leanprover-community/repl to its dependencies, at the tag of its Lean "
    "version, and run `lake build repl` there"
)
_REPLS = (
    ".lake/packages/REPL/.lake/build/bin/repl",
    ".lake/packages/repl/.lake/build/bin/repl",
    ".lake/build/bin/repl",
)
_LIBRARIES = (".lake/build/lib/lean", ".lake/build/lib")


SYSTEM_LIBRARIES = tuple(one for one in (Path("/lib64"), Path("/lib")) if one.is_dir())
"""What every program needs to be started at all."""


class LeanMissing(Exception):
    """Something needed to check Lean proofs is not there; says what and how to get it."""


@dataclass(frozen=True, slots=True)
class LeanProject:
    """How to start a Lean that knows the project's libraries."""

    root: Path
    command: tuple[str, ...]
    programs: tuple[Path, ...]
    """Files and folders that the command may execute and read."""
    environment: Mapping[str, str]
    toolchain: str
    """The version, for the verdict's record."""
    form: Literal["repl", "file"] = "repl"
    """Whether the command speaks the REPL's protocol, or reads one file from stdin and prints its
    messages as JSON, one to a line."""
    asks_axioms: bool = True
    """False for a Lean that cannot tell a proof's axioms: its verdicts say so. No project that is
    found on a machine has it."""


def find_project(path: Path | None = None) -> LeanProject:
    """The project at `path`, or the one that ORCH_LEAN_PROJECT names; raises LeanMissing."""
    if path is None:
        named = os.environ.get("ORCH_LEAN_PROJECT")
        if not named:
            raise LeanMissing(f"Lean proofs need a Lean project: {GET_LEAN}.")
        path = Path(named)
    root = path.expanduser().resolve()
    version_file = root / "lean-toolchain"
    if not version_file.is_file():
        raise LeanMissing(f"{root} is no Lean project (it has no lean-toolchain): {GET_LEAN}.")
    version = version_file.read_text(encoding="utf-8").strip()
    toolchain = _toolchain(version)
    repl = next((root / one for one in _REPLS if (root / one).is_file()), None)
    packages = [root, *sorted((root / ".lake" / "packages").glob("*"))]
    libraries = [one / place for one in packages for place in _LIBRARIES]
    shown = [str(one) for one in libraries if one.is_dir()]
    environment = {"LEAN_SYSROOT": str(toolchain), "LEAN_PATH": ":".join(shown)}
    if repl is None:
        command = (str(toolchain / "bin" / "lean"), "--stdin", "--json")
        programs: tuple[Path, ...] = (toolchain, *SYSTEM_LIBRARIES)
        return LeanProject(root, command, programs, environment, version, "file")
    programs = (toolchain, repl.parent, *SYSTEM_LIBRARIES)
    return LeanProject(root, (str(repl),), programs, environment, version)


def _toolchain(version: str) -> Path:
    home = Path(os.environ.get("ELAN_HOME", "~/.elan")).expanduser()
    folder = home / "toolchains" / version.replace("/", "--").replace(":", "---")
    if not (folder / "bin" / "lean").exists():
        raise LeanMissing(
            f"the Lean toolchain {version} is not installed ({folder} is not there): "
            f"elan toolchain install {version}."
        )
    return folder.resolve()
