"""Ledger events as rows of a SQLite table named `ledger`, whoever's database it is in.

Both databases that hold events, a SqliteJournal's and a run's, have these columns under these
names; how scopes are joined is their own. What a program knows of a reservation once stood in its
note as a sentence: `add_fields` puts it into columns, once, when an older database is opened.
"""

from __future__ import annotations

import re
import sqlite3

import msgspec

from budgets.journal import PaidTime

_FIELDS = {
    "request": "INTEGER NOT NULL DEFAULT 0",
    "time": "TEXT",
    "accepts": "INTEGER NOT NULL DEFAULT 0",
}

_OLD_TIME = re.compile(
    r"meter:(borrowed )?(.*) paid until (\d+\.\d+) at (\d+) picodollars an hour"
    r"(?: \(boot (\S+), (\d+\.\d+) s\))?"
)


def time_text(time: PaidTime) -> str:
    """The column `time` of a reservation that is for one."""
    return msgspec.json.encode(time).decode()


def time_in(text: str | None) -> PaidTime | None:
    """What the column `time` says; raises ValueError for what no ledger wrote."""
    return None if text is None else msgspec.json.decode(text, type=PaidTime)


def lacks_fields(connection: sqlite3.Connection) -> bool:
    """Whether a `ledger` table is of the time before events had these fields."""
    return "request" not in {row[1] for row in connection.execute("PRAGMA table_info(ledger)")}


def add_fields(connection: sqlite3.Connection) -> None:
    """Give a `ledger` table the fields, filled by what its notes say; the notes stay."""
    for name, kind in _FIELDS.items():
        connection.execute(f"ALTER TABLE ledger ADD COLUMN {name} {kind}")
    connection.create_function("time_in_note", 1, _time_in_note, deterministic=True)
    connection.execute(
        "UPDATE ledger SET request = CAST(substr(note, 9) AS INTEGER)"
        " WHERE kind = 'reserve' AND note GLOB 'request [0-9]*'"
    )
    connection.execute(
        "UPDATE ledger SET time = time_in_note(note) WHERE kind = 'reserve' AND note GLOB 'meter:*'"
    )
    connection.execute(
        "UPDATE ledger SET accepts = 1 WHERE kind = 'cap' AND note GLOB 'fault accepted: *'"
    )


def _time_in_note(note: str) -> str | None:
    match = _OLD_TIME.fullmatch(note)
    if match is None:
        return None
    borrowed, server, until, rate, boot, held = match.groups()
    return time_text(
        PaidTime(server, float(until), int(rate), bool(borrowed), boot or "", float(held or 0))
    )
