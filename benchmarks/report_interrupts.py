"""Ctrl-C in a real terminal while a run of millions is read: how soon it ends, and what it leaves.

    python -m benchmarks.report_interrupts FOLDER [SECONDS,...]

FOLDER is one that `benchmarks.report_million` made. Each command is struck so many seconds after
its start (default 5). Printed: the seconds until it had ended, its exit code, its last words, and
every file in FOLDER but the runs.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

COMMANDS = (
    ("report", "million"),
    ("report", "million", "--html", "x.html"),
    ("export", "jsonl", "million", "-o", "x.jsonl"),
    ("export", "parquet", "million", "-o", "x.parquet"),
    ("samples", "million", "--grep", "no such text at all"),
    ("samples", "million"),
)


def struck(folder: Path, command: tuple[str, ...], after_s: float) -> None:
    child, terminal = pty.fork()
    if child == 0:
        # A shell that starts us in the background would have it ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.chdir(folder)
        os.environ["PAGER"] = "cat"
        os.execv(sys.executable, [sys.executable, "-m", "orchestrator", *command])
    said, began, at = b"", time.monotonic(), 0.0
    while True:
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                said += os.read(terminal, 65536)
            except OSError:
                break
        if not at and time.monotonic() - began > after_s:
            os.write(terminal, b"\x03")
            at = time.monotonic()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    took = f"{time.monotonic() - at:.2f} s" if at else "ended before"
    left = sorted(path.name for path in folder.iterdir() if path.name != "runs")
    print(f"{' '.join(command)}: {took}, exit {code}, {said[-60:]!r}, left {left}", flush=True)


def main() -> None:
    for after in map(float, (sys.argv[2] if len(sys.argv) > 2 else "5").split(",")):
        for command in COMMANDS:
            struck(Path(sys.argv[1]), command, after)


if __name__ == "__main__":
    main()
