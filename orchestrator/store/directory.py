"""The run directory and its exclusive lock.

`runs/<name>/` holds study.toml (resolved, can be run again), run.db (the only truth),
summary.json and logs/. One orch holds a run at a time. SQLite's write-ahead log is not safe on
network file systems, so those are refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal, TextIO

from orchestrator.errors import ConfigError
from orchestrator.store.migrations import migrate
from orchestrator.store.schema import SEAL
from orchestrator.store.whole import BEGUN

LOCK_PATIENCE_S = 3.0

NETWORK_FILE_SYSTEMS = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ncpfs", "afs", "ceph", "lustre", "gpfs",
    "beegfs", "glusterfs", "pvfs2", "orangefs", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse",
    "fuse.glusterfs", "fuse.rclone", "fuse.ceph-fuse", "fuse.juicefs",
}  # fmt: skip


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, from the text of /proc/self/mounts."""
    target = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_unescaped(fields[1]))
        if (target == point or point in target.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind


def _unescaped(text: str) -> str:
    """A mount point as written: octal escapes stand for spaces and the like, the rest is UTF-8."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def refuse_network_file_system(path: Path) -> None:
    """Raise ConfigError where the run database would not be safe."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    kind = file_system_of(path, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ConfigError(
            f"{path} lies on a network file system ({kind}), where the run database is not safe; "
            "use --out with a directory on a local disk and copy the run afterwards."
        )


State = Literal["free", "cut", "begun", "used"]
"""What a directory is to a new run. free: absent or empty. cut: a creation that was killed, with
nothing in it. begun: one that may hold money already, but no study yet. used: anything else."""

_FIRST_FILES = {"lock", "logs", "study.toml", "run.db"}
_DATABASE = ("run.db", "run.db-wal", "run.db-shm", "run.db-journal")


def state_of(directory: Path) -> State:
    """What `directory` is to a new run; reads only."""
    if not directory.is_dir():
        return "used" if directory.exists() else "free"
    names = {path.name for path in directory.iterdir()} - _begun(directory)
    if not names:
        return "free"
    if names - _FIRST_FILES - set(_DATABASE) - {SEAL}:
        return "used"
    path = directory / "run.db"
    if not path.exists():
        return "cut"
    try:
        with closing(sqlite3.connect(path)) as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
                return "cut"
            if db.execute("SELECT 1 FROM meta WHERE key = 'identity'").fetchone() is None:
                return "begun"
    except sqlite3.Error:
        pass
    return "used"


def _begun(directory: Path) -> set[str]:
    """Studies that a killed creation had not written whole."""
    return {path.name for path in directory.glob(f"study.toml.*{BEGUN}")}


def clear_cut(directory: Path) -> None:
    """Take away the database that a killed creation began; under the run's lock."""
    for name in (*_DATABASE, SEAL, *_begun(directory)):
        (directory / name).unlink(missing_ok=True)


class RunLock:
    """The exclusive hold on a run directory, for as long as this process lives.

    Whoever holds a run finds its database at the newest schema. Somebody else's hold is waited out
    for a few seconds; `say` gets a line then.
    """

    _file: TextIO

    def __init__(self, directory: Path, say: Callable[[str], None] = lambda _: None) -> None:
        try:
            self._file = (directory / "lock").open("a+")
        except OSError as error:
            raise ConfigError(
                f"{directory} cannot be written ({error.strerror}); correct its owner or "
                "permissions, or give another --out."
            ) from None
        if not self._held_within(LOCK_PATIENCE_S, directory, say):
            holder = self._holder
            self._file.close()
            raise ConfigError(
                f"{directory} is held by {holder}; wait for it to end, or end it, then try again."
            )
        # Who holds it stands there for people; where it is no regular file, nothing can.
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.write(str(os.getpid()))
            self._file.flush()
        if (directory / "run.db").exists() and state_of(directory) != "cut":
            with contextlib.ExitStack() as unless_migrated:
                unless_migrated.callback(self.release)
                migrate(directory / "run.db")
                unless_migrated.pop_all()

    def _held_within(self, patience_s: float, directory: Path, say: Callable[[str], None]) -> bool:
        until, said = time.monotonic() + patience_s, False
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > until:
                    return False
            else:
                return True
            if not said:
                said = True
                say(f"{directory} is held by {self._holder}; waiting for it.")
            time.sleep(0.1)

    @property
    def _holder(self) -> str:
        self._file.seek(0)
        number = self._file.read(20).strip()
        return f"another orch{f' (process {number})' if number else ''}"

    def release(self) -> None:
        self._file.close()
