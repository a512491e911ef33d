"""A ledger's events in a SQLite file of their own, for use outside a run.

WAL with synchronous=FULL: what `durable` confirmed survives a power cut. Commits are grouped:
inside an event loop everything appended in one turn of the loop is committed together by one
writer thread, and what arrives during a commit forms the next group. Outside a loop nothing is
written before `flush` or `close`. One process writes (an exclusive lock beside the file says
which); any number may read. A failed commit is final: every later call raises JournalError.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from budgets.journal import Event, EventKind
from budgets.stored import add_fields, lacks_fields, time_in, time_text

_TABLE = """
CREATE TABLE IF NOT EXISTS ledger (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    reservation INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    scopes TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT
"""
_SEPARATOR = "\x1f"

EventRow = tuple[str, int, int, str, str, int, str | None, int]


class JournalError(Exception):
    """The journal cannot be written or read; the text says why and what to do."""


class SqliteJournal:
    """The Journal protocol over one file.

    >>> import asyncio, tempfile
    >>> from budgets import Ledger, SqliteJournal, picodollars
    >>> async def spend(path):
    ...     with SqliteJournal(path) as journal:
    ...         ledger = Ledger.open(journal, caps={"run": picodollars("5")})
    ...         request = ledger.reserve(picodollars("0.10"), note="first request")
    ...         await journal.durable()      # only now may the request be sent
    ...         ledger.settle(request, picodollars("0.01"))
    ...         return ledger.totals().free
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(spend(folder + "/ledger.db")) == picodollars("4.99")
    True
    """

    def __init__(self, path: str | os.PathLike[str], *, readonly: bool = False) -> None:
        self.path = Path(path)
        self._readonly = readonly
        with contextlib.ExitStack() as unless_opened:
            self._lock_file = None if readonly else _lock(self.path)
            if self._lock_file is not None:
                unless_opened.callback(os.close, self._lock_file)
            self._database = _connect(self.path, readonly)
            unless_opened.pop_all()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._queue: list[EventRow] = []
        self._handing_over = False
        self._commit: asyncio.Future[None] | None = None
        self._appended = 0
        self._committed = 0
        self._failure: Exception | None = None

    def append(self, event: Event) -> None:
        """Queue `event`; see the Journal protocol."""
        if self._readonly:
            raise JournalError(f"{self.path} was opened for reading only")
        self._raise_failure()
        self._queue.append(
            (
                event.kind,
                event.reservation,
                event.amount,
                _SEPARATOR.join(event.scopes),
                event.note,
                event.request,
                None if event.time is None else time_text(event.time),
                int(event.accepts),
            )
        )
        self._appended += 1
        if not self._handing_over:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                return
            # Only once the present turn of the loop is over, so that what belongs together
            # is never split between two transactions.
            loop.call_soon(self._hand_over)
            self._handing_over = True

    async def durable(self) -> None:
        """Return once everything appended before this call is on disk."""
        target = self._appended
        while self._committed < target and self._failure is None:
            self._hand_over()
            if self._commit is not None:
                await asyncio.shield(self._commit)
        self._raise_failure()

    def flush(self) -> None:
        """Write everything appended so far and wait for the disk, outside an event loop."""
        self._writer.submit(lambda: None).result()
        rows, self._queue = self._queue, []
        if rows:
            self._write(rows)
        self._raise_failure()

    def events(self) -> Iterable[Event]:
        """All committed events in order."""
        rows = self._database.execute(
            "SELECT kind, reservation, amount, scopes, note, request, time, accepts FROM ledger"
            " ORDER BY number"
        )
        for kind, reservation, amount, scopes, note, request, time, accepts in rows:
            names = tuple(scopes.split(_SEPARATOR)) if scopes else ()
            yield Event(
                cast(EventKind, kind), reservation, amount, names, note, request, time_in(time),
                bool(accepts),
            )  # fmt: skip

    def close(self) -> None:
        """Write what is queued, and let the file go."""
        try:
            if self._failure is None and not self._readonly:
                self.flush()
        finally:
            self._writer.shutdown()
            self._database.close()
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None

    def __enter__(self) -> SqliteJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hand_over(self) -> None:
        """Give the queue to the writer thread, unless it is still busy with the last group."""
        self._handing_over = False
        if self._commit is not None and self._commit.done():
            self._commit = None
        if self._commit is not None or not self._queue or self._failure is not None:
            return
        rows, self._queue = self._queue, []
        self._commit = asyncio.get_running_loop().run_in_executor(self._writer, self._write, rows)
        self._commit.add_done_callback(self._next_group)

    def _next_group(self, _: asyncio.Future[None]) -> None:
        self._hand_over()

    def _write(self, rows: list[EventRow]) -> None:
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany(
                    "INSERT INTO ledger (kind, reservation, amount, scopes, note, request, time,"
                    " accepts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    rows,
                )
            self._committed += len(rows)
        except (sqlite3.Error, OverflowError) as error:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise JournalError(
                f"{self.path} could not be written ({self._failure}); nothing may be sent any "
                "more: make room or repair the disk, then open the ledger again"
            ) from self._failure


def _lock(path: Path) -> int:
    """Lock `path` for writing; returns the descriptor that holds the lock."""
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(f"{lock} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalError(
            f"{path} is in use by another process; end that one, or open it with readonly=True"
        ) from None
    return descriptor


def _connect(path: Path, readonly: bool) -> sqlite3.Connection:
    with contextlib.ExitStack() as unless_opened:
        try:
            if readonly:
                database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
                unless_opened.callback(database.close)
                database.execute("SELECT 1 FROM ledger LIMIT 1")
                if lacks_fields(database):
                    raise JournalError(
                        f"{path} was written by an older version; open it once without readonly"
                    )
            else:
                database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                unless_opened.callback(database.close)
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=FULL")
                database.execute("BEGIN IMMEDIATE")
                database.execute(_TABLE)
                if lacks_fields(database):
                    add_fields(database)
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"{path} cannot be opened as a ledger: {error}") from error
        unless_opened.pop_all()
    return database
