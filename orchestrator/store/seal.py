"""The seal of a run's database: what it holds, so that lost or changed rows show.

Every table is counted: how many rows, and the sum of their checksums, which does not depend on
their order. Each group commit adds what it writes, and the new sums are stored in the same
transaction together with a head that is a hash of the head before and of the new sums: a chain.
How far the chain had come also stands in a small file beside the database, which is written after
every commit; where that file is ahead, commits were lost (a write-ahead log that is gone, an
older copy put back).

`quick_look` compares head and file at every resume and report; `recount` reads every row, which
is what `orch check` does. Rows that are replaced, changed or deleted are taken out of the sums by
triggers of the writing connection alone, so that no other program needs to know of any of this.

A checksum is CRC-32 over the row as msgpack: it costs a fraction of a microsecond, and a changed
bit always changes it. It is no defence against somebody who means to deceive.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from budgets.given import read_given
from budgets.ledger import DamagedJournal
from orchestrator.store import schema
from orchestrator.store.schema import SEAL

NOT_COUNTED = {"seal"}
GROUPS = ""
"""In place of a table's name: how many groups there were, once more."""
FIRST = b"\0" * 16
WIDTH = 160

_encoder = msgspec.msgpack.Encoder()
_PUT = re.compile(r"INSERT (?:OR \w+ )?INTO (\w+)(?: \(([\w, ]+)\))? VALUES")

SealedRow = Sequence[Any]


def checksum(row: SealedRow) -> int:
    """The checksum of one row."""
    return crc32(_encoder.encode(row))


class Sums(msgspec.Struct, array_like=True):
    """One table: its rows, the sum of their checksums, and the columns that are counted."""

    columns: tuple[str, ...]
    rows: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class ChainMark:
    """How far a chain has come."""

    groups: int
    head: bytes
    reserved: int
    """Picodollars of every reservation so far: an upper bound of what a lost tail bought."""

    def line(self) -> bytes:
        """The mark as the second file holds it: always as long."""
        said = {"groups": self.groups, "head": self.head.hex(), "reserved": str(self.reserved)}
        return msgspec.json.encode(said).ljust(WIDTH) + b"\n"


