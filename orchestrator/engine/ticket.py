"""One planned request on its way, and its money in the ledger, whether still reserved or not.

An ordinary reservation is open until it is settled, released or held. One that an earlier session
left behind (a batch that went on at its provider) is already held as uncertain, so what it turns
out to cost resolves it. One that a person has resolved meanwhile from the provider's bill is
closed: the bill stands, and nothing is counted twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from budgets.ledger import Ledger
from budgets.limiter import Permit
from budgets.price import Price
from orchestrator.plan.ready import ReadyArm

MoneyState = Literal["open", "held", "closed"]
"""What the ledger has of a ticket: a reservation, an uncertain amount, or nothing any more."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One planned request on its way, and its money in the ledger."""

    arm: ReadyArm
    request: int
    problem: int
    first_slot: int
    n: int
    seed: int
    reservation: int = 0
    account: MoneyState = "open"
    failures: int = 0
    """Failures that count against the retries; a rate limit does not."""
    pauses: int = 0
    limited: tuple[float, int] | None = None
    """Since when it is only rate limited, by time.monotonic(), and how many answers its arm had
    then."""
    cuts: int = 0
    """How often its connection was lost after it was sent."""
    doubted: int | None = None
    """How many answers its arm had when this request was refused as no request could be answered;
    None: it was not."""
    price: Price | None = None
    """By which its worst case was reserved, where an earlier session did that; None: the arm's."""
    permit: Permit | None = None
    """What the limiter counted this request as; handed back when it is done."""
    group: int | None = None
    """The group of rows with which its reservation commits (store/writer.py); None: not known."""

    def settle(self, ledger: Ledger, actual: int, held: int = 0, why: str = "") -> None:
        """The request was billed `actual` picodollars, and perhaps `held` more because of `why`."""
        if self.account == "open":
            ledger.settle(self.reservation, actual, why, held=held)
        elif self.account == "held":
            ledger.resolve(self.reservation, actual, "answered in a batch after all")
            if held:
                ledger.charge_uncertain(held, self.arm.scopes, why, request=self.request)
        self.account = "closed"

    def release(self, ledger: Ledger, note: str) -> None:
        """The request certainly cost nothing."""
        if self.account == "open":
            ledger.release(self.reservation, note)
        elif self.account == "held":
            ledger.resolve(self.reservation, 0, note)
        self.account = "closed"

    def hold(self, ledger: Ledger, note: str) -> None:
        """The request may have been billed; what is uncertain already stays so."""
        if self.account == "open":
            ledger.hold(self.reservation, note)
            self.account = "held"
