"""A call's money: its worst case under every cap at once, then what it came to.

The ledger holds the run's scopes, an attempt's accounts its own and its problem's. All are looked
at and changed without an `await` in between, so that they agree at every instant; what the ledger
and the book are told in one such stretch commits together. A call that does not fit waits while
anything under way may still free that cap, and is refused once nothing can.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import msgspec

from budgets.ledger import DoesNotFit, Ledger, LedgerFault
from budgets.money import usd
from budgets.outcomes import Action
from budgets.usage import Usage
from providers.gateway.attempts import Attempt
from providers.gateway.errors import GatewayRefusal, OverBudget


class Call(msgspec.Struct):
    """One call as it is recorded."""

    attempt: int
    endpoint: str
    model: str
    reservation: int
    """0: refused by the gateway, nothing was reserved."""
    sent_at: float = 0.0
    """Unix time."""
    latency_s: float = 0.0
    status: int = 0
    """What the agent was answered; 0: it had gone."""
    outcome: str = ""
    """What happened, as a row of the outcome table, or "refused: SCOPE"."""
    streamed: bool = False
    tries: int = 1
    usage: Usage | None = None
    usage_raw: bytes = b""
    cost: int | None = None
    """Picodollars settled; None: nothing was, or it is uncertain."""
    provider_id: str = ""


class Book(Protocol):
    """Where calls are recorded, beside the ledger's journal."""

    def put_call(self, call: Call) -> None:
        """Record a call that is over."""
        ...

    async def durable(self) -> None:
        """Return once the ledger's events and the calls so far are on disk."""
        ...


class Accounts:
    """Reserves and settles calls of every attempt."""

    def __init__(
        self,
        ledger: Ledger,
        book: Book,
        *,
        elsewhere: Callable[[str], bool] = lambda scope: False,
        fault: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`elsewhere`: whether requests that are not calls may still free a scope. `fault` is told
        once the ledger refuses everything."""
        self.ledger = ledger
        self.book = book
        self._elsewhere = elsewhere
        self._fault = fault
        self._changed = asyncio.Event()
        self._under_way: Counter[str] = Counter()

    async def reserve(self, attempt: Attempt, worst: int, wait_s: float) -> int:
        """The reservation of a call; raises OverBudget, or GatewayRefusal after a long wait.

        Durable only once the book is.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    scope = self._try(attempt, worst)
                    if isinstance(scope, int):
                        return scope
                    await self.wait()
        except TimeoutError:
            raise GatewayRefusal(
                503, "The gateway's caps had no room for this call in time.", code="overloaded"
            ) from None
        finally:
            attempt.waited_s += time.monotonic() - started

    def _try(self, attempt: Attempt, worst: int) -> int | str:
        """The reservation, or the name of the cap that may still be freed."""
        if attempt.ended:
            raise key_ended()
        caps = attempt.caps
        if caps.call_usd is not None and worst > caps.call_usd:
            raise over_budget("call", f"the call may cost ${usd(worst)}")
        if caps.calls is not None and attempt.calls >= caps.calls:
            raise over_budget("attempt", f"{caps.calls} calls were made")
        for account in attempt.accounts:
            free = account.free
            if free is not None and worst > free:
                if account.reserved:
                    return account.name
                raise over_budget(account.name, f"${usd(worst)} needed, ${usd(free)} left")
        try:
            reservation = self.ledger.reserve(
                worst, attempt.scopes, f"attempt {attempt.number}", request=attempt.request
            )
        except DoesNotFit as miss:
            if self._under_way[miss.scope] or self._elsewhere(miss.scope):
                return miss.scope
            why = f"${usd(worst)} needed, ${usd(miss.free)} left"
            raise over_budget(miss.scope, why, "the budget") from None
        except LedgerFault as fault:
            self._fault(str(fault))
            raise over_budget("run", str(fault), "the budget") from None
        for account in attempt.accounts:
            account.reserved += worst
        for scope in ("run", *attempt.scopes):
            self._under_way[scope] += 1
        attempt.calls += 1
        attempt.in_flight += 1
        return reservation

    def over(
        self, attempt: Attempt, call: Call, worst: int, action: Action, cost: int | None,
        held: int = 0, why: str = "",
    ) -> None:  # fmt: skip
        """A call is over: book it, whatever came of it.

        `cost` where `action` is settle; `held` what may have been billed on top, because of `why`.
        """
        if action == "settle":
            assert cost is not None
            self.ledger.settle(call.reservation, cost, why, held=held)
            attempt.known = attempt.known and not held
        elif action == "release":
            self.ledger.release(call.reservation, call.outcome)
        else:
            self.ledger.hold(call.reservation, call.outcome)
            attempt.known = False
        for account in attempt.accounts:
            account.reserved -= worst
            account.settled += cost or 0 if action == "settle" else 0
            account.uncertain += worst if action == "hold" else held
        for scope in ("run", *attempt.scopes):
            self._under_way[scope] -= 1
        attempt.in_flight -= 1
        call.cost = cost if action == "settle" else (0 if action == "release" else None)
        self.book.put_call(call)
        if self.ledger.fault is not None:
            self._fault(self.ledger.fault)
        self._changed.set()

    def refused(self, attempt: Attempt, call: Call, refusal: OverBudget) -> None:
        """A call was refused for want of money."""
        attempt.refused[refusal.scope] = attempt.refused.get(refusal.scope, 0) + 1
        call.outcome = f"refused: {refusal.scope}"
        self.book.put_call(call)

    async def wait(self) -> None:
        """Return at the next change."""
        self._changed.clear()
        await self._changed.wait()

    def changed(self) -> None:
        """Something may have become free that the gateway did not see (a settlement elsewhere)."""
        self._changed.set()


def over_budget(scope: str, why: str, name: str = "") -> OverBudget:
    """The refusal of a call for which a cap has no room.

    `name`: what to call it to the agent; "": the cap of what is called `scope`.
    """
    said = name or f"the cap of this {scope}"
    return OverBudget(
        f"{said[0].upper()}{said[1:]} is used up ({why}); no further call is answered.", scope=scope
    )


def key_ended() -> OverBudget:
    """The refusal of a call whose attempt is over."""
    return OverBudget(
        "This key is no longer good (the attempt has ended); no further call is answered.",
        scope="key",
    )
