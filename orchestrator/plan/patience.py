"""A limit on how long something of the main thread may take, whatever it is doing."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


class TooSlow(Exception):
    """It took longer than it may."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TooSlow in the body once it has taken so long; in another thread than the main, never.

    A regular expression is interrupted as well: its engine looks for signals now and then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    rung = False

    def ring(_number: int, _frame: object) -> None:
        nonlocal rung
        rung = True
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Exception:
        # What was interrupted may have made an error of its own of it, as numpy does.
        if rung:
            raise TooSlow from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
