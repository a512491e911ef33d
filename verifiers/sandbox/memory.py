"""Lays out the zygote's memory so that a fork touches few pages, most of what judging costs.

Every page that a sample's process writes is copied, and every page of program text that it runs is
looked up again, because a fork copies no page-table entries of files. Nothing here changes what a
sample may do; where a step is refused, forks are merely slower.
"""

from __future__ import annotations

import ctypes
import gc
from itertools import count
from typing import Any

_POOL, _FIRST_BLOCK = 1 << 14, 48
_SMALLEST_BYTES, _LARGEST = 33, 512
_READ, _WRITE, _EXECUTE, _PRIVATE_ANONYMOUS = 1, 2, 4, 0x22
_MAY_MOVE_TO_FIXED = 3
_INTERPRETER = ("libpython", "/python", "/libc.so", "/libc-", "/ld-")


def keep_text_in_memory() -> int:
    """Replace the interpreter's mapped program text by an equal copy in memory of our own.

    A fork copies the page-table entries of such memory, and none of a file's. Returns the bytes
    that were replaced: 0 where /proc or the system's policy (no executable memory) forbids it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
    done = 0
    for low, high in _text():
        size = high - low
        copy = libc.mmap(
            None, ctypes.c_size_t(size), _READ | _WRITE, _PRIVATE_ANONYMOUS, -1, ctypes.c_long(0)
        )
        if copy is None or copy == ctypes.c_void_p(-1).value:
            return done
        ctypes.memmove(copy, low, size)
        words = ctypes.c_void_p(copy), ctypes.c_size_t(size)
        if libc.mprotect(*words, _READ | _EXECUTE) != 0:
            libc.munmap(*words)
            return done
        # One system call, so that no instruction of ours ever finds the place empty.
        libc.mremap(*words, ctypes.c_size_t(size), _MAY_MOVE_TO_FIXED, ctypes.c_void_p(low))
        done += size
    return done


def _text() -> list[tuple[int, int]]:
    """Address ranges of the interpreter's and the C library's program text."""
    found = []
    try:
        with open("/proc/self/maps") as maps:
            lines = maps.read().splitlines()
    except OSError:
        return []
    for line in lines:
        words = line.split(None, 5)
        if len(words) == 6 and words[1] == "r-xp" and any(n in words[5] for n in _INTERPRETER):
            low, _, high = words[0].partition("-")
            found.append((int(low, 16), int(high, 16)))
    return found


def settle() -> list[Any]:
    """Collect and freeze all objects, and open a fresh pool for every small size of object.

    What a sample then allocates lies side by side instead of in holes all over the heap. The
    returned list holds what fills the holes; keep it.
    """
    gc.collect()
    held: list[Any] = []
    for size in range(48, _LARGEST + 1, 16):
        _fill(held, bytes, size - _SMALLEST_BYTES)
    _fill(held, float, "0.5")
    _fill(held, object)
    gc.freeze()
    return held


def _fill(held: list[Any], make: Any, *how: Any) -> None:
    """Allocate until an object is the first of its pool; CPython's pools are of 16 KiB."""
    for _ in zip(range(_POOL), count(), strict=False):
        made = make(*how)
        held.append(made)
        if id(made) % _POOL == _FIRST_BLOCK:
            return
