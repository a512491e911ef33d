"""One command under a budget: `orch gateway`.

The command gets a key and base URLs of a gateway in this process; its calls are bought under the
run's cap and booked in a run directory of their own, so that `orch budget` shows them afterwards.
The keys of providers are taken out of its environment. A second session in the same directory
continues the same accounts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from budgets.ledger import Ledger
from budgets.price import Price
from budgets.price_book import PriceBook, Unpriced
from budgets.totals import Totals
from orchestrator.errors import BUDGET_REACHED, COMPLETE, FAULT, INTERRUPTED, ConfigError
from orchestrator.plan.prepare import Endpoint, make_limiter
from orchestrator.plan.study import Study
from orchestrator.store.attempts import AttemptRow, StoreBook, highest_attempt, put_attempt
from orchestrator.store.directory import RunLock, refuse_network_file_system
from orchestrator.store.store import RunStore
from providers.errors import ProviderConfigError
from providers.gateway.attempts import Attempt, Caps
from providers.gateway.environment import environment
from providers.gateway.errors import GatewayRefusal
from providers.gateway.server import Gateway
from providers.gateway.upstream import Upstream
from providers.registry import Door, make_door

SETTLING_S = 130.0
"""How long calls under way are waited for once the command has ended: a little more than the
gateway listens to an upstream whose agent has gone."""


@dataclass(frozen=True, slots=True)
class Metered:
    """What is asked of the gateway."""

    provider: str
    base_url: str
    bound_key: str | None
    """The variable that a person bound to the host."""
    model: str
    """"" leaves every call's own model."""
    cap: int
    caps: Caps
    study: Study
    """Its limits, concurrency and timeouts."""
    book: PriceBook
    free: bool
    """The server bills nothing per token."""
    host: str = "127.0.0.1"
    port: int = 0


@dataclass(slots=True)
class Spent:
    """What came of it."""

    exit_code: int
    attempt: Attempt
    totals: Totals
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Opened:
    """A gateway that listens, with the one attempt that may call it."""

    gateway: Gateway
    attempt: Attempt
    key: str
    url: str
    ledger: Ledger
    faults: list[str]


def upstream_of(asked: Metered, notes: list[str]) -> Upstream:
    """The provider to pass calls on to; raises ConfigError."""
    try:
        door: Door = make_door(
            asked.provider,
            base_url=asked.base_url or None,
            api_key_env=asked.bound_key,
            environ=os.environ,
        )
    except ProviderConfigError as error:
        raise ConfigError(f"{error}.") from None

    def price_of(model: str) -> Price | None:
        if asked.free:
            return None
        try:
            return asked.book.find(model, asked.provider, datetime.now(UTC))
        except Unpriced as error:
            raise GatewayRefusal(400, f"{error}.", code="unpriced") from None

    if asked.model:
        try:
            price_of(asked.model)
        except GatewayRefusal as error:
            raise ConfigError(str(error)) from None
    limiter = make_limiter(
        asked.study, Endpoint(asked.provider, asked.base_url, asked.model, False, 0), notes
    )
    return Upstream(door, price_of, limiter, asked.model, max_retries=asked.study.max_retries)


@contextlib.asynccontextmanager
async def opened(asked: Metered, directory: Path, notes: list[str]) -> AsyncIterator[Opened]:
    """A gateway before `directory`'s accounts; everything is booked when it is left."""
    upstream = upstream_of(asked, notes)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(upstream.aclose)
        lock, store = _accounts(directory)
        stack.callback(lock.release)
        stack.push_async_callback(store.close)
        ledger = Ledger.open(store, {"run": asked.cap})
        faults: list[str] = []
        gateway = await stack.enter_async_context(
            Gateway(
                ledger, StoreBook(store), fault=faults.append,
                fatal=lambda error: faults.append(str(error)), hosts={asked.host},
            )
        )  # fmt: skip
        try:
            port = await gateway.listen(asked.host, asked.port)
        except OSError as error:
            raise ConfigError(
                f"The gateway cannot listen on {asked.host}:{asked.port}: {error.strerror}."
            ) from None
        number = highest_attempt(store.connection) + 1
        attempt, key = gateway.begin(number, upstream, caps=asked.caps)
        row = AttemptRow(number, 0, time.time())
        put_attempt(store, row)
        await store.durable()
        host = f"[{asked.host}]" if ":" in asked.host else asked.host
        yield Opened(gateway, attempt, key, f"http://{host}:{port}", ledger, faults)
        gateway.end(attempt)
        await gateway.settled(attempt, SETTLING_S)
        await gateway.aclose()
        ending = "censored" if attempt.cut else "done"
        put_attempt(store, row._replace(ended_at=time.time(), ending=ending, cut=attempt.cut))


def _accounts(directory: Path) -> tuple[RunLock, RunStore]:
    """The directory's accounts, new or continued; raises ConfigError for another run's."""
    refuse_network_file_system(directory if directory.exists() else directory.parent)
    database = directory / "run.db"
    used = directory.is_dir() and any(directory.iterdir())
    if (directory / "study.toml").exists() or (used and not database.exists()):
        raise ConfigError(
            f"{directory} holds something else than a gateway's accounts; give another --name."
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be made: {error.strerror}.") from None
    lock = RunLock(directory)
    return lock, RunStore(database, create=not database.exists())


async def run_command(asked: Metered, directory: Path, command: Sequence[str]) -> Spent:
    """Run a command under the gateway; its exit code, or 3 where a cap refused a call."""
    notes: list[str] = []
    bound = [asked.bound_key] if asked.bound_key else []
    async with opened(asked, directory, notes) as door:
        code = await _child(command, environment(door.url, door.key, os.environ, bound))
        attempt, ledger = door.attempt, door.ledger
    return _spent(code, attempt, ledger, door.faults, notes)


async def serve(asked: Metered, directory: Path, told: asyncio.Future[Opened]) -> Spent:
    """Listen until a signal; `told` is given the address and key."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    notes: list[str] = []
    async with opened(asked, directory, notes) as door:
        told.set_result(door)
        await stop.wait()
    spent = _spent(COMPLETE, door.attempt, door.ledger, door.faults, notes)
    spent.exit_code = spent.exit_code or INTERRUPTED
    return spent


async def _child(command: Sequence[str], env: Mapping[str, str]) -> int:
    """The command's exit code. Ctrl-C reaches it through the terminal; a second one ends it."""
    try:
        child = await asyncio.create_subprocess_exec(*command, env=dict(env))
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be run: {error.strerror}.") from None
    signals = 0

    def heard(number: int) -> None:
        nonlocal signals
        signals += 1
        if child.returncode is None and (number == signal.SIGTERM or signals > 1):
            child.send_signal(signal.SIGTERM if signals < 3 else signal.SIGKILL)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard, number)
    code = await child.wait()
    return 128 - code if code < 0 else code


def _spent(
    code: int, attempt: Attempt, ledger: Ledger, faults: list[str], notes: list[str]
) -> Spent:
    if faults:
        code = FAULT
    elif attempt.cut:
        code = BUDGET_REACHED
    return Spent(code, attempt, ledger.totals(), [*notes, *faults[:1]])
