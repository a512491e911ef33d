"""Which clock counts what.

Time that is paid for is counted by `held_s`: it never steps, and it goes on while a laptop sleeps,
as the server that is held does. The wall clock can be set by anybody at any moment; it serves for
dates, and for what must still be understood after the machine was started anew.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Elsewhere than on Linux the monotonic clock is the nearest that there is.
_HELD = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Moment(NamedTuple):
    """A moment that another process on this machine can compare with one of its own."""

    boot: str
    """Which start of the machine; marks of another one cannot be compared. "": unknown."""
    held_s: float


def held_s() -> float:
    """Seconds on a clock that counts sleep and cannot be set."""
    return time.clock_gettime(_HELD)


def mark() -> Moment:
    """This moment."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        boot = ""
    return Moment(boot, held_s())
