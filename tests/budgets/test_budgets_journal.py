"""The SQLite journal: what it confirmed survives any end; one process writes."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from budgets.journal import Event, MemoryJournal, PaidTime
from budgets.ledger import Ledger
from budgets.sqlite_journal import JournalError, SqliteJournal

EVENTS = [
    Event("cap", 0, 9_000_000 * 10**12, ("run",)),
    Event("reserve", 1, 5, ("run", "arm:0", "task:with a space"), "request 1\nline two"),
    Event("hold", 1, 5, (), "naïve \u2028 text"),
    Event("reserve", 2, 7, ("run",), request=17),
    Event("reserve", 3, 9, ("run",), "hours", time=PaidTime("m", 1.5, 10**30, True, "b", 0.1)),
    Event("cap", 0, 1, ("run",), "fault accepted: seen", accepts=True),
]


async def test_events_come_back_in_order_and_whole(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "ledger.db") as journal:
        for event in EVENTS:
            journal.append(event)
        await journal.durable()
        assert list(journal.events()) == EVENTS
    with SqliteJournal(tmp_path / "ledger.db", readonly=True) as journal:
        assert list(journal.events()) == EVENTS
        with pytest.raises(JournalError, match="for reading only"):
            journal.append(EVENTS[0])


OLD = [
    ("cap", 0, 5, "run", "fault accepted: looked into"),
    ("reserve", 1, 5, "run", "request 17"),
    ("reserve", 2, 5, "run", "request for more"),
    ("reserve", 3, 5, "run", "meter:borrowed my model paid until 12.345 at 7 picodollars an hour"),
    ("reserve", 4, 5, "run",
     "meter:a1 paid until 12.345 at 7 picodollars an hour (boot 0-1, 3.250 s)"),
    ("reserve", 5, 5, "run", "meter: nobody watched the server for 3 s after a crash"),
]  # fmt: skip
"""What a journal held before its events had fields."""


async def test_an_older_journals_notes_become_fields_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as old, old:
        old.execute(
            "CREATE TABLE ledger (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, reservation"
            " INTEGER NOT NULL, amount INTEGER NOT NULL, scopes TEXT NOT NULL, note TEXT NOT NULL)"
        )
        old.executemany(
            "INSERT INTO ledger (kind, reservation, amount, scopes, note) VALUES (?, ?, ?, ?, ?)",
            OLD,
        )
    with pytest.raises(JournalError, match="open it once without readonly"):
        SqliteJournal(path, readonly=True)
    for _ in range(2):
        with SqliteJournal(path) as journal:
            found = list(journal.events())
        assert [event.note for event in found] == [row[4] for row in OLD]
        assert [event.accepts for event in found] == [True] + [False] * 5
        assert [event.request for event in found] == [0, 17, 0, 0, 0, 0]
        assert [event.time for event in found] == [
            None, None, None, PaidTime("my model", 12.345, 7, True),
            PaidTime("a1", 12.345, 7, False, "0-1", 3.25), None,
        ]  # fmt: skip


async def test_closing_writes_what_is_queued(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "ledger.db") as journal:
        journal.append(EVENTS[0])
    with SqliteJournal(tmp_path / "ledger.db") as journal:
        assert list(journal.events()) == EVENTS[:1]


async def test_durable_means_readable_by_another_connection(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with SqliteJournal(path) as journal:

        async def one(number: int) -> None:
            journal.append(Event("reserve", number, 1, ("run",)))
            await journal.durable()
            other = sqlite3.connect(path)
            found = other.execute("SELECT 1 FROM ledger WHERE reservation = ?", (number,))
            assert found.fetchone() == (1,)
            other.close()

        await asyncio.gather(*(one(number) for number in range(1, 201)))


async def test_what_is_appended_in_one_turn_commits_together(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    groups = 300
    with SqliteJournal(path) as journal:
        other = sqlite3.connect(path)

        async def write() -> None:
            for number in range(groups):
                for part in range(7):
                    journal.append(Event("reserve", number * 7 + part, 1, ("run",)))
                await asyncio.sleep(0)
            await journal.durable()

        async def look() -> set[int]:
            seen = set()
            while not writing.done():
                seen.add(other.execute("SELECT count(*) FROM ledger").fetchone()[0])
                await asyncio.sleep(0.001)
            return seen

        writing = asyncio.create_task(write())
        seen = await look()
        await writing
        assert all(count % 7 == 0 for count in seen)
        assert other.execute("SELECT count(*) FROM ledger").fetchone()[0] == groups * 7
        other.close()


async def test_durable_ends_though_others_keep_appending(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "ledger.db") as journal:
        stop = asyncio.Event()

        async def flood() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                journal.append(Event("reserve", number, 1, ("run",)))
                await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        journal.append(Event("reserve", 10**9, 1, ("run",)))
        await journal.durable()
        stop.set()
        await flooding


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with SqliteJournal(path):
        with pytest.raises(JournalError, match="in use by another process"):
            SqliteJournal(path)
        SqliteJournal(path, readonly=True).close()
    SqliteJournal(path).close()


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to tell" * 9])
def test_a_file_that_is_no_ledger_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"notes.txt cannot be opened as a ledger"):
        SqliteJournal(path, readonly=True)


def test_a_file_that_is_no_ledger_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database at all, but long enough to tell" * 9)
    for _ in range(2):
        with pytest.raises(JournalError, match="is not a database"):
            SqliteJournal(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file or directory"):
        SqliteJournal(tmp_path / "nowhere" / "ledger.db")


async def test_a_failed_commit_is_final(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "ledger.db") as journal:
        journal.append(Event("reserve", 1, 2**70, ("run",)))
        with pytest.raises(JournalError, match="nothing may be sent any more"):
            await journal.durable()
        with pytest.raises(JournalError, match="nothing may be sent any more"):
            journal.append(EVENTS[0])


SPENDER = """
import asyncio, sys
from budgets import Ledger, SqliteJournal
async def main():
    with SqliteJournal(sys.argv[1]) as journal:
        ledger = Ledger.open(journal, {"run": 10**15})
        async def worker(number):
            while True:
                request = ledger.reserve(1000, [f"arm:{number % 2}"], "a request")
                await journal.durable()
                print("sent", request, flush=True)
                ledger.settle(request, 700)
                await journal.durable()
                print("settled", request, flush=True)
        await asyncio.gather(*(worker(number) for number in range(8)))
