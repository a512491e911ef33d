"""Lays out the zygote's memory so that a fork touches few pages, most of what judging costs.

A fork copies an entry for every page of the zygote, and every page that a sample's process then
writes. So the zygote imports little, and what a sample allocates lies side by side.
"""

from __future__ import annotations

import gc
from typing import Any

from verifiers.sandbox.kernel import Kernel

_POOL, _FIRST_BLOCK = 1 << 14, 48
_SMALLEST_BYTES, _LARGEST = 33, 512


def settle(kernel: Kernel) -> list[Any]:
    """Collect and freeze all objects, and open a fresh pool for every small size of object.

    What a sample then allocates lies side by side instead of in holes all over the heap. The
    returned list holds what fills the holes; keep it.
    """
    gc.collect()
    kernel.trim_heap()
    held: list[Any] = []
    for size in range(48, _LARGEST + 1, 16):
        _fill(held, bytes, size - _SMALLEST_BYTES)
    _fill(held, float, "0.5")
    _fill(held, object)
    gc.freeze()
    return held


def _fill(held: list[Any], make: Any, *how: Any) -> None:
    """Allocate until an object is the first of its pool; CPython's pools are of 16 KiB."""
    for _ in range(_POOL):
        made = make(*how)
        held.append(made)
        if id(made) % _POOL == _FIRST_BLOCK:
            return
