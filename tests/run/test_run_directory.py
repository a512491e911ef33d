"""What happens to a run directory under a run: removed, locked, copied, cut at its creation."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.run.test_run_money import wait_for_sampling

SLOW = ["--samples", "100000", "--name", "r", "--display", "plain"]


def db(path: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(path))


def samples(run: Path) -> int:
    """How many samples the database file has by itself."""
    with contextlib.suppress(sqlite3.Error), db(run / "run.db") as found:
        return int(found.execute("SELECT count(*) FROM samples").fetchone()[0])
    return 0


@pytest.mark.parametrize("how", ["removed", "replaced", "database removed", "lock removed"])
def test_a_directory_that_goes_away_ends_the_run(how, start_orch, tmp_path):
    run = tmp_path / "runs/r"
    process = start_orch("run", "--provider", "local", *SLOW)
    wait_for_sampling(process, run, 8)
    if how == "removed":
        shutil.rmtree(run)
    elif how == "replaced":
        run.rename(tmp_path / "aside")
        run.mkdir()
    else:
        (run / ("run.db" if how == "database removed" else "lock")).unlink()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 4, err
    assert "moved, removed or replaced" in err and "Traceback" not in err


def test_a_lock_held_by_another_program_is_waited_out(start_orch, tmp_path):
    run = tmp_path / "runs/r"
    process = start_orch(
        "run", "--provider", "local", "--samples", "300", "--limit", "8", "--name", "r",
        "--display", "plain",
    )  # fmt: skip
    wait_for_sampling(process, run, 1)
    with db(run / "run.db") as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(8)
        other.execute("ROLLBACK")
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "holds run.db locked; waiting" in err
    assert "free the disk" not in err


def test_an_orch_that_holds_the_run_for_a_moment_is_waited_out(orch, start_orch, tmp_path):
    given = ["run", "--provider", "local", "--samples", "2", "--limit", "2", "--name", "r"]
    assert orch(*given).code == 0
    with (tmp_path / "runs/r/lock").open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = start_orch("run", "--resume", "r", "--samples", "3")
        time.sleep(2.5)
        fcntl.flock(held, fcntl.LOCK_UN)
        _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err


def test_the_database_alone_is_a_whole_run_from_the_start(orch, start_orch, tmp_path):
    run = tmp_path / "runs/r"
    process = start_orch("run", "--provider", "local", *SLOW)
    wait_for_sampling(process, run, 1)
    (tmp_path / "first").mkdir()
    shutil.copy(run / "run.db", tmp_path / "first/run.db")
    later, deadline = tmp_path / "later", time.monotonic() + 150
    while not later.exists() or not samples(later):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.3)
        shutil.rmtree(later, ignore_errors=True)
        later.mkdir()
        shutil.copy(run / "run.db", later / "run.db")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)
    for name in ("first", "later"):
        ended = orch("report", name, "--json")
        assert ended.code == 0, ended.err
    with db(tmp_path / "later/run.db") as copy:
        assert copy.execute("SELECT count(*) FROM problems").fetchone()[0] == 128


@pytest.mark.parametrize("moment", range(1, 7, 2))
def test_a_creation_that_was_killed_is_begun_again(moment, orch, start_orch, tmp_path):
    """Killed as soon as the directory holds one file more than at the moment before."""
    given = ["run", "--provider", "local", "--samples", "2", "--limit", "2", "--name", "r"]
    process = start_orch(*given)
    run = tmp_path / "runs/r"
    deadline = time.monotonic() + 150
    while not run.exists() or len(list(run.iterdir())) < moment:
        assert time.monotonic() < deadline
        if process.poll() is not None:
            return
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with contextlib.suppress(sqlite3.Error), db(run / "run.db") as made:
        if made.execute("SELECT 1 FROM meta WHERE key = 'identity'").fetchone():
            assert orch("run", "--resume", "r").code == 0
            return
    ended = orch(*given)
    assert ended.code == 0, ended.err
