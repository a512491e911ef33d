"""How numbers look to a person."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from budgets.money import PICO


def dollars(pico: int) -> str:
    """Picodollars for a person: cents, or four significant digits where less than ten cents."""
    amount = Decimal(pico) / PICO
    if amount == 0 or abs(amount) >= Decimal("0.1"):
        return f"${amount.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    digits = 3 - amount.adjusted()
    return f"${amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP).normalize():f}"


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


def visible(text: str) -> str:
    """Text from outside made harmless for a terminal: control characters are shown, not obeyed."""
    return "".join(
        char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text
    )
