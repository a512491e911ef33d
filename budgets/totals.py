"""What a ledger says of its money: one scope's sums, and each amount that may have been billed."""

from __future__ import annotations

from dataclasses import dataclass

from budgets.journal import PaidTime


@dataclass(slots=True)
class Totals:
    """One scope's money, in picodollars. Whoever keeps accounts changes it; others get copies."""

    settled: int = 0
    """Billed, and known."""
    uncertain: int = 0
    """May have been billed; counts as spent."""
    reserved: int = 0
    """The worst cases of what is under way."""
    cap: int | None = None
    """None: no cap."""

    @property
    def committed(self) -> int:
        """All that may turn out to be spent: what the cap bounds."""
        return self.settled + self.uncertain + self.reserved

    @property
    def free(self) -> int | None:
        """What may still be reserved; None without a cap."""
        return None if self.cap is None else self.cap - self.committed


@dataclass(frozen=True, slots=True)
class Uncertain:
    """An amount that may have been billed."""

    reservation: int
    amount: int
    """Picodollars that count as spent meanwhile."""
    note: str
    """Why it is uncertain."""
    purpose: str
    """What it was reserved for, for a person."""
    scopes: tuple[str, ...]
    paid: int = 0
    """What of the same request is settled already."""
    request: int = 0
    """The request that it was reserved for, in the caller's own count; 0: for none."""
    time: PaidTime | None = None
    """The server's time that it was reserved for; None: for none."""
