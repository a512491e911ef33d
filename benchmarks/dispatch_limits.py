"""How far one `orch run` goes: many choices a request, many requests in flight, long plans.

    python benchmarks/dispatch_limits.py [--only choices,in-flight,memory,failures]

choices    n=20 per request against a server that answers at once: samples stored per CPU second,
           imports taken off by the difference of two runs
in-flight  5,000 and 10,000 requests at once against a server that answers after 5 s: all answered,
           how many were open at once as the server counted, the peak memory, what each request
           waited beyond the 5 s, and how long beyond the ideal the whole took
memory     peak memory of a plan of 10,000 samples and of one of 1,000,000 over a recording, with
           n=10 in both and with the n that is chosen unasked
failures   auto concurrency against a server that takes 2 s, on which 2 of 100 requests fail at
           random: by 500, and by 429 with Retry-After; wall time beside that without failures

Every run is the whole command: priced, ledger, store, verifier, progress. The exit status is 1
where a line is not reached.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dispatch_peers import ROOT, Server, orch_command

DELAY_S = 5.0


@dataclass
class Run:
    wall_s: float
    cpu_s: float
    peak_mib: float
    report: dict[str, object]


def run(command: list[str]) -> Run:
    """One `orch run` with its own resource usage."""
    before = os.times()
    process = subprocess.Popen(
        [*command, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None and process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"orch run failed ({process.returncode}):\n{err.decode()[-3000:]}")
    wall_s = os.times().elapsed - before.elapsed
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.loads(out))


def choices(folder: Path) -> bool:
    server = Server()
    try:
        small, large = (
            run(
                orch_command("orch", f"{server.origin}/v1", samples, 100, folder / str(samples), 20)
            )
            for samples in (20_000, 200_000)
        )
    finally:
        server.stop()
    rate = (200_000 - 20_000) / (large.cpu_s - small.cpu_s)
    print(f"n=20: {rate:.0f} samples stored per CPU second (wanted: 10000)")
    return rate >= 10_000


def in_flight(folder: Path) -> bool:
    fine = True
    for level in (5_000, 10_000):
        server = Server("--delay", str(DELAY_S))
        try:
            url = f"{server.origin}/v1"
            rounds = 2
            done = run(orch_command("orch", url, level * rounds, level, folder / str(level), 1))
            told = server.stats()
        finally:
            server.stop()
        answered = int(told["requests"])
        late_s = told["seconds"] - rounds * DELAY_S
        half, most = added_latency(folder / str(level))
        print(
            f"{level} in flight against {DELAY_S:g} s: {answered} of {level * rounds} answered, "
            f"{int(told['most_at_once'])} at once, answers {half:.2f} s late (median; 99 of 100 "
            f"below {most:.2f} s), the whole {late_s:.1f} s beyond {rounds * DELAY_S:g} s, "
            f"{done.peak_mib:.0f} MiB (wanted: all, below 500)"
        )
        fine &= answered == level * rounds and done.peak_mib < 500
        fine &= int(told["most_at_once"]) == level
    return fine


def added_latency(folder: Path) -> tuple[float, float]:
    """Seconds beyond the server's own: median and 99th percentile, from the run's database."""
    (database,) = folder.glob("runs/*/run.db")
    with contextlib.closing(sqlite3.connect(database)) as db:
        took = [row[0] for row in db.execute("SELECT latency_s FROM answers")]
    cuts = statistics.quantiles(took, n=100)
    return cuts[49] - DELAY_S, cuts[98] - DELAY_S


def memory(folder: Path) -> bool:
    rows = [
        {
            "id": f"p{i}",
            "prompt": f"What is 6 times 7? {i}",
            "n": 10_000,
            "c": 100 + i,
            "right": "42",
            "wrong": "41",
            "output_tokens": 200,
        }
        for i in range(100)
    ]
    recording = folder / "recording.json"
    recording.write_text(json.dumps(rows))
    return all([flat(folder, recording, rows, n) for n in (10, "auto")])


def flat(folder: Path, recording: Path, rows: list[dict[str, object]], n: int | str) -> bool:
    peaks = {}
    for samples in (10_000, 1_000_000):
        place = folder / f"{samples}-{n}"
        command = orch_command("orch", str(recording), samples, 100, place, n)
        command[command.index("--provider") + 1] = "replay"
        task = Path(command[command.index("--task") + 1])
        task.write_text(
            "\n".join(
                json.dumps({"id": row["id"], "prompt": row["prompt"], "answer": "42"})
                for row in rows
            )
        )
        peaks[samples] = run(command).peak_mib
    grown = peaks[1_000_000] / peaks[10_000] - 1
    print(
        f"n {n}: a plan of 10,000 samples: {peaks[10_000]:.0f} MiB; of 1,000,000: "
        f"{peaks[1_000_000]:.0f} MiB, {grown:+.0%} (wanted: within 10 %)",
        flush=True,
    )
    return grown <= 0.10


FAILURES = {"none": (), "500": ("--fail", "500"), "429": ("--fail", "429")}
SHARE = 0.02


def failures(folder: Path) -> bool:
    took = {}
    for name, how in FAILURES.items():
        share = ("--fail-share", str(SHARE)) if how else ()
        server = Server("--delay", "2", *how, *share)
        try:
            place = folder / name
            command = orch_command("orch", f"{server.origin}/v1", 40_000, 100, place, 1)
            command[command.index("--max-concurrent") + 1] = "auto"
            took[name] = run(command).wall_s
        finally:
            server.stop()
    kept = {name: took["none"] / wall for name, wall in took.items() if name != "none"}
    for name, share in kept.items():
        print(
            f"{SHARE:.0%} of {name} at random: {share:.0%} of the throughput without "
            f"({took[name]:.0f} s and {took['none']:.0f} s; wanted: 85 %)",
            flush=True,
        )
    return all(share >= 0.85 for share in kept.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="choices,in-flight,memory,failures")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    lines = {"choices": choices, "in-flight": in_flight, "memory": memory, "failures": failures}
    reached = []
    for name in arguments.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            reached.append(lines[name](Path(folder)))
    sys.exit(0 if all(reached) else 1)


if __name__ == "__main__":
    main()
