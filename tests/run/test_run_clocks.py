"""A wall clock that is set while a server is paid by the hour: the cap and the books hold.

The clock is shifted with libfaketime (Debian: libfaketime), found at its usual place or where
ORCH_LIBFAKETIME says; the clock that counts is left alone, as it is on a real machine.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyed import keyed_server

from budgets.ledger import Ledger
from budgets.money import PICO
from orchestrator.store.reader import RunReader
from tests.run.conftest import environment

LIBRARY = os.environ.get("ORCH_LIBFAKETIME") or next(
    map(str, Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), ""
)
needs_library = pytest.mark.skipif(not LIBRARY, reason="libfaketime is not installed")
CAP = 45
"""Dollars, and at 3,600 an hour also seconds."""


@contextlib.contextmanager
def started(folder: Path, url: str, shift: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """`orch run` under a wall clock that `shift` moves; ended when the block is left."""
    env = environment(
        LD_PRELOAD=LIBRARY, FAKETIME_TIMESTAMP_FILE=str(shift), FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1",
        # Or else waits by the other clock, Python's own for its lock among them, take seconds.
        FAKETIME_FORCE_MONOTONIC_FIX="0",
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "run", *more, "--base-url", url, "--yes"],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def fresh(cap: int) -> list[str]:
    return [
        "--provider", "compatible", "--model", "some-model", "--task", "arithmetic", "--gpu-hour",
        "3600", "--budget", str(cap), "--samples", "100000", "--name", "r", "--max-concurrent", "1",
    ]  # fmt: skip


def books(run: Path):
    with contextlib.closing(RunReader(run)) as reader:
        return Ledger.read(reader.events()).totals()


def begun(process: subprocess.Popen[str], run: Path) -> float:
    """When the first answer was stored, by a clock that nobody sets."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(sqlite3.Error):
            address = f"file:{run / 'run.db'}?mode=ro"
            with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
                if db.execute("SELECT count(*) FROM answers").fetchone()[0]:
                    return time.monotonic()
        time.sleep(0.05)
    raise AssertionError(process.communicate(timeout=5))


@needs_library
@pytest.mark.slow
@pytest.mark.parametrize("steps", [["-3600"], ["+3600"], ["-86400", "+86400"], ["+2", "-2", "+5"]])
def test_a_clock_that_is_set_while_a_server_is_held(steps, tmp_path):
    shift = tmp_path / "shift"
    shift.write_text("+0")
    with keyed_server(delay_s=0.05) as server:
        since = time.monotonic()
        with started(tmp_path, server.url, shift, *fresh(CAP)) as process:
            begun(process, tmp_path / "runs/r")
            for step in steps:
                shift.write_text(step)
                time.sleep(3)
            _, err = process.communicate(timeout=240)
        held_s = time.monotonic() - since
    assert process.returncode == 3, err
    totals = books(tmp_path / "runs/r")
    assert totals.settled + totals.uncertain <= CAP * PICO
    # The server answered for less time than was paid for, and for most of what the cap pays.
    asked_s = server.times[-1] - server.times[0]
    assert CAP - 25 <= asked_s <= totals.settled / PICO <= held_s
    assert "the wall clock was set" in err
    shown = subprocess.run(
        [sys.executable, "-m", "orchestrator", "report", "r"], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert "the wall clock was set" in " ".join(shown.stdout.split())


@needs_library
@pytest.mark.slow
@pytest.mark.parametrize("step", ["-3600", "+3600", "-86400", "+86400"])
def test_a_clock_that_is_set_between_a_crash_and_its_resume(step, tmp_path):
    shift, run = tmp_path / "shift", tmp_path / "runs/r"
    shift.write_text("+0")
    with keyed_server(delay_s=0.05) as server:
        with started(tmp_path, server.url, shift, *fresh(500)) as process:
            begun(process, run)
            process.kill()
            process.communicate()
        killed = time.monotonic()
        time.sleep(25)
        shift.write_text(step)
        with started(tmp_path, server.url, shift, "--resume", "r", "--samples", "1") as resumed:
            _, err = resumed.communicate(timeout=240)
        assert resumed.returncode == 0, err
        gone_s = time.monotonic() - killed
        held_s = server.times[-1] - server.times[0]
    totals = books(run)
    # Until somebody looked again nobody let the server go: that time counts, no more and no less.
    assert 25 <= totals.uncertain / PICO <= gone_s + 20
    assert held_s <= (totals.settled + totals.uncertain) / PICO <= gone_s + held_s + 20


@needs_library
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("steps", [["-3600", "+3600"], ["+7200", "-7200"], ["-600", "-1200"]])
def test_a_cap_holds_over_crashes_and_steps_together(steps, tmp_path):
    """Crash, set the clock, go on, set it again, crash, ...: until the cap is reached."""
    shift, run, cap = tmp_path / "shift", tmp_path / "runs/r", 120
    shift.write_text("+0")
    words = fresh(cap)
    with keyed_server(delay_s=0.05) as server:
        for step in steps:
            with started(tmp_path, server.url, shift, *words) as process:
                answered = server.answered
                while server.answered < answered + 20 and process.poll() is None:
                    time.sleep(0.05)
                process.kill()
                process.communicate()
            shift.write_text(step)
            words = ["--resume", "r"]
        with started(tmp_path, server.url, shift, *words) as process:
            time.sleep(8)
            shift.write_text("+0")
            _, err = process.communicate(timeout=300)
        held_s = server.times[-1] - server.times[0]
    assert process.returncode == 3, err
    totals = books(run)
    assert totals.settled / PICO <= held_s + 20 * (1 + len(steps))
    assert held_s <= (totals.settled + totals.uncertain) / PICO <= cap