asyncio.run(main())
"""


def test_what_was_confirmed_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    sent: set[str] = set()
    settled: set[str] = set()
    for kill_after in (1, 40, 160, 400):
        child = subprocess.Popen(
            [sys.executable, "-c", SPENDER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for line, _ in zip(child.stdout, range(kill_after), strict=False):
            what, request = line.split()
            (sent if what == "sent" else settled).add(request)
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().splitlines()
        child.stdout.close()
        child.wait()
        for line in rest:
            if line.count(" ") == 1 and not line.endswith(" "):
                what, request = line.split()
                (sent if what == "sent" else settled).add(request)
    with SqliteJournal(path, readonly=True) as journal:
        events = list(journal.events())
    reserved = {str(event.reservation) for event in events if event.kind == "reserve"}
    ended = {str(event.reservation) for event in events if event.kind == "settle"}
    assert sent and settled
    assert sent <= reserved, "sent only after its reservation was on disk"
    assert settled <= ended
    with SqliteJournal(path) as journal:
        ledger = Ledger.open(journal, {"run": 10**15})
        totals = ledger.totals()
        assert totals.settled == 700 * len(ended)
        assert totals.uncertain == 1000 * (len(reserved) - len(ended))
        assert totals.reserved == 0
        halves = [ledger.totals(f"arm:{half}") for half in (0, 1)]
        assert sum(half.settled for half in halves) == totals.settled


async def test_a_memory_journal_keeps_the_protocol() -> None:
    journal = MemoryJournal()
    journal.append(EVENTS[0])
    await journal.durable()
    assert list(journal.events()) == EVENTS[:1]
