"""Whether one price counts less than another for the same tokens.

A price that counts too little makes every cap a multiple of itself, so a price that a stranger's
file states is compared with the one that is published. Each kind of token is compared at its
dearest rate, since that is what a reservation takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from fractions import Fraction
from typing import NamedTuple

from budgets.price import Price, Rates


class Undercut(NamedTuple):
    """The kind of token at which a price is furthest below another."""

    kind: str
    """A field of Rates."""
    rate: int
    listed: int
    """Picodollars per million tokens (`request`: per request)."""

    @property
    def share(self) -> Fraction:
        """What is counted of each listed dollar, from 0 to below 1."""
        return Fraction(self.rate, self.listed)


def undercut(price: Price, listed: Price, *, batch: bool = False) -> Undercut | None:
    """Where `price` is below `listed`, at its worst; None where no kind of token is cheaper.

    `batch`: the rates of the batch API are compared, where they are known.
    """
    both = (
        Undercut(kind, _dearest(price, kind, batch), _dearest(listed, kind, batch))
        for kind in (field.name for field in fields(Rates))
    )
    below = (found for found in both if found.rate < found.listed)
    return min(below, key=lambda found: found.share, default=None)


def _dearest(price: Price, kind: str, batch: bool) -> int:
    rates: Iterator[int] = (getattr(band.chosen(batch), kind) for band in price.bands)
    return max(rates)
