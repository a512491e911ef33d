"""Group commit: one thread owns the database's writing, the event loop only appends.

`append` and `when_durable` are called from the event loop and only queue. What is queued while the
previous group commits, and for as long as every turn of the loop brings more (GATHER_S at most),
becomes the next group: one transaction, synced to disk. A failed commit is final: from then on
every wait raises, since memory and disk no longer agree. A database that another program holds
locked is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from functools import cache
from itertools import chain
from queue import SimpleQueue
from typing import Any, Literal

from orchestrator.errors import StoreError
from orchestrator.store.packing import Packer
from orchestrator.store.seal import Seal, SealFile

QueuedRows = dict[str, list[tuple[Any, ...]]]

LOCK_PATIENCE_S = 120.0
"""How long another program's lock on the database is waited for before the run stops."""

GATHER_S = 0.004
"""A group waits at most so long for more, and only while every turn of the loop brings some. Many
rows a commit cost less each; an idle loop is not waited for."""

AT_ONCE = (64, 8, 2)
"""Rows of one statement, most first. Every statement hands the interpreter's lock to the event
loop and waits to get it back, which a row alone is not worth."""


class _Waiting:
    """Who waits for one group."""

    __slots__ = ("callbacks", "sleepers", "waiters")

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []
        """Called where it is durable."""
        self.waiters: list[asyncio.Future[None]] = []
        """Told whether it is durable."""
        self.sleepers: list[asyncio.Future[None]] = []
        """Woken in any case."""

    def __len__(self) -> int:
        return len(self.callbacks) + len(self.waiters) + len(self.sleepers)

    def end(self, fault: StoreError | None) -> None:
        """The group is on disk, or never will be."""
        if fault is None:
            for callback in self.callbacks:
                callback()
        for waiter in self.waiters:
            if not waiter.done():
                if fault is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(fault)
        for sleeper in self.sleepers:
            if not sleeper.done():
                sleeper.set_result(None)


