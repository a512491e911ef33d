"""A resume under a changed study is refused before anything of the run is touched."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.run.test_run_money import arguments


def everything(run: Path) -> dict[str, bytes]:
    """Every file of a run; the log-index that any reader of a database may make says nothing."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != "run.db-shm" and path.stat().st_size
    }


def events(run: Path) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as db:
        return db.execute("SELECT * FROM ledger ORDER BY event").fetchall()


def samples(run: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM samples").fetchone()[0])


@pytest.mark.parametrize("killed", [False, True])
def test_a_changed_study_is_refused_with_its_keys_and_nothing_is_written(
    killed, orch, start_orch, serve, prices, tmp_path
):
    server, run = serve(), tmp_path / "runs/r"
    if killed:
        process = start_orch("run", *arguments(server, prices, samples=400))
        deadline = time.monotonic() + 150
        # With a sample on disk: before, other lengths of answers are no other study.
        while not (server.bill() and samples(run)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    else:
        assert orch("run", *arguments(server, prices)).code == 0
    billed = len(server.final_bill())
    before, accounts = everything(run), events(run)
    assert accounts
    for change, keys in (
        (["--temperature", "0.25", "--max-tokens", "9"], ["temperature", "max_tokens"]),
        (["--limit", "7", "--budget", "9"], ["problems"]),
        (["--seed", "5"], ["seed: 0 in the run, 5 now"]),
    ):
        ended = orch("run", "--resume", "r", *change)
        assert ended.code == 2, ended.err
        assert "cannot be resumed under a changed study" in ended.err
        assert all(key in ended.err for key in keys), ended.err
        assert everything(run) == before
        assert events(run) == accounts
    assert len(server.final_bill()) == billed


def test_the_bundled_server_is_not_started_for_a_resume_that_is_refused(orch, tmp_path):
    """At this price even the shortest hold of the server would show in the accounts."""
    given = ["run", "--provider", "local", "--samples", "4", "--limit", "2", "--name", "r"]
    assert orch(*given, "--gpu-hour", "3600", "--budget", "90").code == 0
    run = tmp_path / "runs/r"
    before = everything(run)
    ended = orch("run", "--resume", "r", "--temperature", "0.3", "--budget", "99")
    assert ended.code == 2 and "arms[0].temperature" in ended.err, ended.err
    assert everything(run) == before
