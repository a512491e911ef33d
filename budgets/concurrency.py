"""How many requests may be in flight: a fixed number, or one that is found out.

`auto` starts small and doubles with each round of successes (slow start) until the first
congestion; then it grows by about one a round. It grows only while the limit was really in use,
since an idle limit proves nothing. One congestion event cuts it once: signals of requests sent
before the last cut tell of a state that is over, and neither cut again nor let it grow.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

CUT = 0.7
START = 8
MOST = 1024
HISTORY = 1_000
GROWTH = "all in use and answered"
"""The reason that the history gives for every growth."""

_FIXED = re.compile(r"\d+$")
_RANGE = re.compile(r"(\d+)-(\d+)$")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the limit."""

    at: float
    """Seconds of the limiter's clock."""
    limit: int
    why: str


class Concurrency:
    """The present limit, and how it moves between `least` and `most`."""

    def __init__(self, least: int, most: int, start: int | None = None) -> None:
        if not 1 <= least <= most:
            raise ValueError(f"concurrency {least}-{most}: it must be 1 <= MIN <= MAX")
        self.least = least
        self.most = most
        self._limit = float(min(max(start or START, least), most))
        self._slow_start = True
        self._last_cut = float("-inf")
        self.last_full = float("-inf")
        """When a request last had to wait for the limit."""
        self.history: deque[Change] = deque(maxlen=HISTORY)
        """The latest changes, oldest first."""

    @classmethod
    def parse(cls, text: str, most: int = MOST) -> Concurrency:
        """From "auto", "N" or "MIN-MAX"; raises ValueError with a sentence.

        `most` bounds "auto" only.
        """
        text = text.strip()
        if text == "auto":
            return cls(1, most)
        if _FIXED.match(text) and int(text) >= 1:
            return cls(int(text), int(text))
        match = _RANGE.match(text)
        if match and 1 <= int(match[1]) <= int(match[2]):
            return cls(int(match[1]), int(match[2]), start=int(match[1]))
        raise ValueError(
            f"{text!r} is not a concurrency: write auto, a number such as 64, or a range such as"
            " 8-256"
        )

    @property
    def limit(self) -> int:
        return int(self._limit)

    @property
    def fixed(self) -> bool:
        return self.least == self.most

    def succeeded(self, sent_at: float, now: float) -> None:
        """A request came back well."""
        if sent_at < self._last_cut or sent_at > self.last_full or self._limit >= self.most:
            return
        before = self.limit
        self._limit = min(self._limit + (1.0 if self._slow_start else 1.0 / self._limit), self.most)
        if self.limit != before:
            self.history.append(Change(now, self.limit, GROWTH))

    def congested(self, sent_at: float, now: float, why: str) -> None:
        """A request came back with a sign that there were too many."""
        if sent_at < self._last_cut:
            return
        self._slow_start = False
        self._last_cut = now
        if self._limit > self.least:
            self._limit = max(self._limit * CUT, float(self.least))
            self.history.append(Change(now, self.limit, why))
