"""One limit per span of time, as a token bucket that may go into debt.

What it admits in any span of `period_s` is at most `limit` where single amounts are 1, and at
most `limit` plus one amount where they are large: the burst it allows is taken off the rate at
which it refills. Times are seconds of any one clock.
"""

from __future__ import annotations


class Bucket:
    """At most `limit` units in `period_s` seconds, `burst_s` seconds' worth of them at once."""

    __slots__ = ("burst", "burst_s", "level", "limit", "name", "period_s", "rate", "updated")

    def __init__(
        self, name: str, limit: float, now: float, *, period_s: float = 60.0, burst_s: float = 1.0
    ) -> None:
        self.name = name
        self.burst_s = burst_s
        self.updated = now
        self.level = 0.0
        self.limit = self.burst = self.rate = self.period_s = 0.0
        self.set_limit(limit, period_s)
        self.level = self.burst

    def set_limit(self, limit: float, period_s: float | None = None) -> None:
        """Change the limit from now on."""
        self.limit = limit
        self.period_s = self.period_s if period_s is None else period_s
        self.burst = max(1.0, limit * self.burst_s / self.period_s)
        self.rate = max(limit - (self.burst - 1.0), 1e-9) / self.period_s
        self.level = min(self.level, self.burst)

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken; 0: now. Above the burst, a full bucket suffices."""
        self._refill(now)
        short = min(amount, self.burst) - self.level
        # A hair's breadth of floating point is not worth another turn of waiting.
        return 0.0 if short <= 1e-9 * self.burst else short / self.rate

    def take(self, amount: float) -> None:
        """Take `amount`; a negative one gives back what was not used."""
        self.level = min(self.level - amount, self.burst)

    def cap_level(self, remaining: float) -> None:
        """The server says that only `remaining` are left."""
        self.level = min(self.level, remaining)

    def _refill(self, now: float) -> None:
        if now > self.updated:
            self.level = min(self.burst, self.level + (now - self.updated) * self.rate)
            self.updated = now
