"""The store's writer: many rows a statement are the same rows, and memory is collected seldom."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
from pathlib import Path

import pytest

from orchestrator.errors import StoreError
from orchestrator.session.gc_pace import collecting_seldom
from orchestrator.store import migrations, schema
from orchestrator.store.store import connect
from orchestrator.store.writer import AT_ONCE, Writer, execute_many


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.create(connection)
    return connection


@pytest.mark.parametrize("count", [0, 1, 7, *AT_ONCE, 3 * max(AT_ONCE) + 5])
def test_many_rows_at_once_are_the_rows_one_by_one(count: int) -> None:
    verdicts = [
        (0, i, i % 3, "exact", "passed", f"{i}", None, "", 0.5, 0.25, i % 2) for i in range(count)
    ]
    failures = [
        (i, i, 1.5, "TimedOut", "rejected", 1, "two\nlines ' VALUES (") for i in range(count)
    ]
    at_once, one_by_one = database(), database()
    for statement, rows in ((schema.PUT_VERDICT, verdicts), (schema.PUT_FAILURE, failures)):
        execute_many(at_once, statement, rows)
        for row in rows:
            one_by_one.execute(statement, row)
    for table in ("verdicts", "failures"):
        read = f"SELECT * FROM {table} ORDER BY 1, 2, 3"
        assert at_once.execute(read).fetchall() == one_by_one.execute(read).fetchall()
        assert at_once.execute(f"SELECT count(*) FROM {table}").fetchone() == (count,)


def test_of_rows_with_one_key_the_last_stays() -> None:
    connection = database()
    execute_many(connection, schema.PUT_META, [("k", str(i)) for i in range(100)])
    assert connection.execute("SELECT value FROM meta WHERE key = 'k'").fetchall() == [("99",)]


def test_what_is_no_plain_insert_is_executed_row_by_row() -> None:
    connection = database()
    answer = (0, 1, "", None, *[None] * 7, 1.0, 1.0, "", "")
    execute_many(connection, schema.PUT_ANSWER, [(i, *answer) for i in range(100)])
    execute_many(connection, schema.SET_COST, [(2 * i, i) for i in range(100)])
    assert connection.execute("SELECT sum(cost) FROM answers").fetchone() == (9900,)


def test_the_collector_is_as_it_was_afterwards() -> None:
    before = gc.get_threshold()
    with pytest.raises(ZeroDivisionError), collecting_seldom():
        assert gc.get_threshold() > before
        assert gc.get_freeze_count() > 0
        raise ZeroDivisionError
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


async def test_a_group_with_a_row_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    connection = connect(path, create=True)
    writer = Writer(connection, asyncio.get_running_loop())
    rows = [(number, 0, 0, number, 1, 7) for number in range(150)]
    for row in rows[:100]:
        writer.append(schema.PUT_REQUEST, row)
    await writer.durable()
    for row in (*rows[100:], rows[3]):
        writer.append(schema.PUT_REQUEST, row)
    with pytest.raises(StoreError, match="cannot be written"):
        await writer.durable()
    writer.append(schema.PUT_REQUEST, (1000, *rows[0][1:]))
    with pytest.raises(StoreError):
        await writer.close()
    connection.close()
    with contextlib.closing(sqlite3.connect(path)) as left:
        assert left.execute("SELECT count(*), max(request) FROM requests").fetchone() == (100, 99)


async def test_a_sleeper_is_woken_on_disk_or_never(tmp_path: Path) -> None:
    connection = connect(tmp_path / "run.db", create=True)
    loop = asyncio.get_running_loop()
    writer = Writer(connection, loop)
    good, late = (loop.create_future() for _ in range(2))
    group = writer.gathering
    writer.append(schema.PUT_REQUEST, (1, 0, 0, 0, 1, 7))
    writer.wake_when_decided(good)
    assert not writer.is_durable(group) and not writer.is_durable(None)
    await asyncio.wait_for(good, 10)
    assert writer.is_durable(group) and not writer.is_durable(writer.gathering)
    group = writer.gathering
    writer.append(schema.PUT_REQUEST, (1, 0, 0, 0, 1, 7))
    writer.wake_when_decided(late)
    await asyncio.wait_for(late, 10)
    assert writer.fault is not None and not writer.is_durable(group)
    after = loop.create_future()
    writer.wake_when_decided(after)
    await asyncio.wait_for(after, 10)
    # What was on disk still is, and yet nothing may be sent any more.
    assert not writer.is_durable(1)
    with pytest.raises(StoreError):
        await writer.close()
    connection.close()


async def test_a_group_gathers_while_every_turn_brings_more_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.writer.GATHER_S", 3600.0)
    connection = connect(tmp_path / "run.db", create=True)
    writer = Writer(connection, asyncio.get_running_loop())
    first = writer.gathering
    for number in range(50):
        writer.append(schema.PUT_REQUEST, (number, 0, 0, number, 1, 7))
        writer.when_durable(lambda: None)
        await asyncio.sleep(0)
    assert writer.gathering == first
    await asyncio.wait_for(writer.durable(), 10)
    assert writer.is_durable(first) and writer.gathering == first + 1
    monkeypatch.setattr("orchestrator.store.writer.GATHER_S", 0.0)
    for number in range(50, 60):
        writer.append(schema.PUT_REQUEST, (number, 0, 0, number, 1, 7))
        writer.when_durable(lambda: None)
        await asyncio.sleep(0)
    assert writer.gathering > first + 1
    await writer.close()
    assert connection.execute("SELECT count(*) FROM requests").fetchone() == (60,)
    connection.close()
