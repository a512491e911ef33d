"""`python -m orchestrator` is `orch`.

SIGTERM ends with 130 from the first line on to the last: nothing is imported before that is seen
to, and on the way out nothing of Python's own says otherwise.
"""

import atexit
import contextlib
import os
import signal
import sys

INTERRUPTED = 130
HEEDED = (signal.SIGTERM, signal.SIGINT)


def leave(_number: int, _frame: object) -> None:
    """Nothing is open, yet or any more, that would have to be closed."""
    os._exit(INTERRUPTED)


def heed(how: object) -> None:
    """Do so at the signals that are not ignored."""
    for number in HEEDED:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, how)  # type: ignore[arg-type]


def main() -> None:
    """Entry point of the `orch` command."""
    heed(leave)
    # Called last of all: what has ended keeps its exit code while Python takes itself down.
    atexit.register(heed, signal.SIG_IGN)
    try:
        from orchestrator.cli import main as orch

        orch()
    except KeyboardInterrupt:
        # While something was said of the first one, or on the way out.
        os._exit(INTERRUPTED)
    except SystemExit as leaving:
        if leaving.code != INTERRUPTED:
            raise
        # A Ctrl-C that was caught while a text was being executed (as data classes are, when they
        # are imported) stays in Python's mind, which would end by its signal all the same.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(INTERRUPTED)
    finally:
        heed(leave)


if __name__ == "__main__":
    main()
