"""What of an answer's cost is certain, and what is not: from its usage, its tier and its own bill.

    settled   the least that it can have cost
    held      what may come on top, within the bound that was declared for it

The least and the most differ where counts can be read in two ways, where the server names a price
of its own, a tier or a surcharge that no price covers, or another model than was asked for that no
price is known of. Where they do not, which is nearly always, the whole cost is settled.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from budgets.dialects import CHEAPER, Reported
from budgets.money import usd
from budgets.price import Price
from budgets.usage import Usage

DEARER = frozenset({"priority", "fast", "performance", "premium"})
"""Words for tiers that cost at least what the standard one does."""


class Charge(NamedTuple):
    """What to book for one answer, in picodollars."""

    settled: int | None
    """None: nothing is known, and the whole bound is held."""
    held: int
    why: str = ""
    """Why something is held, for a person."""


def charge(
    price: Price,
    said: Reported,
    bound: int,
    *,
    at: datetime | None = None,
    batch: bool = False,
    doubt: str = "",
) -> Charge:
    """What to settle and hold of an answer under `price`, of which `bound` was reserved.

    `at`, `batch`: as for Price.cost. `doubt`: why `price` may not be the answer's, if so.
    A settled amount above `bound` is for the ledger to find.
    """
    if said.usage is None:
        if not said.pico:
            return Charge(None, bound, "answered without usage, or with counts that cannot be")
        why = f"answered without usage; its server says ${usd(said.pico)}"
        return Charge(said.pico, max(0, bound - said.pico), why)
    if not (doubt or said.tier or said.surcharges) and said.most is None and said.pico is None:
        return Charge(price.cost(said.usage, at=at, batch=batch), 0)
    least, most, reasons = _span(price, said, said.usage, bound, at, batch)
    if doubt:
        most, reasons = max(most, bound), [*reasons, doubt]
    if said.surcharges:
        most = max(most, bound)
        reasons.append(f"it may be billed more for {', '.join(said.surcharges)}")
    if said.pico is not None and said.pico != least:
        if said.pico > bound or said.pico > most or said.pico < least:
            reasons.append(f"its server says ${usd(said.pico)}, its usage ${usd(least)}")
        if said.pico > bound:
            return Charge(said.pico, 0, "; ".join(reasons))
        least, most = min(least, said.pico), max(most, said.pico)
    if most > least and not reasons:
        reasons.append("its usage can be read in two ways")
    return Charge(least, max(0, min(most, bound) - least), "; ".join(reasons))


def _span(
    price: Price, said: Reported, usage: Usage, bound: int, at: datetime | None, batch: bool
) -> tuple[int, int, list[str]]:
    """The least and the most that the counts cost at the tier that was served."""

    def span(cost: Callable[[Usage], int]) -> tuple[int, int]:
        one = cost(usage)
        return (one, one) if said.most is None else _ordered(one, cost(said.most))

    tier = "" if batch and said.tier == "batch" else said.tier
    tiered = price.at_tier(tier)
    if tiered is not None:
        return *span(lambda one: tiered.cost(one, at=at, batch=batch)), []
    least, most = span(lambda one: price.cost(one, at=at, batch=batch))
    reasons = [f"it was served at the tier {tier!r}, whose price is not known"]
    if tier in CHEAPER:
        divisor = CHEAPER[tier]
        return (least // divisor if divisor else 0), most, reasons
    if tier not in DEARER:
        least = min(least, price.cheapest(usage))
    return least, max(most, bound), reasons


def _ordered(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)
