"""Exact money: whole picodollars.

One unit is 1e-12 dollar, so that the cheapest price in the field (fractions of a cent per
million tokens) times one token is still a whole number of units. Amounts are Python integers
everywhere; dollars appear only as decimal strings at the edges. Binary floats are refused.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation

PICO = 10**12
"""Picodollars in one dollar."""

MAX_USD = 9_000_000
"""The largest amount that fits the run database's 64-bit column, in dollars."""

_EXACT = Context(prec=60)


class MoneyError(ValueError):
    """A text that is not an amount of money."""


def picodollars(usd: str | int | Decimal) -> int:
    """Dollars to whole picodollars, rounded up; raises MoneyError for anything else."""
    if isinstance(usd, float | bool):
        raise MoneyError(f"{usd!r} is a binary float; write the amount as a string or an integer")
    try:
        amount = Decimal(usd)
    except (InvalidOperation, ValueError, TypeError):
        raise MoneyError(f"{_shown(usd)} is not an amount of dollars") from None
    if not amount.is_finite():
        raise MoneyError(f"{usd!r} is not a finite amount of dollars")
    # The exponent first: arithmetic on one of nine digits would overflow.
    if amount.adjusted() > 7 or abs(amount) > MAX_USD:
        raise MoneyError(f"{_shown(usd)} is more than the largest amount, {MAX_USD} dollars")
    return int((amount * PICO).to_integral_value(ROUND_CEILING, _EXACT))


def _shown(given: str | int | Decimal) -> str:
    text = "the amount" if isinstance(given, int) else repr(given)
    return text if len(text) <= 60 else f"{text[:60]}..."


def usd(pico: int) -> str:
    """Picodollars as an exact decimal string of dollars, with at least two decimals."""
    sign, pico = ("-", -pico) if pico < 0 else ("", pico)
    whole, part = divmod(pico, PICO)
    digits = f"{part:012d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{digits}"