class Writer:
    """Commits rows in groups on a thread of its own, in the order in which they came."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        sealed: tuple[Seal, SealFile] | None = None,
        packer: Packer | None = None,
    ) -> None:
        """`sealed`: what counts the rows of every group, and where it says how far it came.

        `packer`: what makes long texts small first.
        """
        self._connection = connection
        self._packer = packer
        self._sealed = sealed
        self._loop = loop
        self._rows: QueuedRows = {}
        self._waiting = _Waiting()
        self._scheduled = False
        self._busy = False
        self._seen = 0
        """How much waited for the next group when it was last looked at."""
        self._gather_until = 0.0
        self._groups: SimpleQueue[QueuedRows | Literal["checkpoint"] | None] = SimpleQueue()
        self.on_lock: Callable[[], None] = lambda: None
        """Called on the loop, about once a second, while another program's lock is waited for."""
        self.fault: StoreError | None = None
        self._in_commit = _Waiting()
        self.gathering = 1
        """The number of the group that what is appended now becomes part of."""
        self._on_disk = 0
        """The number of the last group that was committed."""
        self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._thread.start()

    def append(self, statement: str, row: tuple[Any, ...]) -> None:
        """Queue one row for the next group."""
        rows = self._rows.get(statement)
        if rows is None:
            self._rows[statement] = [row]
        else:
            rows.append(row)
        if not self._scheduled:
            self._schedule()

    def when_durable(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the loop once all that was appended so far is on disk."""
        self._waiting.callbacks.append(callback)
        if not self._scheduled:
            self._schedule()

    def checkpoint(self) -> None:
        """Soon, bring what the write-ahead log holds into the database itself."""
        self._groups.put("checkpoint")

    def durable(self) -> Awaitable[None]:
        """Over once all that was appended so far is on disk; raises StoreError."""
        if self.fault is not None:
            raise self.fault
        waiter = self._loop.create_future()
        self._waiting.waiters.append(waiter)
        if not self._scheduled:
            self._schedule()
        return waiter

    def is_durable(self, group: int | None) -> bool:
        """Whether a group is on disk, and what comes after it can still be."""
        return group is not None and group <= self._on_disk and self.fault is None

    def wake_when_decided(self, sleeper: asyncio.Future[None]) -> None:
        """End a wait once all that was appended so far is on disk, or never will be."""
        self._waiting.sleepers.append(sleeper)
        if not self._scheduled:
            self._schedule()

    async def close(self) -> None:
        """Commit what is queued and end the thread."""
        try:
            await self.durable()
        finally:
            self._groups.put(None)
            await self._loop.run_in_executor(None, self._thread.join)

    def _schedule(self) -> None:
        self._scheduled = True
        if not self._busy:
            self._loop.call_soon(self._start_group)

    def _start_group(self) -> None:
        if self._busy:
            return
        if self._more_comes():
            self._loop.call_soon(self._start_group)
            return
        self._scheduled = False
        waiting, self._waiting = self._waiting, _Waiting()
        if self.fault is not None:
            waiting.end(self.fault)
            return
        self._busy = True
        self._in_commit = waiting
        self.gathering += 1
        rows, self._rows = self._rows, {}
        self._groups.put(rows)

    def _more_comes(self) -> bool:
        """Whether the loop's last turn brought more for the next group, which may wait for it."""
        queued, seen = len(self._waiting), self._seen
        self._seen = queued
        if queued > seen:
            now = time.monotonic()
            if not seen:
                self._gather_until = now + GATHER_S
            if now < self._gather_until:
                return True
        self._seen = 0
        return False

    def _finish_group(self, fault: StoreError | None) -> None:
        waiting, self._in_commit = self._in_commit, _Waiting()
        if fault is None:
            self._on_disk = self.gathering - 1
        else:
            self.fault = fault
        try:
            waiting.end(fault)
        finally:
            self._busy = False
            if self._scheduled:
                self._start_group()

    def _write(self) -> None:
        while (rows := self._groups.get()) is not None:
            if rows == "checkpoint":
                # What is not brought over now is brought over the next time.
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                continue
            fault = self._commit(rows)
            self._loop.call_soon_threadsafe(self._finish_group, fault)

    def _begin(self) -> None:
        """Begin to write, once nobody else does; raises StoreError where that takes too long."""
        until = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not locked(error):
                    raise
            if time.monotonic() > until:
                raise StoreError(
                    f"Another program has held the run database locked for {LOCK_PATIENCE_S:.0f} "
                    "s; end it, then use --resume."
                )
            self._loop.call_soon_threadsafe(self.on_lock)

    def _commit(self, rows: QueuedRows) -> StoreError | None:
        if not rows:
            return None
        try:
            if self._packer is not None:
                rows = self._packer.group(rows)
            self._begin()
            for statement, group in rows.items():
                if self._sealed is not None:
                    self._sealed[0].add(statement, group)
                execute_many(self._connection, statement, group)
            if self._sealed is not None:
                self._sealed[0].commit(self._connection)
            self._connection.execute("COMMIT")
            if self._sealed is not None:
                self._sealed[1].write(self._sealed[0].mark)
        except StoreError as error:
            return error
        except sqlite3.Error as error:
            # Left open, the transaction is rolled back when the connection closes.
            return StoreError(
                f"The run database cannot be written ({error}); free the disk and use --resume."
            )
        except (OverflowError, ValueError, TypeError) as error:
            # A value that SQLite cannot hold. Whoever waits for this thread must hear of it.
            return StoreError(
                f"The run database cannot hold a value that came from outside ({error}); what was "
                "stored before it is kept."
            )
        return None


def locked(error: sqlite3.Error) -> bool:
    """Whether another program's lock is all that is in the way."""
    # Extended codes keep the primary one in their low byte.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


def execute_many(
    connection: sqlite3.Connection, statement: str, rows: list[tuple[Any, ...]]
) -> None:
    """Execute a statement for every row, an INSERT for many rows at a time.

    Of any but an INSERT OR ROLLBACK SQLite keeps what undoes it, in memory: of few rows at a time.
    """
    sizes: tuple[int, ...] = ()
    if statement.startswith("INSERT OR ROLLBACK "):
        sizes = AT_ONCE
    elif statement.startswith("INSERT OR REPLACE "):
        sizes = AT_ONCE[1:]
    done = 0
    for size in sizes:
        while len(rows) - done >= size:
            some = chain.from_iterable(rows[done : done + size])
            connection.execute(_wide(statement, size), list(some))
            done += size
    if done < len(rows):
        connection.executemany(statement, rows[done:])


@cache
def _wide(statement: str, rows: int) -> str:
    """An INSERT of one row made one of so many."""
    start, _, values = statement.partition(" VALUES ")
    return f"{start} VALUES {', '.join([values] * rows)}"
