"""How fast one key or server may be used: requests and tokens a minute, concurrency, pauses.

One dispatcher awaits `admit` before each request; thousands of workers report back with `done`.
Waiting therefore costs one timer, however many requests are under way. Several may await `admit`,
each then pays for its own wake-ups.

What a provider says is believed over what was assumed: its rate-limit headers, its Retry-After,
its 429s. Limits given by hand are ceilings that headers only lower. One 429 pauses everything on
the key; 429s of requests sent before a pause belong to it and do not prolong it. One among many
answers that are well is that request's own affair: it alone waits. A pause longer than
`patience_s` cannot be waited for: `admit` raises CannotClear with the reason.

All times are seconds of `clock` (monotonic); `sent_at` is such a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from budgets.bucket import Bucket
from budgets.concurrency import MOST, Bursts, Change, Concurrency
from budgets.fullness import Fullness, ServerLoad
from budgets.headers import MINUTE_S, Reading, queued_s, read_limits
from budgets.profile import Profile
from budgets.usage import Usage

RequestOutcome = Literal["ok", "rate_limited", "overloaded", "timeout", "connection", "other"]

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
PATIENCE_S = 900.0
BURST: Mapping[RequestOutcome, float] = {"rate_limited": 0.1, "overloaded": 0.2, "timeout": 0.0}
"""The share of each kind among what was sent lately that is a sign of too much in flight."""
PROOF = 20
"""Answers that are well, without which one 429 is believed to be meant for everything."""
_LEARNING = 0.05
"""Weight of the newest answer in the running share of `max_tokens` that is really used."""
_MARGIN = 1.2
_READ_EVERY_S = 0.02
"""Headers of successes are read this often at most: thousands a second say nothing new."""
LOOK_AGAIN_S = 0.05
"""What a server works on shrinks by the second, without anything ringing here."""
_NO_HEADERS: Mapping[str, str] = {}
_FOREVER = float("inf")


class CannotClear(Exception):
    """The provider asks for a longer pause than anybody waits for; the text says why."""


class Shut(Exception):
    """The server cannot be asked now; what was to be sent to it is put aside."""


class Permit(msgspec.Struct, frozen=True):
    """What a request was admitted for; given back to `done`, it corrects the estimate."""

    input_tokens: float
    output_tokens: float
    """What was counted against the limits: the tokens asked for, or the share that comes."""
    asked_tokens: float
    sequences: int = 1
    """Choices of the request: what it takes up of the server."""


class Limiter:
    """The limits of one key at one provider; see the module's contract.

    Limits are per minute; None: none known. `concurrency` is "auto", "N" or "MIN-MAX".
    `output_counts`: whether the provider counts the tokens asked for or those that came.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        input_tokens_per_minute: float | None = None,
        output_tokens_per_minute: float | None = None,
        concurrency: str = "auto",
        max_concurrent: int = MOST,
        output_counts: Literal["asked", "used"] = "asked",
        cached_input_counts: bool = True,
        learn_above: bool = False,
        patience_s: float = PATIENCE_S,
        timeout_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_s`: how long a request may take, which concurrency must leave room for."""
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._ceilings: dict[str, float] = {}
        for kind, limit in (
            ("requests", requests_per_minute),
            ("tokens", tokens_per_minute),
            ("input-tokens", input_tokens_per_minute),
            ("output-tokens", output_tokens_per_minute),
        ):
            if limit is not None:
                self._buckets[kind] = Bucket(kind, limit, clock())
                self._ceilings[kind] = _FOREVER if learn_above else limit
        self._concurrency = Concurrency.parse(concurrency, max_concurrent, timeout_s=timeout_s)
        self._bursts = {kind: Bursts(share) for kind, share in BURST.items()}
        self._sent = 0
        """Requests since a failure was last looked at."""
        self._output_counts = output_counts
        self._cached_input_counts = cached_input_counts
        self._used_share = 1.0
        self._patience_s = patience_s
        self._paused_at = self._paused_until = self._cut_at = float("-inf")
        self._read_at = float("-inf")
        self._pauses = self._well = 0
        self._why_paused = ""
        self._changed = asyncio.Event()
        self._limited_by = ""
        self._shut = ""
        self.in_flight = 0
        """Requests admitted and not yet reported done."""
        self.sequences = 0
        """Choices of those requests."""
        self.waited_s: dict[str, float] = {}
        """Seconds that admission waited, by what it waited for."""

    @classmethod
    def from_profile(
        cls,
        name: str,
        *,
        model: str = "",
        concurrency: str = "auto",
        patience_s: float = PATIENCE_S,
        timeout_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Limiter:
        """The limits of a named tier, where to start from; raises profile.ProfileError."""
        profile = Profile.load(name)
        limits = profile.limits(model)
        return cls(
            requests_per_minute=limits.get("requests_per_minute"),
            tokens_per_minute=limits.get("tokens_per_minute"),
            input_tokens_per_minute=limits.get("input_tokens_per_minute"),
            output_tokens_per_minute=limits.get("output_tokens_per_minute"),
            concurrency=concurrency,
            max_concurrent=profile.max_concurrent,
            output_counts=profile.output_counts,
            cached_input_counts=profile.cached_input_counts,
            learn_above=True,
            patience_s=patience_s,
            timeout_s=timeout_s,
            clock=clock,
        )

    @property
    def concurrency(self) -> int:
        """How many sequences may be in flight now; where it is fixed, how many requests."""
        return self._concurrency.limit

    def start_at(self, sequences: int) -> None:
        """Begin with a concurrency that was found before, unless it is fixed."""
        self._concurrency.start_at(sequences)

    def shut(self, why: str) -> None:
        """Admit nothing until `open`: `admit` raises Shut, also for what waits already."""
        self._shut = why
        self._changed.set()

    def open(self) -> None:
        """Admit again."""
        self._shut = ""
        self._concurrency.back(self._clock())
        self._changed.set()

    def observe(self, load: ServerLoad) -> None:
        """Believe what the server says of its queue."""
        self._concurrency.observe(load, self._clock())
        self._changed.set()

    @property
    def fullness(self) -> Fullness:
        """What the server says of its places and its queue."""
        return self._concurrency.fullness

    @property
    def fixed(self) -> bool:
        """Whether a person set the concurrency to one number."""
        return self._concurrency.fixed

    @property
    def history(self) -> list[Change]:
        """The latest changes of the concurrency, oldest first."""
        return list(self._concurrency.history)

    @property
    def limits(self) -> dict[str, float]:
        """The limits per minute in force, by kind."""
        return {kind: bucket.limit for kind, bucket in self._buckets.items()}

    def limited_by(self) -> str:
        """What limits the speed now, in plain words; empty: nothing here does."""
        return self._limited_by

    async def admit(self, input_tokens: int, output_tokens: int, sequences: int = 1) -> Permit:
        """Return when a request of this size may be sent; it then counts as in flight.

        `output_tokens` is what is asked for: max_tokens times `sequences`, its n. Raises
        CannotClear, Shut.
        """
        while True:
            now = self._clock()
            permit = self._permit(input_tokens, output_tokens, sequences)
            wait_s, why = self._wait(permit, now)
            self._limited_by = why
            if not wait_s:
                return self._enter(permit, now)
            if self._concurrency.told(now):
                wait_s = min(wait_s, LOOK_AGAIN_S)
            await self._sleep(wait_s)
            self.waited_s[why] = self.waited_s.get(why, 0.0) + self._clock() - now

    def room(self, input_tokens: int, output_tokens: int, sequences: int = 1) -> tuple[float, str]:
        """How long a request of this size must wait now (0: it may go), and what for.

        Infinite where it waits for something to come back. Raises CannotClear.
        """
        permit = self._permit(input_tokens, output_tokens, sequences)
        return self._wait(permit, self._clock())

    def enter(self, input_tokens: int, output_tokens: int, sequences: int = 1) -> Permit:
        """Count a request as in flight from now on, whether there is room for it or not."""
        return self._enter(self._permit(input_tokens, output_tokens, sequences), self._clock())

    def _enter(self, permit: Permit, now: float) -> Permit:
        self._move(1, permit.sequences, now)
        self._sent += 1
        for kind, bucket in self._buckets.items():
            bucket.take(_amount(kind, permit))
        return permit

    def done(
        self,
        *,
        outcome: RequestOutcome,
        sent_at: float,
        headers: Mapping[str, str] = _NO_HEADERS,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
        permit: Permit | None = None,
    ) -> None:
        """A request admitted earlier is over, in whatever way.

        `permit`, where given, lets the limits count what was used instead of the estimate.
        """
        now = self._clock()
        sequences = 1 if permit is None else permit.sequences
        self._move(-1, -sequences, now)
        self._concurrency.left(sequences, sent_at, now)
        if outcome == "ok":
            self._well += 1
            if sent_at > self._paused_at:
                self._pauses = 0
            tokens = 0 if usage is None else usage.output_tokens
            waited_s = queued_s(headers) if headers else None
            self._concurrency.answered(sequences, tokens, sent_at, now, waited_s)
        burst = outcome != "ok" and self._burst(outcome, sent_at, now)
        counted = self._buckets or self._output_counts == "used"
        if counted and usage is not None and permit is not None:
            self._correct(permit, usage)
        if headers and (now - self._read_at > _READ_EVERY_S or outcome != "ok"):
            self._read_at = now
            for reading in read_limits(headers):
                self._learn(reading, now)
        if outcome == "rate_limited" and burst:
            self._pause(now, sent_at, retry_after_s)
        self._changed.set()

    def _move(self, requests: int, sequences: int, now: float) -> None:
        self.in_flight += requests
        self.sequences += sequences
        self._concurrency.moved(self.sequences, now)

    def _burst(self, outcome: RequestOutcome, sent_at: float, now: float) -> bool:
        """Whether a failure may be meant for all; one of many cuts the concurrency."""
        if sent_at < self._cut_at:
            # An echo of what was answered by a cut.
            return True
        for burst in self._bursts.values():
            burst.send(self._sent)
        self._sent = 0
        bursts = self._bursts.get(outcome)
        many = bursts is not None and bursts.fail()
        # Where a sequence is as fast as with less in flight, a timeout is a long answer, no queue.
        if many and (outcome != "timeout" or self._concurrency.slowed):
            self._concurrency.congested(sent_at, now, outcome.replace("_", " "))
            self._cut_at = now
            for burst in self._bursts.values():
                burst.forgive()
        return many or self._well < PROOF

    async def _sleep(self, wait_s: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(None if wait_s == _FOREVER else wait_s):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _permit(self, input_tokens: int, output_tokens: int, sequences: int) -> Permit:
        share = min(1.0, self._used_share * _MARGIN) if self._output_counts == "used" else 1.0
        asked = float(output_tokens)
        return Permit(float(input_tokens), asked * share, asked, sequences)

    def _wait(self, permit: Permit, now: float) -> tuple[float, str]:
        """How long a request of this size must wait now, and what for."""
        if self._shut:
            raise Shut(self._shut)
        if now < self._paused_until:
            pause = self._paused_until - now
            if pause > self._patience_s:
                raise CannotClear(
                    f"{self._why_paused}: the pause of {pause:.0f} s is longer than the"
                    f" {self._patience_s:.0f} s that are waited for; resume when it is over"
                )
            return pause, self._why_paused
        held = self._concurrency
        if held.full(self.in_flight, self.sequences, permit.sequences, now):
            return _FOREVER, held.why
        longest, why = 0.0, ""
        for kind, bucket in self._buckets.items():
            wait_s = bucket.wait_s(_amount(kind, permit), now)
            if wait_s > longest:
                longest = wait_s
                why = f"{bucket.name.replace('-', ' ')} per minute ({bucket.limit:g})"
        return longest, why

    def _correct(self, permit: Permit, usage: Usage) -> None:
        """Give back, or take, the difference between the estimate and what was used."""
        came = usage.prompt_tokens
        if not self._cached_input_counts:
            came -= usage.cached_input_tokens
        output = permit.output_tokens
        if self._output_counts == "used" and permit.asked_tokens:
            share = min(1.0, usage.output_tokens / permit.asked_tokens)
            self._used_share += _LEARNING * (share - self._used_share)
            output = float(usage.output_tokens)
        used = Permit(float(came), output, permit.asked_tokens)
        for kind, bucket in self._buckets.items():
            bucket.take(_amount(kind, used) - _amount(kind, permit))

    def _learn(self, reading: Reading, now: float) -> None:
        """Take over what the provider says of one of its limits."""
        if reading.period_s > MINUTE_S:
            # A limit per day is not spread over the day: it counts only when it is used up.
            if reading.remaining == 0 and reading.reset_s:
                kind = reading.kind.replace("-", " ")
                self._pause_until(now, reading.reset_s, f"the provider's daily limit of {kind}")
            return
        bucket = self._buckets.get(reading.kind)
        if reading.limit:
            limit = min(reading.limit, self._ceilings.get(reading.kind, _FOREVER))
            if bucket is None:
                bucket = self._buckets[reading.kind] = Bucket(reading.kind, limit, now)
            elif bucket.limit != limit:
                bucket.set_limit(limit)
        if bucket is not None and reading.remaining is not None:
            bucket.cap_level(reading.remaining)

    def _pause(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        if retry_after_s is not None:
            self._pause_until(now, retry_after_s, f"a 429 with Retry-After {retry_after_s:g} s")
        elif sent_at > self._paused_at and now >= self._paused_until:
            wait_s = min(FIRST_PAUSE_S * 2**self._pauses, LONGEST_PAUSE_S)
            self._pauses += 1
            self._pause_until(now, wait_s, f"a 429 without Retry-After (pause of {wait_s:g} s)")

    def _pause_until(self, now: float, wait_s: float, why: str) -> None:
        self._well = 0
        if now + wait_s > self._paused_until:
            self._paused_at, self._paused_until, self._why_paused = now, now + wait_s, why


def _amount(kind: str, permit: Permit) -> float:
    if kind == "requests":
        return 1.0
    if kind == "input-tokens":
        return permit.input_tokens
    if kind == "output-tokens":
        return permit.output_tokens
    return permit.input_tokens + permit.output_tokens
