"""Puts the interpreter's code on huge pages, which a fork inherits with one entry each.

Otherwise every sample's process looks up its interpreter's code anew, some sixty page faults, and
takes a thousand entries down at its end: a tenth of what judging a small program costs. Done once
by the zygote, before it confines itself, and only as far as it is certain to help: where the
kernel gives no huge page, the code stays where it is. The price is that much memory per cell,
which the page cache otherwise shares.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from verifiers.sandbox.kernel import MADV_HUGEPAGE, PROT_EXEC, PROT_READ, Kernel

SIZE = 2 << 20


def spread_code(kernel: Kernel) -> int:
    """Move what can be moved of the interpreter's code; the number of huge pages that hold it."""
    if kernel.machine != "x86_64":
        return 0  # elsewhere copied code needs more care than has been tried
    moved = 0
    try:
        for start in _windows(*_code_span()):
            if not _moved(kernel, start):
                break
            moved += 1
    except OSError:
        pass  # no /proc to look at, or one that does not tell
    return moved


def _code_span() -> tuple[int, int]:
    """Where the file that holds the interpreter's code is mapped and never written."""
    code = ctypes.cast(ctypes.pythonapi.Py_Main, ctypes.c_void_p).value or 0
    low, high, found = 0, 0, b""
    spans = list(_file_mappings())
    for start, end, file in spans:
        if start <= code < end:
            found = file
    for start, end, file in spans:
        if file == found and high in (0, start):
            low, high = low or start, end
    return low, high


def _file_mappings() -> Iterator[tuple[int, int, bytes]]:
    """Start, end and file of what is mapped from files and cannot be written."""
    with open("/proc/self/maps", "rb") as maps:
        for line in maps:
            span, mode, *more = line.split(None, 5)
            if len(more) == 4 and b"w" not in mode:
                start, end = (int(edge, 16) for edge in span.split(b"-"))
                yield start, end, more[3]


def _windows(low: int, high: int) -> range:
    return range(-(-low // SIZE) * SIZE, high - SIZE + 1, SIZE)


def _moved(kernel: Kernel, start: int) -> bool:
    """Replace the huge page's worth of memory at `start` by an equal huge page, if there is one."""
    before = _huge_kb()
    place = _aligned_room(kernel)
    try:
        kernel.advise(place, SIZE, MADV_HUGEPAGE)
        ctypes.memmove(place, start, SIZE)
        if _huge_kb() - before >= SIZE >> 10:
            kernel.protect(place, SIZE, PROT_READ | PROT_EXEC)
            kernel.move(place, SIZE, start)
            return True
    except OSError:
        pass  # a policy against it: memory that was written shall not be executed
    kernel.unmap(place, SIZE)
    return False


def _aligned_room(kernel: Kernel) -> int:
    room = kernel.map_memory(2 * SIZE)
    place = -(-room // SIZE) * SIZE
    for start, end in ((room, place), (place + SIZE, room + 2 * SIZE)):
        if start < end:
            kernel.unmap(start, end - start)
    return place


def _huge_kb() -> int:
    with open("/proc/self/smaps_rollup", "rb") as sums:
        return sum(int(line.split()[1]) for line in sums if line.startswith(b"AnonHugePages:"))
