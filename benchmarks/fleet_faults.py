"""A whole `orch run` over simulated servers: one is killed, one hangs, one fails, one is late.

    python -m benchmarks.fleet_faults [--scale 2] [--problems 200] [--samples 100]

Real processes, real HTTP. Seven servers at the start, named in a file: after a fifth of the least
time the first is killed (SIGKILL), the second stopped (SIGSTOP, and never goes on) and the third
answers 500 for a sixth of it; then an eighth is added to the file. Says how many samples there
are, whether every slot is there once under one seed, what the ledger says, and the time against
what the servers that were there could have done.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path

from benchmarks.fleet_balance import ROOT, N, start
from budgets.ledger import Ledger
from orchestrator.store.reader import RunReader


def become(url: str, state: str) -> None:
    request = urllib.request.Request(
        f"{url}/become", json.dumps({"state": state}).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    urllib.request.urlopen(request).read()


def capacity(url: str) -> float:
    return float(json.load(urllib.request.urlopen(f"{url}/stats"))["tokens_s"])


def command(place: Path, file: Path, problems: int, samples: int) -> list[str]:
    task = place / "task.jsonl"
    rows = [{"id": f"p{i}", "prompt": f"p{i}", "answer": "1"} for i in range(problems)]
    task.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        sys.executable, "-m", "orchestrator", "run", "--provider", "local", "--model", "sim",
        "--servers", str(file), "--task", str(task), "--samples", str(samples),
        "--max-tokens", "1024", "--n-per-request", str(N), "--gpu-hour", "1", "--budget", "50",
        "--display", "none", "--prompt-style", "completion", "--out", str(place), "--name", "run",
    ]  # fmt: skip


def first_answer(run: Path) -> float:
    """When the first request was sent, as soon as one was answered."""
    while True:
        time.sleep(0.2)
        try:
            with closing(sqlite3.connect(run / "run.db")) as database:
                (at,) = database.execute("SELECT min(sent_at) FROM answers").fetchone()
        except sqlite3.OperationalError:
            continue
        if at is not None:
            return float(at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=2.0)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--samples", type=int, default=100)
    arguments = parser.parse_args()
    servers = start([arguments.scale] * 8)
    urls = [url for _, url in servers]
    each = capacity(urls[0])
    least_s = arguments.problems * arguments.samples * 200 / (8 * each)
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        place, file = Path(folder), Path(folder) / "servers.txt"
        file.write_text("".join(f"{url}/v1\n" for url in urls[:7]))
        going = subprocess.Popen(
            command(place, file, arguments.problems, arguments.samples), cwd=ROOT,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            began = first_answer(place / "run")
            time.sleep(least_s / 5)
            broke = time.time()
            servers[0][0].kill()
            os.kill(servers[1][0].pid, signal.SIGSTOP)
            become(urls[2], "failing")
            time.sleep(least_s / 6)
            become(urls[2], "up")
            mended = time.time()
            file.write_text("".join(f"{url}/v1\n" for url in urls))
            _, said = going.communicate()
        finally:
            going.kill()
            for process, _ in servers:
                process.kill()
                process.wait()
        print(f"exit code {going.returncode}")
        print("".join(f"  {line}\n" for line in said.splitlines() if "put aside" in line), end="")
        tell(place / "run", arguments.problems, arguments.samples, began, broke, mended, each)


def tell(
    run: Path, problems: int, samples: int, began: float, broke: float, mended: float, each: float
) -> None:
    with closing(sqlite3.connect(run / "run.db")) as database:
        (slots,) = database.execute("SELECT count(*) FROM samples").fetchone()
        (tokens, end) = database.execute(
            "SELECT sum(output_tokens), max(sent_at + latency_s) FROM answers"
        ).fetchone()
        odd = database.execute("SELECT count(*) - count(DISTINCT request) FROM answers").fetchone()[
            0
        ]
        (seeds, requests) = database.execute(
            "SELECT count(DISTINCT seed), count(*) FROM requests"
        ).fetchone()
        tries = database.execute("SELECT ending, count(*) FROM served GROUP BY ending").fetchall()
        kinds = database.execute("SELECT kind, count(*) FROM samples GROUP BY kind").fetchall()
    with closing(RunReader(run)) as reader:
        money = Ledger.read(reader.events()).totals()
    there_s = 4 * (end - began) + 2 * (broke - began) + (broke - began) + (end - mended)
    there_s += end - mended
    print(f"slots {slots} of {problems * samples}, requests answered twice {odd}, kinds {kinds}")
    print(f"seeds {seeds} for {requests} requests; tries by ending {tries}")
    print(
        f"ledger: settled {money.settled}, uncertain {money.uncertain}, reserved {money.reserved}"
    )
    print(f"{end - began:.1f} s; {there_s * each / tokens:.3f} x what was there")


if __name__ == "__main__":
    main()
