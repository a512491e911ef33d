"""How numbers and texts look to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from budgets.money import PICO

if TYPE_CHECKING:
    from rich.console import Console


def dollars(pico: int) -> str:
    """Picodollars for a person: cents, or four significant digits where less than ten cents."""
    amount = Decimal(pico) / PICO
    if amount == 0 or abs(amount) >= Decimal("0.1"):
        return f"${amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    digits = 3 - amount.adjusted()
    rounded = amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return "$0.10" if rounded == Decimal("0.1") else f"${rounded.normalize():f}"


def alike(amounts: Iterable[int], most: int = 12) -> Callable[[int], str]:
    """One format for all dollars of a table: as many decimals as three digits of its least need.

    At least cents, and at most `most` decimals; what is less than the last of them is said to be.
    """
    least = min((abs(one) for one in amounts if one), default=PICO)
    digits = min(max(2 - (Decimal(least) / PICO).adjusted(), 2), most)
    step = Decimal(1).scaleb(-digits)

    def shown(pico: int) -> str:
        amount = Decimal(pico) / PICO
        if 0 < amount < step:
            return f"<${step:f}"
        return f"${amount.quantize(step, ROUND_HALF_UP):,f}"

    return shown


def percent(share: float) -> str:
    """A share as a percentage with one decimal, more where it is small."""
    value = 100 * share
    return f"{value:.2f} %" if 0 < value < 1 else f"{value:.1f} %"


def span(seconds: float | None) -> str:
    """A duration, coarsely."""
    if seconds is None:
        return "unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def age_of(seconds: float) -> str:
    """How long ago something was, by its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(max(seconds, 0))} s"


def visible(text: str) -> str:
    """Text from outside made harmless for a terminal: control characters are shown, not obeyed."""
    return "".join(
        char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text
    )


def say(console: Console, text: str) -> None:
    """Print a text as it is, made harmless; the terminal breaks its lines."""
    console.print(visible(text), highlight=False, markup=False, soft_wrap=True)
