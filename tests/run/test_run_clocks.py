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


def start(folder: Path, url: str, shift: Path, *more: str) -> subprocess.Popen[str]:
    env = environment(
        LD_PRELOAD=LIBRARY, FAKETIME_TIMESTAMP_FILE=str(shift), FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1",
    )  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "run", *more, "--base-url", url, "--yes"],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


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
        started = time.monotonic()
        process = start(tmp_path, server.url, shift, *fresh(CAP))
        begun(process, tmp_path / "runs/r")
        for step in steps:
            shift.write_text(step)
            time.sleep(3)
        _, err = process.communicate(timeout=120)
        held_s = time.monotonic() - started
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
@pytest.mark.parametrize("step", ["-3600", "+3600"])
def test_a_clock_that_is_set_between_a_crash_and_its_resume(step, tmp_path):
    shift, run = tmp_path / "shift", tmp_path / "runs/r"
    shift.write_text("+0")
    with keyed_server(delay_s=0.05) as server:
        process = start(tmp_path, server.url, shift, *fresh(500))
        begun(process, run)
        process.kill()
        process.communicate()
        killed = time.monotonic()
        time.sleep(25)
        shift.write_text(step)
        resumed = start(tmp_path, server.url, shift, "--resume", "r", "--samples", "1")
        _, err = resumed.communicate(timeout=120)
        assert resumed.returncode == 0, err
        gone_s = time.monotonic() - killed
    totals = books(run)
    # Until somebody looked again nobody let the server go: that time counts, no more and no less.
    assert 25 <= totals.uncertain / PICO <= gone_s + 5
