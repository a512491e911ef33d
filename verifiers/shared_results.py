"""Results by key, each computed once, also while many wait; the longest unused are dropped."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

_Value = TypeVar("_Value")

MOST = 20_000
"""About ten megabytes when full. What repeats in repeated sampling repeats soon."""


class SharedResults:
    """A bounded memory of results."""

    def __init__(self, size: int = MOST) -> None:
        self._size = size
        self._results: OrderedDict[Any, Any] = OrderedDict()
        self._running: dict[Any, asyncio.Future[Any]] = {}

    async def get(self, key: Any, compute: Callable[[], Awaitable[_Value]]) -> _Value:
        """The result of that key; what `compute` raises is raised to all, and not kept."""
        if key in self._results:
            self._results.move_to_end(key)
            found: _Value = self._results[key]
            return found
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(compute())
            self._running[key] = task
            task.add_done_callback(lambda done: self._settled(key, done))
        # A caller who gives up must not take the result from the others.
        return await asyncio.shield(task)

    def forget(self, key: Any) -> None:
        """Compute that key's result again when it is next asked for."""
        self._results.pop(key, None)

    def _settled(self, key: Any, done: asyncio.Future[Any]) -> None:
        if self._running.get(key) is done:
            del self._running[key]
            if not done.cancelled() and done.exception() is None:
                self._results[key] = done.result()
                while len(self._results) > self._size:
                    self._results.popitem(last=False)

    async def aclose(self) -> None:
        """Cancel what is still being computed."""
        running = list(self._running.values())
        self._running.clear()
        self._results.clear()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
