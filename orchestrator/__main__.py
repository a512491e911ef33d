"""`python -m orchestrator` is `orch`.

SIGTERM ends with 130 from the first line on to the last: nothing is imported before that is seen
to, and on the way out nothing of Python's own says otherwise.
"""

import atexit
import os
import signal

HEEDED = (signal.SIGTERM, signal.SIGINT)


def leave(_number: int, _frame: object) -> None:
    """Nothing is open, yet or any more, that would have to be closed."""
    os._exit(130)


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
        os._exit(130)
    finally:
        heed(leave)


if __name__ == "__main__":
    main()
