"""Results by key, each computed once, also while many wait for it; the oldest are dropped."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

_Value = TypeVar("_Value")


class Shared:
    """A bounded memory of results."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._results: OrderedDict[Any, asyncio.Future[Any]] = OrderedDict()

    async def get(self, key: Any, compute: Callable[[], Awaitable[_Value]]) -> _Value:
        """The result of that key; what `compute` raises is raised to all, and not kept."""
        task = self._results.get(key)
        if task is None:
            task = asyncio.ensure_future(compute())
            self._results[key] = task
            task.add_done_callback(lambda done: self._settled(key, done))
            while len(self._results) > self._size:
                self._results.popitem(last=False)
        # A caller who gives up must not take the result from the others.
        return await asyncio.shield(task)

    def forget(self, key: Any) -> None:
        """Compute that key's result again when it is next asked for."""
        self._results.pop(key, None)

    def _settled(self, key: Any, done: asyncio.Future[Any]) -> None:
        if (done.cancelled() or done.exception() is not None) and self._results.get(key) is done:
            del self._results[key]

    async def aclose(self) -> None:
        """Cancel what is still being computed."""
        running = [task for task in self._results.values() if not task.done()]
        self._results.clear()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
