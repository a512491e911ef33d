"""An attempt of an agent as the view shows it while it lives."""

from __future__ import annotations

from typing import NamedTuple


class LiveAttempt(NamedTuple):
    """One agent at work."""

    attempt: int
    problem: str
    calls: int
    usd: int
    """Picodollars settled and uncertain."""
    seconds: float
    waiting: int
    """Calls that wait for their answers now."""
