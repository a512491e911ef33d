"""Copies of libraries that a cell's unprivileged uid could not reach where they lie.

Only needed as root and without mount namespaces: an interpreter under root's home directory, say.
A copy is made once, belongs to root, is never writable by others, and is found again by a name
made from what it is a copy of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from verifiers.sandbox.limits import SandboxFault

_LEFT_OUT = ("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter",
             "turtledemo", "ensurepip", "lib2to3", "config-3*")  # fmt: skip
_MOST_BYTES = 3 << 30


def reachable(path: str) -> bool:
    """Whether a uid that owns nothing can open `path`, by the mode bits of it and its parents."""
    place = Path(path)
    try:
        own = place.stat().st_mode
        if not own & stat.S_IROTH or (stat.S_ISDIR(own) and not own & stat.S_IXOTH):
            return False
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in place.resolve().parents)
    except OSError:
        return False


def staged(path: str, library: bool = True) -> str:
    """`path` itself where it can be reached, else a copy of it that can.

    `library` leaves out what no sample needs of a standard library. SandboxFault where the copy
    cannot be made.
    """
    if reachable(path):
        return path
    source = Path(path)
    # Siblings stay siblings: compiled packages find their libraries beside them.
    print_of = f"{source.parent}\0{source.parent.stat().st_mtime_ns}\0{library}"
    shelf = _shelf() / hashlib.sha256(print_of.encode()).hexdigest()[:20]
    shelf.mkdir(mode=0o755, exist_ok=True)
    target = shelf / source.name
    if not target.exists():
        _copy(source, target, library)
    return str(target)


def _shelf() -> Path:
    for parent in (Path("/var/tmp"), Path(tempfile.gettempdir()), Path("/dev/shm")):
        shelf = parent / "orch-staged"
        try:
            shelf.mkdir(mode=0o755, exist_ok=True)
            held = shelf.lstat()
        except OSError:
            continue  # a read-only file system
        ours = held.st_uid == os.getuid() and not held.st_mode & 0o022 and shelf.is_dir()
        if ours and all(p.stat().st_mode & stat.S_IXOTH for p in shelf.parents):
            return shelf
    raise SandboxFault(
        "the interpreter's library lies where an unprivileged user cannot read it, and no "
        "temporary directory can take a copy: use an interpreter outside root's home directory"
    )


def _copy(source: Path, target: Path, library: bool) -> None:
    """Copy beside the final place, then rename, so that no half copy is ever used."""
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    made = work / source.name
    try:
        if source.is_dir():
            if not library and sum(f.lstat().st_size for f in source.rglob("*")) > _MOST_BYTES:
                raise SandboxFault(f"{source} is too large to be copied for the sandbox: move it")
            ignore = shutil.ignore_patterns(*_LEFT_OUT) if library else None
            shutil.copytree(source, made, ignore=ignore)
            for place in (made, *made.rglob("*")):
                place.chmod(0o755 if place.is_dir() else 0o644)
        else:
            shutil.copy2(source, made)
            made.chmod(0o644)
        try:
            made.rename(target)
        except OSError:
            if not target.exists():  # else another process was quicker
                raise
    finally:
        shutil.rmtree(work)
