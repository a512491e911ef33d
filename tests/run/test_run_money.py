"""The bill of the server against the books of the run: undisturbed, killed, interrupted, capped."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from budgets.ledger import Ledger
from budgets.money import picodollars
from orchestrator.store.reader import RunReader


def arguments(server, prices: Path, **more: object) -> list[object]:
    given = {
        "provider": "openai", "base-url": server.url, "model": "orch-tiny", "task": "arithmetic",
        "prices": prices, "samples": 24, "n-per-request": 4, "limit": 20, "budget": "5",
        "name": "r", "max-concurrent": "8", **more,
    }  # fmt: skip
    return [part for name, value in given.items() for part in (f"--{name}", value)]


def books(run: Path):
    reader = RunReader(run)
    totals = Ledger.read(reader.events()).totals()
    reader.close()
    return totals


def slots(run: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        return db.execute("SELECT problem, slot FROM samples ORDER BY 1, 2").fetchall()


def seeds(run: Path) -> list[int]:
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        return [row[0] for row in db.execute("SELECT seed FROM requests")]


WHOLE = [(problem, slot) for problem in range(20) for slot in range(24)]


def test_an_undisturbed_run_agrees_with_the_bill_to_the_last_unit(orch, serve, prices, tmp_path):
    server = serve()
    ended = orch("run", *arguments(server, prices), "--json")
    assert ended.code == 0, ended.err
    totals = books(tmp_path / "runs/r")
    assert totals.settled == server.billed() > 0
    assert totals.uncertain == totals.reserved == 0
    assert slots(tmp_path / "runs/r") == WHOLE
    assert len(server.bill()) == 20 * 6
    row = ended.json["rows"][0]
    assert picodollars(row["spent_usd"]) == totals.settled
    assert [point["k"] for point in row["coverage"]] == [1, 2, 5, 10, 20, 24]
    assert row["coverage"][-1]["usd_as_bought"] == row["spent_usd"]
    assert row["coverage"][-1]["mean"] == row["solved"] / 20


def check_books(server, run: Path, cap: str) -> None:
    totals = books(run)
    billed = server.billed()
    assert totals.settled <= billed <= totals.settled + totals.uncertain
    assert totals.settled + totals.uncertain <= picodollars(cap)
    assert totals.reserved == 0
    found = seeds(run)
    assert len(found) == len(set(found))


def events(run: Path) -> int:
    """How many ledger events are on disk."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as db:
            return db.execute("SELECT count(*) FROM ledger").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def wait_for_sampling(process, run: Path, before: int) -> None:
    """Return once the process has bought something that was not bought before."""
    deadline = time.monotonic() + 150
    while events(run) <= before + 4 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def kill_and_resume(start_orch, server, prices, run: Path, moments: list[float], **more) -> int:
    """Kill -9 at each moment of sampling and resume; returns how many kills struck."""
    struck = 0
    process = start_orch("run", *arguments(server, prices, **more))
    before = 0
    for moment in moments:
        wait_for_sampling(process, run, before)
        time.sleep(moment)
        struck += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = events(run)
        process = start_orch("run", "--resume", "r")
    assert process.wait(timeout=240) == 0
    return struck


@pytest.mark.parametrize(
    ("kills", "samples"),
    [(4, 100), pytest.param(20, 500, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_kills_and_resumes_lose_nothing_and_buy_nothing_twice(
    kills, samples, start_orch, serve, prices, tmp_path
):
    server, run = serve(), tmp_path / "runs/r"
    rng = random.Random(kills)
    moments = [rng.uniform(0, 0.25) for _ in range(kills)]
    more = {"samples": samples, "n-per-request": 2}
    struck = kill_and_resume(start_orch, server, prices, run, moments, **more)
    assert struck > kills // 2
    assert slots(run) == [(problem, slot) for problem in range(20) for slot in range(samples)]
    bill = server.final_bill()
    check_books(server, run, "5")
    # What was in flight at a kill, and only that, may have been bought twice.
    again = len(bill) - 20 * samples // 2
    assert 0 <= again <= 8 * struck
    assert books(run).uncertain > 0


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_drains_or_leaves_fast_and_resumes(
    signals, orch, start_orch, serve, prices, tmp_path
):
    server, run = serve(), tmp_path / "runs/r"
    process = start_orch("run", *arguments(server, prices, samples=400))
    wait_for_sampling(process, run, 0)
    process.send_signal(signal.SIGINT)
    assert any("Ctrl-C again leaves at once" in line for line in process.stderr)
    if signals == 2:
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=240) == 130
    assert len(slots(run)) < 20 * 400
    check_books(server, run, "5")
    totals = books(run)
    if signals == 1:
        assert slots(run)
        assert totals.uncertain == 0
        assert totals.settled == server.billed()
    ended = orch("run", "--resume", "r", "--samples", "40", "--json")
    assert ended.code == 0, ended.err
    check_books(server, run, "5")


def test_a_budget_below_the_plan_stops_with_3_and_reports_whole_rounds(
    orch, serve, prices, tmp_path
):
    server = serve()
    ended = orch("run", *arguments(server, prices, budget="0.01", samples=200), "--json")
    assert ended.code == 3, ended.err
    check_books(server, tmp_path / "runs/r", "0.01")
    row = ended.json["rows"][0]
    with RunReader(tmp_path / "runs/r")._db as db:
        fewest = min(n for (n,) in db.execute("SELECT count(*) FROM samples GROUP BY problem"))
    assert row["coverage"][-1]["k"] == fewest
    # Nothing was left over that one more attempt could have used.
    worst = (4 * 40 + 64) * 3_000_000 + 12 * 15_000_000
    assert picodollars("0.01") - books(tmp_path / "runs/r").settled < worst


def test_a_raised_budget_continues_the_run(orch, serve, prices, tmp_path):
    server = serve()
    assert orch("run", *arguments(server, prices, budget="0.005")).code == 3
    ended = orch("run", "--resume", "r", "--budget", "5", "--json")
    assert ended.code == 0, ended.err
    assert slots(tmp_path / "runs/r") == WHOLE
    check_books(server, tmp_path / "runs/r", "5")


def test_a_budget_in_server_time_stops_with_3_inside_the_cap(orch, tmp_path):
    """At 3600 dollars an hour a second costs a dollar: start and drain are inside the cap too."""
    ended = orch(
        "run", "--provider", "local", "--gpu-hour", "3600", "--budget", "30", "--samples", "5000",
        "--name", "r", "--json",
    )  # fmt: skip
    assert ended.code == 3, ended.err
    totals = books(tmp_path / "runs/r")
    assert picodollars("1") < totals.settled <= picodollars("30")
    assert totals.uncertain == totals.reserved == 0
