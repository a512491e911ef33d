"""How soon the first request leaves, and how much of the loop the live view takes.

    python benchmarks/dispatch_start.py [--rounds 5]

first     seconds from the start of `orch run` to its first request's arrival at a server, less
          those of a process that only imports the official SDK of the lane (for the fast lane:
          that only starts Python): medians. Wanted: at most 0.5 s
drawing   CPU seconds of the event loop's thread that went into the live view, of all those
          between the first and the last answer, with the live display forced on, at 100 requests
          in flight against a server that answers at once. Wanted: at most 5 %

The exit status is 1 where a line is not reached.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dispatch_peers import ROOT, Server, orch_command

WATCH = """
import sys, time
from rich.live import Live
import orchestrator.session.progress as progress
import orchestrator.engine.engine as engine

drawn = whole = 0.0
table, update, run = progress.Progress._table, Live.update, engine.Engine.run

def timed(call):
    def measured(*given, **named):
        global drawn
        began = time.thread_time()
        try:
            return call(*given, **named)
        finally:
            drawn += time.thread_time() - began
    return measured

async def session(self):
    global whole
    began = time.thread_time()
    try:
        await run(self)
    finally:
        whole = time.thread_time() - began

progress.Progress._table = timed(table)
Live.update = timed(update)
engine.Engine.run = session
from orchestrator.cli import main
try:
    main()
finally:
    print(drawn, whole, file=sys.stdout)
"""
"""The command itself, with a stopwatch around what draws."""

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "LINES": "40"}


def seconds(command: list[str]) -> float:
    """Wall seconds of a whole process."""
    began = time.perf_counter()
    subprocess.run(command, check=True, env=ENVIRONMENT)
    return time.perf_counter() - began


def first_request(name: str, server: Server) -> float:
    """Seconds from the start of `orch run` to the arrival of its first request."""
    server.stats()
    with tempfile.TemporaryDirectory() as folder:
        command = orch_command(name, f"{server.origin}/v1", 200, 10, Path(folder))
        began = time.time()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=ENVIRONMENT)
    return server.stats()["first_at"] - began


def first(rounds: int) -> bool:
    fine = True
    server = Server()
    try:
        for name, imports in (
            ("orch", "pass"),
            ("orch (SDK)", "import openai, openai.resources.chat"),
        ):
            starts, bases = [], []
            for _ in range(rounds):
                bases.append(seconds([sys.executable, "-c", imports]))
                starts.append(first_request(name, server))
            extra = statistics.median(starts) - statistics.median(bases)
            print(
                f"{name}: first request {statistics.median(starts):.2f} s after the start, "
                f"`{imports}` alone {statistics.median(bases):.2f} s: {extra:.2f} s beyond it "
                "(wanted: 0.5)"
            )
            fine &= extra <= 0.5
    finally:
        server.stop()
    return fine


def drawing(rounds: int) -> bool:
    shares = []
    server = Server()
    try:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                given = orch_command("orch", f"{server.origin}/v1", 10_000, 100, Path(folder))
                given[given.index("--display") + 1] = "live"
                command = [sys.executable, "-c", WATCH, *given[3:]]
                environment = ENVIRONMENT | {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}
                ended = subprocess.run(
                    command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment
                )
            drawn, whole = map(float, ended.stdout.splitlines()[-1].split())
            shares.append(drawn / whole)
    finally:
        server.stop()
    share = statistics.median(shares)
    print(f"drawing: {share:.1%} of the loop's CPU time (wanted: 5 %)")
    return share <= 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="first,drawing")
    arguments = parser.parse_args()
    lines = {"first": first, "drawing": drawing}
    reached = [lines[name](arguments.rounds) for name in arguments.only.split(",")]
    sys.exit(0 if all(reached) else 1)


if __name__ == "__main__":
    main()
