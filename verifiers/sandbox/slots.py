"""Unused uids and scratch directories for cells.

As root every cell gets a uid of its own, from a block that no account, no subordinate range and
no running process uses, and that this process holds by a lock, so that the kernel's count of a
uid's processes is the count of one sample.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from verifiers.sandbox import child
from verifiers.sandbox.limits import SandboxFault

_BLOCK = 64
_PREFERRED = range(1_960_000_000, 1_960_000_000 + 512 * _BLOCK, _BLOCK)
_IN_A_CONTAINER = range(50_000, 60_000 - _BLOCK, _BLOCK)
_SETTLING_S = 10.0  # between a directory's making and its locking
_LOCKS = "/run/orch-cells"


class Slots:
    """Hands out uids and scratch directories; `close` gives everything back."""

    def __init__(self) -> None:
        self.root = os.getuid() == 0
        self._lock: int | None = None
        self._free: list[int] = []
        self._held: set[int] = set()
        self._scratch: Path | None = None
        self._scratch_lock: int | None = None
        self._made = 0

    def take_uid(self) -> int | None:
        """An unused uid as root, else None. SandboxFault where no block is free."""
        if not self.root:
            return None
        if self._lock is None:
            self._take_block()
        if not self._free:
            raise SandboxFault(f"more than {_BLOCK} cells at once: lower the number of jobs")
        uid = self._free.pop(0)
        self._held.add(uid)
        return uid

    def give_back(self, uid: int | None) -> None:
        if uid in self._held:
            self._held.discard(uid)
            self._free.append(uid)

    def _take_block(self) -> None:
        mapped = _mapped_ranges()
        used = _used_uids()
        locks = _lock_directory()
        for start in (*_PREFERRED, *_IN_A_CONTAINER):
            block = range(start, start + _BLOCK)
            if not any(low <= start and start + _BLOCK <= high for low, high in mapped):
                continue
            if any(uid in used for uid in block) or any(
                start < high and low < start + _BLOCK for low, high in _subordinate_ranges()
            ):
                continue
            handle = os.open(locks / str(start), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(handle)
                continue
            self._lock, self._free = handle, list(block)
            return
        raise SandboxFault("no block of unused user ids is free for the sandbox's cells")

    def make_scratch(self, uid: int | None) -> str:
        """A new directory that only the cell's uid may enter (for tiers without a jail)."""
        if self._scratch is None:
            shared = Path("/dev/shm")
            where = shared if os.access(shared, os.W_OK | os.X_OK) else None
            self._scratch = Path(tempfile.mkdtemp(prefix="orch-cell-", dir=where))
            self._scratch.chmod(0o711)
            self._scratch_lock = _lock(self._scratch)
            _remove_abandoned(self._scratch.parent)
        self._made += 1
        place = self._scratch / str(self._made)
        place.mkdir(mode=0o700)
        if uid is not None:
            os.chown(place, uid, uid)
        return str(place)

    def remove_scratch(self, place: str) -> None:
        if self._scratch is not None and place.startswith(f"{self._scratch}/"):
            child.empty_directory(place)
            Path(place).rmdir()

    def close(self) -> None:
        if self._scratch is not None:
            for place in self._scratch.iterdir():
                child.empty_directory(str(place))
            shutil.rmtree(self._scratch)
            self._scratch = None
            if self._scratch_lock is not None:
                os.close(self._scratch_lock)
                self._scratch_lock = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(directory: Path) -> int | None:
    """A descriptor that holds the directory's lock until this process ends; None if it is held."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle
    except OSError:
        os.close(handle)
        return None


def _remove_abandoned(parent: Path) -> None:
    """Remove scratch directories of processes that were killed before they could do it."""
    for place in parent.glob("orch-cell-*"):
        try:
            held = place.lstat()
            young = time.time() - held.st_mtime < _SETTLING_S
            if held.st_uid != os.getuid() or young or (handle := _lock(place)) is None:
                continue
        except OSError:
            continue  # another process removed it meanwhile
        for inner in place.iterdir():
            child.empty_directory(str(inner))
        shutil.rmtree(place, ignore_errors=True)
        os.close(handle)


def _mapped_ranges() -> list[tuple[int, int]]:
    """The uids that exist in this user namespace, as half-open ranges."""
    rows = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return [(int(first), int(first) + int(count)) for first, _, count in rows]


def _used_uids() -> set[int]:
    used = {account.pw_uid for account in pwd.getpwall()}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                used.add(entry.stat().st_uid)
            except OSError:
                continue  # it ended meanwhile
    return used


def _subordinate_ranges() -> Iterator[tuple[int, int]]:
    for name in ("/etc/subuid", "/etc/subgid"):
        try:
            lines = Path(name).read_text().splitlines()
        except OSError:
            continue  # not every system has them
        for line in lines:
            parts = line.split(":")
            if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
                yield int(parts[1]), int(parts[1]) + int(parts[2])


def _lock_directory() -> Path:
    for place in (Path(_LOCKS), Path(tempfile.gettempdir(), "orch-cells")):
        try:
            place.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue  # a read-only /run
        held = place.lstat()
        if held.st_uid == 0 and held.st_mode & 0o077 == 0 and place.is_dir():
            return place
    raise SandboxFault(f"neither {_LOCKS} nor the temporary directory takes the sandbox's locks")
