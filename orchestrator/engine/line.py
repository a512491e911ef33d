"""A line of work between one side of an event loop and its workers.

What asyncio.Queue does, without its bound: an item stays in the line until a worker has taken it in
its own step, so that a cancelled worker loses none. Every request passes two such lines, and
asyncio.Queue's eleven calls for an item were a twentieth of what a request costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitingLine(Generic[T]):
    """Items in the order in which they came; for one event loop."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        """What workers wait for that found nothing."""

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, later: Callable[[asyncio.Future[None]], None] | None = None) -> None:
        """Add an item, and wake a worker that waits: now, or whenever `later` ends its waiting."""
        self._items.append(item)
        if self._idle:
            self._wake(later)

    def drain(self) -> list[T]:
        """Take all that is in the line."""
        items = list(self._items)
        self._items.clear()
        return items

    async def get(self) -> T:
        """Take the first item, once there is one."""
        while not self._items:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._idle:
                    self._idle.remove(waiter)
                elif self._items:
                    # It was woken, or is to be, and does not come: another one has to.
                    self._wake()
                raise
        return self._items.popleft()

    def _wake(self, later: Callable[[asyncio.Future[None]], None] | None = None) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                if later is None:
                    waiter.set_result(None)
                else:
                    later(waiter)
                return