@dataclass(slots=True)
class Seal:
    """The sums of a database while it is written; for the thread that writes."""

    tables: dict[str, Sums]
    mark: ChainMark
    _defaults: dict[tuple[str, str], Any] = field(default_factory=dict)
    _takers: dict[str, Callable[[list[tuple[Any, ...]]], None]] = field(default_factory=dict)
    _reserved: int = 0

    def add(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Count the rows that `statement` stores. What it replaces, the triggers take out."""
        take = self._takers.get(statement)
        if take is None:
            take = self._takers[statement] = self._taker(statement)
        take(rows)

    def gone(self, table: str, *row: Any) -> None:
        """A row of `table` is no more."""
        sums = self.tables[table]
        sums.rows -= 1
        sums.total -= checksum(row)

    def came(self, table: str, *row: Any) -> None:
        """A row of `table` is new by another way than `add`."""
        sums = self.tables[table]
        sums.rows += 1
        sums.total += checksum(row)

    def commit(self, connection: sqlite3.Connection) -> None:
        """Store the sums as part of the transaction that is open."""
        sums = {name: (one.rows, one.total) for name, one in self.tables.items()}
        packed = _encoder.encode({**sums, GROUPS: (self.mark.groups + 1, 0)})
        head = hashlib.blake2b(self.mark.head + packed, digest_size=16).digest()
        self.mark = ChainMark(self.mark.groups + 1, head, self.mark.reserved + self._reserved)
        self._reserved = 0
        connection.execute(
            "UPDATE seal SET groups = ?, head = ?, reserved = ?, tables = ? WHERE seal = 1",
            (self.mark.groups, head, _whole(self.mark.reserved), packed),
        )

    def _taker(self, statement: str) -> Callable[[list[tuple[Any, ...]]], None]:
        found = _PUT.match(statement)
        if found is None:
            # An UPDATE or DELETE: the triggers see it.
            return lambda _: None
        sums = self.tables[table := found[1]]
        columns = tuple(found[2].split(", ")) if found[2] else sums.columns
        same = sums.columns == columns
        place = {name: index for index, name in enumerate(columns)}
        left_out = tuple(self._defaults.get((table, name)) for name in sums.columns)
        order = [place.get(name, len(columns) + i) for i, name in enumerate(sums.columns)]

        def take(rows: list[tuple[Any, ...]]) -> None:
            whole: Iterable[SealedRow] = rows
            if not same:
                longer = ((*row, *left_out) for row in rows)
                whole = (tuple([row[i] for i in order]) for row in longer)
            sums.rows += len(rows)
            sums.total += sum(map(crc32, map(_encoder.encode, whole)))

        if table != "ledger":
            return take
        kind, amount = columns.index("kind"), columns.index("amount")

        def take_events(rows: list[tuple[Any, ...]]) -> None:
            take(rows)
            self._reserved += sum(row[amount] for row in rows if row[kind] == "reserve")

        return take_events


class SealFile:
    """The second file, open for writing in place."""

    def __init__(self, directory: Path) -> None:
        # Without O_NONBLOCK a pipe in its place would be waited for.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK
        self._handle = os.open(directory / SEAL, flags, 0o644)

    def write(self, mark: ChainMark) -> None:
        """Say how far the chain has come. In one piece, so that no crash leaves half of it."""
        with contextlib.suppress(OSError):
            os.pwrite(self._handle, mark.line(), 0)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.fsync(self._handle)
        os.close(self._handle)


def open_seal(connection: sqlite3.Connection) -> Seal:
    """The seal of a database that is opened for writing; made where there is none yet.

    A database whose tables have grown since (a newer schema) is counted anew.
    """
    columns = counted_columns(connection)
    stored = read_seal(connection)
    if (
        stored is None
        or {name: one.columns for name, one in stored[0].items()} != columns
        or older(connection)
    ):
        groups = 0 if stored is None else stored[1].groups
        seal = Seal(
            recount(connection, columns), ChainMark(groups, FIRST, reserved_ever(connection))
        )
        _store_new(connection, seal)
    else:
        seal = Seal(*stored)
    seal._defaults = _defaults(connection)
    _watch_changes(connection, seal)
    return seal


def reseal(connection: sqlite3.Connection) -> ChainMark:
    """Count a database anew as it is now; returns the new mark."""
    stored = read_seal(connection)
    groups = 0 if stored is None else stored[1].groups
    tables = recount(connection, counted_columns(connection))
    seal = Seal(tables, ChainMark(groups, FIRST, reserved_ever(connection)))
    _store_new(connection, seal)
    return seal.mark


def read_seal(connection: sqlite3.Connection) -> tuple[dict[str, Sums], ChainMark] | None:
    """The stored sums and mark; None where a run has none, or what is there is none.

    Raises sqlite3.Error.
    """
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'seal'").fetchone() is None:
        return None
    rows = dict(
        (row[0], row[1:])
        for row in connection.execute("SELECT seal, groups, head, reserved, tables FROM seal")
    )
    if set(rows) != {1, 2}:
        return None
    groups, head, reserved, packed = rows[1]
    try:
        columns = msgspec.msgpack.decode(rows[2][3], type=dict[str, tuple[str, ...]])
        sums = msgspec.msgpack.decode(packed, type=dict[str, tuple[int, int]])
        tables = {name: Sums(columns[name], *sums[name]) for name in columns}
        if sums[GROUPS][0] != groups or rows[2][2] != 0:
            return None
        return tables, ChainMark(int(groups), bytes(head), int(reserved))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return None


def read_file(directory: Path) -> ChainMark | None:
    """What the second file says; None where there is none, or what is there cannot be read."""
    try:
        said = msgspec.json.decode(read_given(directory / SEAL, WIDTH + 1))
        return ChainMark(said["groups"], bytes.fromhex(said["head"]), int(said["reserved"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def quick_look(connection: sqlite3.Connection, before: ChainMark | None) -> str:
    """What is wrong by head and file alone, as a sentence; "" for nothing.

    `before` is what the file said before this connection looked at the database.
    """
    with _one_view(connection):
        stored = read_seal(connection)
        (last,) = connection.execute("SELECT coalesce(max(event), 0) FROM ledger").fetchone()
    if before is None or stored is None:
        return "the database has lost its seal" if before is not None and stored is None else ""
    mark = stored[1]
    if before.groups > mark.groups:
        return (
            f"{before.groups - mark.groups:,} commits are missing: the database ends at "
            f"{mark.groups:,} of {before.groups:,} (a lost write-ahead log, or an older copy)"
        )
    if before.groups == mark.groups and before.head != mark.head:
        return f"commit {mark.groups:,} is not the one that {SEAL} knows"
    if last != stored[0]["ledger"].rows:
        return f"the ledger ends with event {last:,} of {stored[0]['ledger'].rows:,}"
    return ""


@contextlib.contextmanager
def _one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read within is of one moment, also while a run goes on."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def in_order(rows: Iterable[Any]) -> Iterator[SealedRow]:
    """The rows of the ledger without their numbers; raises DamagedJournal where one is missing."""
    for expected, (event, *row) in enumerate(rows, start=1):
        if event != expected:
            raise DamagedJournal(f"event {expected} of the ledger is missing")
        yield row


def counted_columns(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """The columns of every table that are counted: those that some statement of ours gives."""
    given: dict[str, set[str]] = {}
    for statement in vars(schema).values():
        if isinstance(statement, str) and (found := _PUT.match(statement)) and found[2]:
            given.setdefault(found[1], set()).update(found[2].split(", "))
    counted = {}
    for (table,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " ORDER BY name"
    ).fetchall():
        if table not in NOT_COUNTED:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            ours = given.get(table, set(names))
            counted[table] = tuple(name for name in names if name in ours)
    return counted


def _defaults(connection: sqlite3.Connection) -> dict[tuple[str, str], Any]:
    """By table and column, what SQLite stores where a statement gives nothing."""
    found = {}
    for table, names in counted_columns(connection).items():
        for row in connection.execute(f"PRAGMA table_info({table})").fetchall():
            if row[1] in names:
                default = "NULL" if row[4] is None else row[4]
                (found[table, row[1]],) = connection.execute(f"SELECT {default}").fetchone()
    return found


def recount(connection: sqlite3.Connection, columns: dict[str, tuple[str, ...]]) -> dict[str, Sums]:
    """The sums of what the database holds now; raises sqlite3.Error where it cannot be read."""
    found = {}
    for table, names in columns.items():
        sums = found[table] = Sums(names)
        cursor = connection.execute(f"SELECT {', '.join(names)} FROM {table}")
        while rows := cursor.fetchmany(2000):
            sums.rows += len(rows)
            sums.total += sum(map(crc32, map(_encoder.encode, rows)))
    return found


def schema_digest(connection: sqlite3.Connection) -> bytes:
    """A hash of the texts that say what tables and indexes there are."""
    texts = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    ).fetchall()
    return hashlib.blake2b(_encoder.encode(texts), digest_size=16).digest()


def schema_differs(connection: sqlite3.Connection) -> bool:
    """Whether those texts are not the ones that were there when they were sealed."""
    row = connection.execute("SELECT groups, head FROM seal WHERE seal = 2").fetchone()
    return bool(row[0] == _version(connection) and row[1] != schema_digest(connection))


def older(connection: sqlite3.Connection) -> bool:
    """Whether the tables have grown since they were last counted anew."""
    row = connection.execute("SELECT groups FROM seal WHERE seal = 2").fetchone()
    return bool(row != (_version(connection),))


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return int(version)


def reserved_ever(connection: sqlite3.Connection) -> int:
    """Picodollars of all reservations that the database knows of."""
    rows: Iterable[tuple[int]] = connection.execute(
        "SELECT amount FROM ledger WHERE kind = 'reserve'"
    )
    return sum(row[0] for row in rows)


def _store_new(connection: sqlite3.Connection, seal: Seal) -> None:
    columns = _encoder.encode({name: one.columns for name, one in seal.tables.items()})
    own = not connection.in_transaction
    if own:
        connection.execute("BEGIN IMMEDIATE")
    for row in (
        (1, seal.mark.groups, FIRST, 0, b""),
        (2, _version(connection), schema_digest(connection), 0, columns),
    ):
        connection.execute(
            "INSERT OR REPLACE INTO seal (seal, groups, head, reserved, tables)"
            " VALUES (?, ?, ?, ?, ?)",
            row,
        )
    seal.commit(connection)
    if own:
        connection.execute("COMMIT")


def _watch_changes(connection: sqlite3.Connection, seal: Seal) -> None:
    """Let the seal hear of rows that are replaced, changed or deleted over this connection."""
    connection.execute("PRAGMA recursive_triggers=ON")
    connection.create_function("seal_gone", -1, seal.gone)
    connection.create_function("seal_came", -1, seal.came)
    for table, sums in seal.tables.items():
        gone = f"seal_gone('{table}', {', '.join(f'OLD.{name}' for name in sums.columns)})"
        came = f"seal_came('{table}', {', '.join(f'NEW.{name}' for name in sums.columns)})"
        connection.execute(
            f"CREATE TEMP TRIGGER seal_delete_{table} AFTER DELETE ON main.{table}"
            f" BEGIN SELECT {gone}; END"
        )
        connection.execute(
            f"CREATE TEMP TRIGGER seal_update_{table} AFTER UPDATE ON main.{table}"
            f" BEGIN SELECT {gone}, {came}; END"
        )


def _whole(amount: int) -> int:
    """What SQLite can hold of a sum of amounts that has no bound."""
    return min(amount, 2**63 - 1)
