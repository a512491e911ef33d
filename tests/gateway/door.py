"""A gateway before a scripted model's server, in this process, with its books open."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from budgets.journal import MemoryJournal
from budgets.ledger import Ledger
from budgets.limiter import Limiter
from budgets.money import picodollars
from budgets.price import Band, Price, Rates
from providers.gateway.accounts import Call
from providers.gateway.server import Gateway
from providers.gateway.upstream import Upstream
from providers.registry import make_door
from tests.gateway.model_server import ModelServer

KEY = "sk-upstream-0123456789"
INPUT, OUTPUT = picodollars("3.00"), picodollars("15.00")
PRICE = Price(
    "scripted", "compatible", "test",
    (Band(Rates(INPUT, INPUT, INPUT, INPUT, OUTPUT, OUTPUT)),),
)  # fmt: skip


@dataclass
class Books:
    """The ledger's journal in memory, and the calls beside it."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    calls: list[Call] = field(default_factory=list)

    def put_call(self, call: Call) -> None:
        self.calls.append(call)

    async def durable(self) -> None:
        await self.journal.durable()


@dataclass
class Door:
    server: ModelServer
    gateway: Gateway
    upstream: Upstream
    books: Books
    ledger: Ledger
    port: int
    fatal: list[Exception]
    faults: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settled(self) -> int:
        return self.ledger.totals().settled


@contextlib.asynccontextmanager
async def opened(
    cap: str | None = None,
    *,
    provider: str = "compatible",
    price: Price | None = PRICE,
    model: str = "",
    drain_s: float = 20.0,
    max_retries: int = 3,
    server: ModelServer | None = None,
    **limits: Any,
) -> AsyncIterator[Door]:
    books, fatal, faults = Books(), [], []
    async with contextlib.AsyncExitStack() as stack:
        upstream_server = await stack.enter_async_context(server or ModelServer())
        caps = {"run": None if cap is None else picodollars(cap)}
        ledger = Ledger.open(books.journal, caps)
        base = upstream_server.url + ("" if provider == "anthropic" else "/v1")
        door = make_door(
            provider, base_url=base, api_key_env="HOUSE_KEY", environ={"HOUSE_KEY": KEY}
        )
        upstream = Upstream(
            door, lambda name: price, Limiter(**limits), model, max_retries=max_retries
        )
        stack.push_async_callback(upstream.aclose)
        gateway = await stack.enter_async_context(
            Gateway(ledger, books, fatal=fatal.append, fault=faults.append, drain_s=drain_s)
        )
        port = await gateway.listen()
        yield Door(upstream_server, gateway, upstream, books, ledger, port, fatal, faults)
