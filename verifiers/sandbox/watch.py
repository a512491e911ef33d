"""What a sample's processes use, read from outside while they run.

In a jail the parent holds the jail's own /proc, which shows the sample and nothing else; in the
other tiers the sample's processes are the zygote's descendants in the host's /proc. Memory is
anonymous and shared memory beyond what the zygote had; pages that forked processes share are
counted once where the kernel lets us see them (Pss), else once each.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass

_NOISE_MB = 256
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(slots=True)
class Use:
    """A reading: seconds, tasks (threads included), and how to ask for more."""

    cpu_s: float = 0.0
    tasks: int = 0
    pids: tuple[int, ...] = ()
    age_s: float = 0.0
    """Since the oldest of the sample's processes began; 0 before it has, and after it ended."""


class CellWatch:
    """Reads one cell. `proc` is a descriptor of a /proc; `zygote` its pid there."""

    def __init__(self, proc: int, zygote: int, alone: bool) -> None:
        self.proc, self.zygote, self.alone = proc, zygote, alone
        self.base_kb = self._own_kb(zygote)

    def _read(self, name: str) -> bytes:
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.proc)
        try:
            return os.read(handle, 1 << 16)
        finally:
            os.close(handle)

    def _stat(self, pid: int) -> list[bytes]:
        try:
            text = self._read(f"{pid}/stat")
        except OSError:
            return []  # it ended between the listing and the reading
        return text[text.rindex(b")") + 2 :].split()

    def use(self) -> Use:
        """CPU seconds and tasks of the sample now. Ended and reaped children count."""
        stats = {}
        for name in os.listdir(self.proc):
            if name.isdigit() and (fields := self._stat(int(name))):
                stats[int(name)] = fields
        mine = set(stats) - {self.zygote} if self.alone else _descendants(stats, self.zygote)
        found = Use(pids=tuple(mine))
        if mine:
            oldest = min(int(stats[pid][19]) for pid in mine) / _TICKS
            found.age_s = max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - oldest)
        for pid in mine:
            fields = stats[pid]
            if fields[0] != b"Z":
                found.tasks += int(fields[17])
            found.cpu_s += sum(map(int, fields[11:15])) / _TICKS
        return found

    def _own_kb(self, pid: int) -> int:
        try:
            text = self._read(f"{pid}/status")
        except OSError:
            return 0
        return sum(
            int(line.split()[1])
            for line in text.splitlines()
            if line.startswith((b"RssAnon:", b"RssShmem:"))
        )

    def _fair_kb(self, pid: int) -> int | None:
        try:
            text = self._read(f"{pid}/smaps_rollup")
        except OSError:
            return None
        return sum(
            int(line.split()[1])
            for line in text.splitlines()
            if line.startswith((b"Pss_Anon:", b"Pss_Shmem:"))
        )

    def memory_mb(self, pids: tuple[int, ...], limit_mb: int) -> float:
        """Memory of the sample in MiB; read with care only where a quick sum passes the limit."""
        quick = sum(max(0, self._own_kb(pid) - self.base_kb) for pid in pids) / 1024
        if quick <= limit_mb or len(pids) == 1:
            return quick
        fair = [self._fair_kb(pid) for pid in pids]
        if None in fair:
            return quick
        return max(0, sum(kb or 0 for kb in fair) - self.base_kb) / 1024

    def deleted_mb(self, pids: tuple[int, ...], scratch: str) -> float:
        """Size of files on the scratch directory's file system that are open and have no name.

        Zero where the kernel does not let us look (as root without CAP_SYS_PTRACE); `Free` then
        bounds them from the file system's own count.
        """
        place = os.stat(scratch).st_dev
        sizes: dict[int, int] = {}
        for pid in pids:
            try:
                names = os.listdir(f"/proc/self/fd/{self.proc}/{pid}/fd")
            except OSError:
                continue
            for name in names:
                try:
                    held = os.stat(f"{pid}/fd/{name}", dir_fd=self.proc)
                except OSError:
                    continue  # closed meanwhile
                if held.st_nlink == 0 and held.st_dev == place and stat.S_ISREG(held.st_mode):
                    sizes[held.st_ino] = held.st_blocks * 512
        return sum(sizes.values()) / (1 << 20)

    def starved_s(self, pids: tuple[int, ...]) -> float:
        """The longest time that one of the sample's tasks was ready but had no processor."""
        longest = 0
        for pid in pids:
            try:
                for task in os.listdir(f"/proc/self/fd/{self.proc}/{pid}/task")[:64]:
                    longest = max(
                        longest, int(self._read(f"{pid}/task/{task}/schedstat").split()[1])
                    )
            except (OSError, IndexError):
                continue  # ended, or a kernel without schedstat: no credit then
        return longest / 1e9


class Free:
    """Watches a file system's free space, which others use as well: a bound, not a measure."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.before = self._free_mb()

    def _free_mb(self) -> float:
        held = os.statvfs(self.place)
        return held.f_bfree * held.f_frsize / (1 << 20)

    def beyond(self, limit_mb: float) -> bool:
        """Whether clearly more than the limit went since the start."""
        return self.before - self._free_mb() > limit_mb + _NOISE_MB


def _descendants(stats: dict[int, list[bytes]], ancestor: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(int(fields[1]), []).append(pid)
    found: set[int] = set()
    wanted = list(children.get(ancestor, ()))
    while wanted:
        pid = wanted.pop()
        if pid not in found:
            found.add(pid)
            wanted += children.get(pid, ())
    return found
