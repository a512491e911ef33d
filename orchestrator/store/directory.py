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
from pathlib import Path

from orchestrator.errors import ConfigError
from orchestrator.store.migrations import migrate

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


class RunLock:
    """The exclusive hold on a run directory, for as long as this process lives.

    Whoever holds a run finds its database at the newest schema.
    """

    def __init__(self, directory: Path) -> None:
        try:
            self._file = (directory / "lock").open("a+")
        except OSError as error:
            raise ConfigError(
                f"{directory} cannot be written ({error.strerror}); correct its owner or "
                "permissions, or give another --out."
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip()
            self._file.close()
            raise ConfigError(
                f"{directory} is held by another orch{f' (process {holder})' if holder else ''}; "
                "wait for it to end, or end it, then try again."
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        if (directory / "run.db").exists():
            with contextlib.ExitStack() as unless_migrated:
                unless_migrated.callback(self.release)
                migrate(directory / "run.db")
                unless_migrated.pop_all()

    def release(self) -> None:
        self._file.close()
