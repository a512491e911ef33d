"""The crash matrix: signals at seeded moments over every command that touches a run.

ORCH_CRASHES=FROM-TO chooses the rounds (docs/reliability.md); each begins where the one before
left off, and what must hold is looked at after every one.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.audit.check import check_run
from tests.run.conftest import PRICES, environment
from tests.run.test_run_money import arguments, check_books, slots

FIRST, LAST = map(int, os.environ.get("ORCH_CRASHES", "0-40").split("-"))
PROBLEMS, DEPTH = 20, 24


def marked(mark: str) -> list[int]:
    """The processes that still run with our mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
            if mark.encode() in path.read_bytes() and state != "Z":
                found.append(int(path.parent.name))
    return found


def strike(process: subprocess.Popen[str], mark: str, rng: random.Random) -> str:
    """Do one thing to a command under way; says what."""
    how = rng.choice(["KILL", "KILL", "TERM", "TERM", "INT", "INT twice", "TERM twice", "child"])
    if how == "child":
        others = [pid for pid in marked(mark) if pid != process.pid]
        if others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(others), signal.SIGKILL)
        return how
    number = getattr(signal, f"SIG{how.split()[0]}")
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
        if how.endswith("twice"):
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(number)
    return how


ALLOWED = {
    # What ended before the signal came has a code of its own.
    "KILL": {-9},
    "TERM": {130},
    "INT": {130},
    "child": {130},
}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_signals_at_any_moment_cost_nothing(serve, tmp_path):
    server = serve()
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    run = tmp_path / "runs/r"
    tally = Counter[str]()

    def words(number: int, how: str) -> list[str]:
        """The command of a round: each wants more than the one before."""
        depth = DEPTH + 8 * (number - FIRST)
        more = {"samples": depth, "budget": "20", "name": "r", "max-concurrent": "64"}
        given = [str(part) for part in arguments(server, prices, **more)]
        place = given.index("--name")
        return ["run", *given[:place], f"--{how}", "r", *given[place + 2 :]]

    for number in range(FIRST, LAST):
        rng = random.Random(number)
        mark = f"ORCH_TEST_MARK={uuid.uuid4().hex}"
        exists = (run / "run.db").exists()
        command = rng.choice(["resume"] * 5 + ["verify", "report", "check"]) if exists else "run"
        whole = (run / "study.toml").exists()
        started = (
            words(number, "resume" if exists and whole else "name")
            if command in ("run", "resume")
            else [command, str(run)]
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *map(str, started)], cwd=tmp_path,
            env=environment(**dict([mark.split("=")])), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(rng.uniform(0, 12.0))
        how = strike(process, mark, rng)
        try:
            if how == "child":
                # Whatever it was, the command goes on or ends by itself; then it is ended.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5)
                process.terminate()
            out, err = process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"round {number}: {command} did not end after {how}")
        code, kind = process.returncode, how.split()[0]
        where = (number, command, how, code, err[-1500:])
        if ("orchestrator/" not in err and code in (-2, -15)) or "Fatal Python error: init" in err:
            # The interpreter itself was starting: no line of ours had run.
            tally[f"{command}, {how}: before the first line"] += 1
            continue
        assert "Traceback" not in err + out, where
        assert code in ALLOWED.get(kind, set()) | {0, 1, 3, 4}, where
        tally[f"{command}, {how}: {code}"] += 1
        print(number, command, how, code, flush=True)
        deadline = time.monotonic() + 20
        while left := marked(mark):
            assert time.monotonic() < deadline, (where, left)
            time.sleep(0.1)
        if (run / "run.db").exists():
            found = check_run(run).findings
            assert not found or (code == -9 and not (run / "study.toml").exists()), (where, found)
    print("\n".join(f"{count:4} {name}" for name, count in sorted(tally.items())))
    how = "resume" if (run / "run.db").exists() else "name"
    process = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words(LAST, how)],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert slots(run) == [
        (p, s) for p in range(PROBLEMS) for s in range(DEPTH + 8 * (LAST - FIRST))
    ]
    check_books(server, run, "20")
    assert not check_run(run).findings
