"""Group commit: one thread owns the database's writing, the event loop only appends.

`append` and `when_durable` are called from the event loop and only queue. What is queued in one
turn of the loop, and all that is queued while the previous group commits, becomes the next
group: one transaction, synced to disk. A failed commit is final: from then on every wait raises,
since memory and disk no longer agree.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from itertools import chain
from queue import SimpleQueue
from typing import Any

from orchestrator.errors import StoreError

Rows = dict[str, list[tuple[Any, ...]]]

AT_ONCE = (64, 8)
"""Rows of one statement, most first. Every statement hands the interpreter's lock to the event
loop and waits to get it back, which a row alone is not worth."""


class Writer:
    """Commits rows in groups on a thread of its own, in the order in which they came."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._rows: Rows = {}
        self._callbacks: list[Callable[[], None]] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._scheduled = False
        self._busy = False
        self._groups: SimpleQueue[Rows | None] = SimpleQueue()
        self.fault: StoreError | None = None
        self._in_commit: tuple[list[Callable[[], None]], list[asyncio.Future[None]]] = ([], [])
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
        self._callbacks.append(callback)
        if not self._scheduled:
            self._schedule()

    async def durable(self) -> None:
        """Return once all that was appended so far is on disk; raises StoreError."""
        if self.fault is not None:
            raise self.fault
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        if not self._scheduled:
            self._schedule()
        await waiter

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
        self._scheduled = False
        if self.fault is not None:
            self._fail(self._waiters)
            self._waiters = []
            return
        self._busy = True
        self._in_commit = (self._callbacks, self._waiters)
        rows, self._rows, self._callbacks, self._waiters = self._rows, {}, [], []
        self._groups.put(rows)

    def _finish_group(self, fault: StoreError | None) -> None:
        self._busy = False
        callbacks, waiters = self._in_commit
        self._in_commit = ([], [])
        if fault is not None:
            self.fault = fault
            self._fail(waiters)
        else:
            for callback in callbacks:
                callback()
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        if self._scheduled:
            self._start_group()

    def _fail(self, waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(self.fault or StoreError("The run database is closed."))

    def _write(self) -> None:
        while (rows := self._groups.get()) is not None:
            fault = self._commit(rows)
            self._loop.call_soon_threadsafe(self._finish_group, fault)

    def _commit(self, rows: Rows) -> StoreError | None:
        if not rows:
            return None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement, group in rows.items():
                execute_many(self._connection, statement, group)
            self._connection.execute("COMMIT")
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


def execute_many(
    connection: sqlite3.Connection, statement: str, rows: list[tuple[Any, ...]]
) -> None:
    """Execute a statement for every row, an INSERT OR ROLLBACK for many rows at a time.

    Of the other statements SQLite would keep what undoes many rows, in memory.
    """
    start, _, values = statement.partition(" VALUES ")
    done = 0
    for size in AT_ONCE if start.startswith("INSERT OR ROLLBACK ") else ():
        while len(rows) - done >= size:
            wide = f"{start} VALUES {', '.join([values] * size)}"
            connection.execute(wide, list(chain.from_iterable(rows[done : done + size])))
            done += size
    if done < len(rows):
        connection.executemany(statement, rows[done:])
