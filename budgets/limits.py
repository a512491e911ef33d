"""How fast one key may be used: requests and tokens a minute, concurrency, pauses.

One dispatcher awaits `admit` before each request; thousands of workers report back with `done`.
Waiting therefore costs one timer, however many requests are under way. What a provider says is
believed over what was configured: its rate-limit headers, its Retry-After, its 429s. One 429
pauses everything on the key. All times are seconds of `clock` (monotonic).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Literal

from budgets.bucket import Bucket
from budgets.concurrency import Change, Concurrency
from budgets.usage import Usage

Outcome = Literal["ok", "rate_limited", "overloaded", "timeout", "connection", "other"]

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
_CONGESTION = frozenset({"rate_limited", "overloaded", "timeout"})


class Limiter:
    """The limits of one key at one provider; see the module's contract.

    Limits are per minute; None: no such limit. `concurrency` is "auto", "N" or "MIN-MAX".
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        input_tokens_per_minute: float | None = None,
        output_tokens_per_minute: float | None = None,
        concurrency: str = "auto",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        now = clock()

        def bucket(name: str, limit: float | None) -> Bucket | None:
            return None if limit is None else Bucket(name, limit, now)

        self._requests = bucket("requests", requests_per_minute)
        self._tokens = bucket("tokens", tokens_per_minute)
        self._input = bucket("input tokens", input_tokens_per_minute)
        self._output = bucket("output tokens", output_tokens_per_minute)
        self._concurrency = Concurrency.parse(concurrency)
        self._paused_until = float("-inf")
        self._pauses = 0
        self._why_paused = ""
        self._changed = asyncio.Event()
        self._limited_by = ""
        self.in_flight = 0
        """Requests admitted and not yet reported done."""
        self.waited_s: dict[str, float] = {}
        """Seconds that admission waited, by what it waited for."""

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now."""
        return self._concurrency.limit

    @property
    def history(self) -> list[Change]:
        """The latest changes of the concurrency, oldest first."""
        return list(self._concurrency.history)

    async def admit(self, input_tokens: int, output_tokens: int) -> None:
        """Return when a request of this size may be sent; it then counts as in flight."""
        while True:
            now = self._clock()
            wait_s, why = self._wait(input_tokens, output_tokens, now)
            self._limited_by = why
            if not wait_s:
                break
            self._changed.clear()
            try:
                await asyncio.wait_for(
                    self._changed.wait(), None if wait_s == float("inf") else wait_s
                )
            except TimeoutError:
                pass
            waited = self._clock() - now
            self.waited_s[why] = self.waited_s.get(why, 0.0) + waited
        self.in_flight += 1
        for bucket, amount in self._amounts(input_tokens, output_tokens):
            bucket.take(amount)

    def done(
        self,
        *,
        outcome: Outcome,
        sent_at: float,
        headers: Mapping[str, str] = {},
        retry_after_s: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        """A request admitted earlier is over."""
        now = self._clock()
        self.in_flight -= 1
        if outcome == "ok":
            self._pauses = 0
            self._concurrency.succeeded(sent_at, now)
        elif outcome in _CONGESTION:
            self._concurrency.congested(sent_at, now, outcome.replace("_", " "))
        if outcome == "rate_limited":
            self._pause(now, sent_at, retry_after_s)
        self._changed.set()

    def limited_by(self) -> str:
        """What limits the speed now, in plain words; empty: nothing here does."""
        return self._limited_by

    def _amounts(self, input_tokens: int, output_tokens: int) -> list[tuple[Bucket, float]]:
        return [
            (bucket, amount)
            for bucket, amount in (
                (self._requests, 1.0),
                (self._tokens, float(input_tokens + output_tokens)),
                (self._input, float(input_tokens)),
                (self._output, float(output_tokens)),
            )
            if bucket is not None
        ]

    def _wait(self, input_tokens: int, output_tokens: int, now: float) -> tuple[float, str]:
        """How long a request of this size must wait now, and what for."""
        if now < self._paused_until:
            return self._paused_until - now, self._why_paused
        if self.in_flight >= self._concurrency.limit:
            self._concurrency.in_use = True
            kind = "fixed" if self._concurrency.fixed else "found so far"
            return float("inf"), f"concurrency ({self._concurrency.limit}, {kind})"
        longest, why = 0.0, ""
        for bucket, amount in self._amounts(input_tokens, output_tokens):
            wait_s = bucket.wait_s(amount, now)
            if wait_s > longest:
                longest, why = wait_s, f"{bucket.name} per minute ({bucket.limit:g})"
        return longest, why

    def _pause(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        if retry_after_s is None:
            if now < self._paused_until:
                return  # One pause for all the 429s of one congestion.
            retry_after_s = min(FIRST_PAUSE_S * 2**self._pauses, LONGEST_PAUSE_S)
            self._pauses += 1
        if now + retry_after_s > self._paused_until:
            self._paused_until = now + retry_after_s
            self._why_paused = f"a 429 of the provider (pause of {retry_after_s:g} s)"
