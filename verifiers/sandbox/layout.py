"""Where an interpreter and the packages that a cell may see lie on this machine.

A cell sees the standard library and the shared libraries it needs, and of site-packages only
what it is given by name: an environment also holds test sets and their solutions.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from verifiers.sandbox.limits import SandboxFault
from verifiers.sandbox.staging import reachable, staged

_ASK = """
import sys, json, ctypes, _ctypes, _socket, zlib
lines = [l.split(None, 5) for l in open('/proc/self/maps') if '.so' in l and '/' in l]
libraries = {words[5].strip() for words in lines}
print(json.dumps([sys.version_info[:2], sys.path, sorted(libraries)]))
"""
_LIBRARY_DIRECTORIES = (
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/lib64",
)
_LINKS = ("/lib", "/lib64", "/bin", "/sbin", "/usr/lib64")
_NOT_LIBRARY = ("site-packages", "dist-packages", "__pycache__")


@dataclass(frozen=True, slots=True)
class Layout:
    """One interpreter as a cell sees it."""

    python: str
    bind: tuple[str, ...]
    """Directories (and links) that a jail shows."""
    hide: tuple[str, ...]
    """Directories below those that a jail covers with nothing."""
    read: tuple[str, ...]
    """The same, as Landlock must hear it: what may be read."""
    names: tuple[str, ...]
    """Directories that may be listed."""
    standard: tuple[str, ...]
    """The directories of the standard library."""

    def moved(self) -> tuple[Layout, tuple[str, ...]]:
        """This layout with unreachable directories replaced by copies, and the replacements."""
        pairs = {p: staged(p) for p in self.standard if not reachable(p)}

        def move(path: str) -> str:
            for old, new in pairs.items():
                if path == old or path.startswith(old + "/"):
                    return new + path[len(old) :]
            return path

        read = tuple(dict.fromkeys(map(move, self.read)))
        names = tuple(map(move, self.names))
        flat = tuple(p for pair in pairs.items() for p in pair)
        return replace(self, read=read, names=names), flat


@lru_cache(maxsize=8)
def interpreter(python: str | None = None) -> Layout:
    """The layout of `python` (default: the one that runs this). SandboxFault if it is unfit."""
    executable = python or str(getattr(sys, "_base_executable", sys.executable))
    try:
        answer = subprocess.run(
            [executable, "-S", "-s", "-P", "-B", "-c", _ASK],
            env={},
            capture_output=True,
            timeout=30,
            check=True,
        ).stdout
        version, path, libraries = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError) as fault:
        raise SandboxFault(
            f"the interpreter {executable} cannot be used in the sandbox ({fault}): "
            "give another one, Python 3.11 or newer"
        ) from None
    if version < [3, 11]:
        raise SandboxFault(f"{executable} is Python {version}: the sandbox needs 3.11 or newer")
    standard = [p for p in map(os.path.realpath, path) if Path(p).is_dir()]
    standard = [p for p in standard if not any(p.startswith(o + "/") for o in standard)]
    shared = {os.path.realpath(Path(library).parent) for library in libraries}
    shared |= {os.path.realpath(p) for p in _LIBRARY_DIRECTORIES if Path(p).is_dir()}
    shared = {p for p in shared if not any(p == s or p.startswith(s + "/") for s in standard)}
    hide = [f"{p}/{n}" for p in standard for n in _NOT_LIBRARY[:2] if Path(p, n).is_dir()]
    read, names = [], list(standard)
    for directory in (*standard, *sorted(shared)):
        children = sorted(child.name for child in Path(directory).iterdir())
        if "python3" in "".join(children) or directory in standard:
            names.append(directory)
            kept = [c for c in children if c not in _NOT_LIBRARY]
            kept = [c for c in kept if directory in standard or not c.startswith("python")]
            read += [f"{directory}/{c}" for c in kept]
            read += [f"{p}/__pycache__" for p in standard if p == directory]
        else:
            read.append(directory)
    bind = [*standard, *sorted(shared), *(p for p in _LINKS if Path(p).is_symlink())]
    extra = ("/usr/share/zoneinfo",)
    present = [p for p in extra if Path(p).exists()]
    return Layout(
        executable, (*bind, *present), tuple(hide), (*read, *present), tuple(names), tuple(standard)
    )


def package_paths(*distributions: str) -> tuple[Path, ...]:
    """The directories and modules of installed distributions and all that they require.

    What they need behind extras must be named too: ("math-verify", "antlr4-python3-runtime").
    Give them to `Sandbox(paths=...)`. SandboxFault names a distribution that is not installed.
    """
    wanted, seen, found = list(distributions), set[str](), dict[Path, None]()
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name in [d.lower().replace("_", "-") for d in distributions]:
                raise SandboxFault(f"{name} is not installed: pip install {name}") from None
            continue  # an optional requirement that is not there
        for file in package.files or ():
            top = Path(str(package.locate_file(file.parts[0])))
            if file.parts[0] not in ("..", "__pycache__") and top.exists():
                found[top] = None
        wanted += [_bare_name(text) for text in package.requires or () if "extra ==" not in text]
    return tuple(found)


@lru_cache(maxsize=16)
def scientific(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paths of those of the named packages that are installed, and what to import beforehand."""
    paths = dict[str, None]()
    for name in names:
        try:
            paths.update((str(path), None) for path in package_paths(name))
        except SandboxFault:
            continue  # the sample's import will fail, as it would anywhere without the package
    has_numpy = any(Path(path).name == "numpy" for path in paths)
    return tuple(paths), ("numpy",) if has_numpy else ()


def _bare_name(requirement: str) -> str:
    end = next((i for i, c in enumerate(requirement) if not (c.isalnum() or c in "-_.")), None)
    return requirement[:end]


def import_roots(paths: Sequence[str]) -> tuple[str, ...]:
    """What to put on sys.path so that the given packages and directories can be imported."""
    roots = dict[str, None]()
    for path in paths:
        place = Path(path)
        is_package = place.is_file() or (place / "__init__.py").exists()
        is_package = is_package or place.suffix in (".libs", ".dist-info")
        is_package = is_package or place.parent.name in ("site-packages", "dist-packages")
        roots[str(place.parent if is_package else place)] = None
    return tuple(roots)
