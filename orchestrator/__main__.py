"""`python -m orchestrator` is `orch`.

SIGTERM ends with 130 from the first line on: nothing is imported before that is seen to.
"""

import os
import signal


def leave(_number: int, _frame: object) -> None:
    """Nothing is open yet that would have to be closed."""
    os._exit(130)


def main() -> None:
    """Entry point of the `orch` command."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)
    try:
        from orchestrator.cli import main as orch

        orch()
    except KeyboardInterrupt:
        # While something was said of the first one, or on the way out.
        os._exit(130)


if __name__ == "__main__":
    main()
