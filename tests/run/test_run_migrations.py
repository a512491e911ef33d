"""A run that an older orch wrote is read, reported and gone on with; a newer one is refused."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from budgets.journal import MemoryJournal
from budgets.ledger import Ledger
from budgets.meter import count_gaps
from orchestrator.audit.check import check_run
from orchestrator.errors import ConfigError
from orchestrator.report.paid import held_for
from orchestrator.store import migrations, schema
from orchestrator.store.columns import bought, votes
from orchestrator.store.directory import RunLock
from orchestrator.store.migrations import NEWEST
from orchestrator.store.reader import RunReader
from orchestrator.store.store import RunStore
from providers.sample import Choice
from verifiers.verdict import Verdict

OLD = Path(__file__).with_name("data") / "schema_1"
"""Written by the first schema: the bundled model, 4 problems, 8 samples each, 2 problems solved."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copytree(OLD, tmp_path / "schema_1")
    return tmp_path / "schema_1"


def version(run: Path) -> str:
    with closing(sqlite3.connect(run / "run.db")) as connection:
        return str(connection.execute("SELECT value FROM meta WHERE key='schema'").fetchone()[0])


def shape(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for (name,) in tables}


def test_an_old_run_is_reported_and_gone_on_with(old: Path, orch: Callable[..., Any]) -> None:
    assert version(old) == "1"
    report = orch("report", old, "--json")
    assert report.code == 0, report.err
    assert version(old) == str(NEWEST)
    assert report.json["rows"][0]["solved"] == 2
    more = orch("run", "--resume", old, "--samples", "12", "--json")
    assert more.code == 0, more.err
    assert more.json["rows"][0]["samples"] == 48
    assert sorted(path.name for path in old.glob("run.db.*")) == []


def test_an_old_run_gets_the_schema_of_a_new_one(old: Path) -> None:
    RunLock(old).release()
    with (
        closing(sqlite3.connect(old / "run.db")) as migrated,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh,
    ):
        migrations.create(fresh)
        assert shape(migrated) == shape(fresh)


def test_a_copy_that_a_cut_left_is_made_anew(old: Path) -> None:
    (old / "run.db.schema-1").write_bytes(b"half of a copy")
    RunLock(old).release()
    assert version(old) == str(NEWEST)
    assert not (old / "run.db.schema-1").exists()


def test_a_step_that_fails_leaves_the_old_run_and_a_copy(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (*migrations.VERSIONS, ("CREATE TABLE later (a)", "INSERT INTO nothing VALUES (1)"))
    monkeypatch.setattr(migrations, "VERSIONS", steps)
    with pytest.raises(Exception, match="cannot be brought to schema"):
        RunLock(old)
    assert version(old) == "1"
    assert version_of_copy(old) == "1"


def version_of_copy(run: Path) -> str:
    with closing(sqlite3.connect(run / "run.db.schema-1")) as connection:
        return str(connection.execute("SELECT value FROM meta WHERE key='schema'").fetchone()[0])


def test_a_run_that_another_orch_holds_is_not_changed(old: Path) -> None:
    lock = RunLock(old)
    with closing(sqlite3.connect(old / "run.db", isolation_level=None)) as connection:
        connection.execute(schema.PUT_META, ("schema", "1"))
    with pytest.raises(ConfigError, match="held by another orch"):
        RunReader(old)
    lock.release()


def test_a_newer_run_is_refused_with_what_to_do(old: Path, orch: Callable[..., Any]) -> None:
    with closing(sqlite3.connect(old / "run.db", isolation_level=None)) as connection:
        connection.execute(schema.PUT_META, ("schema", "999"))
    refused = orch("report", old)
    assert refused.code == 2
    assert "has schema 999" in refused.err and "newer" in refused.err
    assert refused.out == ""


SEALED = Path(__file__).with_name("data") / "schema_8"
"""Written by schema 8, sealed: the bundled model, 5 problems, 20 samples each."""


def test_a_sealed_run_of_an_older_schema_stays_whole_and_damage_shows(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for run in (whole, cut):
        shutil.copytree(SEALED, run)
    with closing(sqlite3.connect(cut / "run.db")) as connection, connection:
        connection.execute("DELETE FROM answers WHERE request = 3")
    for look in range(2):
        assert check_run(whole).findings == [], look
        assert [finding.where for finding in check_run(cut).findings] == ["answers"], look
        for run in (whole, cut):
            RunLock(run).release()
    with closing(RunReader(whole)) as reader:
        assert bought(reader, 0).served == {"orch-tiny": 35}
        ((model, usage),) = reader.rows("SELECT model, usage FROM answers WHERE request = 1")
        assert reader.unpack.text(usage).startswith('{"prompt_tokens"')
    assert model == 1


@pytest.mark.parametrize("written", range(1, NEWEST))
def test_a_run_of_every_older_schema_is_read_and_written_to(old: Path, written: int) -> None:
    with closing(sqlite3.connect(old / "run.db", isolation_level=None)) as connection:
        migrations.bring_on(connection, 1, written)
        connection.execute(schema.PUT_META, ("schema", str(written)))
        before = connection.execute("SELECT text FROM samples ORDER BY problem, slot").fetchall()
    lock = RunLock(old)
    lock.release()
    assert version(old) == str(NEWEST)
    with closing(RunReader(old)) as reader:
        assert [(row[2],) for row in reader.samples(0)] == before
        assert sum(count for *_, count, _ in votes(reader, 0, "exact")) == len(before)
    asyncio.run(one_more(old))
    assert check_run(old).findings == []
    with closing(RunReader(old)) as reader:
        assert [row[2] for row in reader.samples(0)][-1] == LONG


def test_what_an_old_runs_notes_say_stands_in_fields(old: Path) -> None:
    with closing(sqlite3.connect(old / "run.db", isolation_level=None)) as connection:
        (event,) = connection.execute("SELECT max(event) FROM ledger").fetchone()
        for number, (kind, reservation, note) in enumerate(
            (
                ("reserve", 9001, "request 3"),
                ("hold", 9001, "timed out"),
                ("reserve", 9002, "meter:borrowed m paid until 50.000 at 3600 picodollars an hour"),
            ),
            start=event + 1,
        ):
            connection.execute(
                "INSERT INTO ledger (event, at, kind, reservation, amount, scopes, note)"
                " VALUES (?, 1.0, ?, ?, 40, 'run arm:0', ?)", (number, kind, reservation, note),
            )  # fmt: skip
        connection.execute("UPDATE verdicts SET tier = 'namespaces, forgeable' WHERE slot = 0")
    RunLock(old).release()
    with closing(RunReader(old)) as reader:
        assert set(reader.rows("SELECT slot FROM verdicts WHERE forgeable")) == {(0,)}
        ledger = Ledger.open(MemoryJournal(reader.events()), {})
    assert held_for(ledger) == {3: 40}
    assert count_gaps(ledger, 60.0) == 10, "ten seconds beyond what was paid for"
    assert check_run(old).findings == []


LONG = "a long answer, word by word; " * 40


async def one_more(run: Path) -> None:
    store = RunStore(run / "run.db")
    request = store.plan(0, 3, 8, 1, 7)
    store.put_sample(0, 3, 8, request, Choice(0, LONG, "stop", None))
    store.put_verdict(0, 3, 8, "exact", Verdict("failed", answer=LONG.strip()), LONG)
    await store.close()
