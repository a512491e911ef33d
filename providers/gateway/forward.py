"""The calls under way: each a task of its own, ended when the gateway closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from providers.gateway.accounts import Accounts
from providers.gateway.attempts import Attempt
from providers.gateway.dialects import ApiPath
from providers.gateway.exchange import Exchange, House


class Forward:
    """Passes calls on."""

    def __init__(
        self, accounts: Accounts, *, drain_s: float, fatal: Callable[[Exception], None]
    ) -> None:
        self._house = House(accounts, drain_s, fatal)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(
        self, attempt: Attempt, endpoint: ApiPath, headers: Mapping[str, str], body: bytes
    ) -> Exchange:
        """Start a call; what its agent sees is in the exchange's `passing`."""
        exchange = Exchange(self._house, attempt, endpoint, headers, body)
        exchange.task = asyncio.create_task(exchange.run())
        self._tasks.add(exchange.task)
        exchange.task.add_done_callback(self._tasks.discard)
        return exchange

    async def aclose(self) -> None:
        """End every call; what has left and is not answered counts as spent."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
