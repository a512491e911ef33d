"""What one server holds: how many sequences may be in flight, as set by a person or found out.

A sequence is one choice of one request, since that is what a server has places for: a request with
n = 13 fills thirteen. `auto` starts small and doubles while throughput grows with it; where it
does not, the server is full, and what is sent beyond that waits in its queue (levels.py decides).
Throughput is measured in rounds, each of answers to requests that were sent after the last change.
A server that tells how many sequences run and how many wait (`observe`) is believed over that, as
each of a fleet is: fullness.py then says whether there is room, and the limit follows: it holds
back only as much as timeouts and refusals ask for.

A failure alone is no congestion. A burst of them (`Bursts`) cuts the limit once; answers to
requests sent before the cut tell of a state that is over.

Times are seconds of any one clock. Nothing here waits; requests a minute are limiter.py's.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from budgets.fullness import Fullness, ServerLoad
from budgets.levels import STEP, UNSLOWED, Level, Levels

CUT = 0.7
NEAR_A_REFUSAL = 1.04
"""How far it grows at once near to where it was refused: a limit that nobody tells is met again."""
WELL_ABOVE = 1.4
"""So far above, the refusal had another reason."""
START = 8
"""Requests that `auto` starts with, as far as they are no more than START_SEQUENCES."""
START_SEQUENCES = 32
MOST = 1024
"""Requests that `auto` has in flight at most."""
HISTORY = 1_000
GROWTH = "all in use and answered"
"""The reason that the history gives for every growth."""

LEAST_ROUND = 16
"""Sequences that a round measures at least."""
LEAST_ROUND_S = 1.0
"""Seconds that a round lasts at least, so that what else happens on a machine evens out,"""
LEAST_TOLD_S = 0.2
"""and where the server tells of its queue, so that nothing is read off the round but timeouts."""
IN_USE = 0.7
"""A round that had less of its limit in flight proves nothing about it."""
IN_QUEUE = 0.2
"""Growth stops where a sequence waits for so much of its time in the server's queue, as headers
say; twice as much goes back a step."""
OF_TIMEOUT = 0.9
"""Growth stops where a queue could make the longest answer so much of the timeout."""
LONG_TAIL = 10.0
"""Short answers come first: one may take so many times as long as the longest so far."""
_FIXED = re.compile(r"\d+$")
_RANGE = re.compile(r"(\d+)-(\d+)$")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the limit."""

    at: float
    """Seconds of the limiter's clock."""
    limit: int
    why: str


class Bursts:
    """The share of failures among what was sent lately: a few are no burst.

    Counted against what was sent and not what came back, since refusals come back first.
    """

    __slots__ = ("failures", "limit", "memory", "sent")

    def __init__(self, limit: float, memory: int = 150) -> None:
        self.limit = limit
        self.memory = memory
        self.sent = self.failures = 0.0

    def send(self, requests: int) -> None:
        """So many more were sent, each of which makes what was before count a little less."""
        kept = (1 - 1 / self.memory) ** requests
        self.sent = self.memory - (self.memory - self.sent) * kept
        self.failures *= kept

    def fail(self) -> bool:
        """One failed; whether failures are a burst now."""
        self.failures += 1
        return self.failures >= self.limit * self.sent

    def forgive(self) -> None:
        """Something was done about it: what fails from now on is judged afresh."""
        self.failures = 0.0


class _Round:
    """Answers to requests sent after one moment."""

    __slots__ = (
        "area", "longest_s", "queued_s", "requests", "sequence_s", "sequences", "since", "tokens",
    )  # fmt: skip

    def __init__(self, now: float, area: float) -> None:
        self.since = now
        self.area = area
        self.requests = self.sequences = 0
        self.tokens = self.sequence_s = self.longest_s = self.queued_s = 0.0

    def add(self, sequences: int, tokens: float, latency_s: float) -> None:
        self.requests += 1
        self.sequences += sequences
        self.tokens += tokens
        self.sequence_s += sequences * latency_s
        self.longest_s = max(self.longest_s, latency_s)

    @property
    def speed(self) -> float:
        """Tokens a second of one sequence."""
        return self.tokens / max(self.sequence_s, 1e-9)

    @property
    def queued(self) -> float:
        """The share of its time that a sequence waited in the server's queue, as headers say."""
        return self.queued_s / max(self.sequence_s, 1e-9)


class Concurrency:
    """The present limit in sequences, and how it moves; `least` and `most` count requests."""

    def __init__(self, least: int, most: int, *, timeout_s: float | None = None) -> None:
        if not 1 <= least <= most:
            raise ValueError(f"concurrency {least}-{most}: it must be 1 <= MIN <= MAX")
        self.least = least
        self.most = most
        self._timeout_s = timeout_s or float("inf")
        self._limit = 0.0
        """0: nothing was asked for yet."""
        self._levels = Levels()
        self._before: Level | None = None
        """From where the limit last grew."""
        self._last: Level | None = None
        """What was measured last, since the last cut."""
        self._refused_at = 0.0
        """The limit at the last cut: growth is slow only near to it."""
        self._uncut = 0.0
        """The limit before the cuts since the last good answer."""
        self._most_step = 2.0
        """Smaller once there was a sign of too much."""
        self._within_timeout = float(START_SEQUENCES) if timeout_s else float("inf")
        """So many in flight make no answer so long that the timeout cuts it off."""
        self.fullness = Fullness()
        """By what the server tells of its queue, if it does."""
        self._told_full = False
        """Whether it was the last reason for having no room."""
        self._last_cut = float("-inf")
        self._was_cut = False
        self._last_full = float("-inf")
        self._area = 0.0
        self._area_at = 0.0
        self._in_flight = self._asked = 0
        self._began = False
        self._round = _Round(0.0, 0.0)
        self.history: deque[Change] = deque(maxlen=HISTORY)
        """The latest changes, oldest first."""

    @classmethod
    def parse(cls, text: str, most: int = MOST, *, timeout_s: float | None = None) -> Concurrency:
        """From "auto", "N" or "MIN-MAX" requests; raises ValueError with a sentence.

        `most` bounds "auto" only. `timeout_s`: how long a request may take at most.
        """
        text = text.strip()
        if text == "auto":
            return cls(1, most, timeout_s=timeout_s)
        if _FIXED.match(text) and int(text) >= 1:
            return cls(int(text), int(text), timeout_s=timeout_s)
        match = _RANGE.match(text)
        if match and 1 <= int(match[1]) <= int(match[2]):
            return cls(int(match[1]), int(match[2]), timeout_s=timeout_s)
        raise ValueError(
            f"{text!r} is not a concurrency: write auto, a number such as 64, or a range such as"
            " 8-256"
        )

    @property
    def limit(self) -> int:
        """Sequences that may be in flight; where the number of requests is fixed, requests."""
        return self.most if self.fixed else int(self._limit)

    @property
    def fixed(self) -> bool:
        return self.least == self.most

    def start_at(self, limit: int) -> None:
        """Begin with a limit that was found before, in sequences."""
        if not self.fixed and limit > 0:
            self._limit = float(limit)
            self._most_step = STEP

    def full(self, requests: int, sequences: int, n: int, now: float) -> bool:
        """Whether a request of `n` sequences must wait for some of what is in flight."""
        self._asked = n
        if not self._limit:
            self._limit = float(max(self.least * n, min(START * n, START_SEQUENCES), n))
        if not self._began:
            self._began = True
            self._begin(now)
        if requests < self.least:
            return False
        is_full = requests >= self.most or (sequences > 0 and self._no_room(sequences, n, now))
        if is_full:
            self._last_full = now
        return is_full

    def told(self, now: float) -> bool:
        """Whether the server's own word counts now."""
        return not self.fixed and self.fullness.known(now)

    @property
    def why(self) -> str:
        """What limits where there is no room, in words."""
        if self._told_full:
            return self.fullness.why
        return (
            f"concurrency ({self.limit}{', as set' if self.fixed else ' sequences, found so far'})"
        )

    def _no_room(self, sequences: int, n: int, now: float) -> bool:
        """Whether server or limit forbid it; the limit grows where the server says it has room."""
        told = self.told(now)
        self._told_full = told and self.fullness.free(now, sequences, n) < n
        if self._told_full or sequences + n <= self._limit:
            return self._told_full
        if told and not self._was_cut and sequences + n <= self._within_timeout:
            # What is measured in answers comes too late where an answer takes minutes.
            self._limit = float(sequences + n)
            return False
        return True

    def moved(self, sequences: int, now: float) -> None:
        """So many sequences are in flight from now on."""
        self._area += self._in_flight * (now - self._area_at)
        self._area_at = now
        if sequences > self._in_flight:
            self.fullness.sent(sequences - self._in_flight)
        self._in_flight = sequences

    def left(self, sequences: int, sent_at: float, now: float) -> None:
        """A request of so many sequences came back, however it went."""
        if self.fullness.load is not None:
            self.fullness.left(sequences, sent_at, now)

    def answered(
        self,
        sequences: int,
        tokens: float,
        sent_at: float,
        now: float,
        queued_s: float | None = None,
    ) -> None:
        """A request came back well, with so many output tokens over all its sequences.

        `queued_s`: how long it waited in the server's queue, where its headers say so.
        """
        if self.fixed or sent_at < self._round.since or sent_at < self._last_cut:
            return
        self._uncut = 0.0
        self._round.add(sequences, tokens or sequences, now - sent_at)
        self._round.queued_s += sequences * (queued_s or 0.0)
        if now - self._round.since < (LEAST_TOLD_S if self.told(now) else LEAST_ROUND_S):
            return
        whole = self._round.sequences >= max(self._limit, LEAST_ROUND)
        if (whole and self._round.requests > 1) or self._early():
            self._judge(now)

    def congested(self, sent_at: float, now: float, why: str) -> None:
        """So much came back refused that there must be too much in flight."""
        if self.fixed or sent_at < self._last_cut:
            return
        self._last_cut = now
        self._was_cut = True
        self._last = None
        self._uncut = max(self._uncut, self._limit)
        self._refused_at = self._limit
        self._most_step = min(self._most_step, STEP)
        self._set(self._limit * CUT, now, why)

    def back(self, now: float) -> None:
        """The server was away: what failed last was its end, and no sign of too much in flight."""
        if self._uncut:
            self._refused_at = 0.0
            self._set(self._uncut, now, "the server is back")
            self._uncut = 0.0

    @property
    def slowed(self) -> bool:
        """Whether a sequence may be slower for what else is in flight; in doubt once a cut."""
        measured = self._last is None or self._round.sequences >= LEAST_ROUND
        speed = self._round.speed if measured or self._last is None else self._last.speed
        slowed = self._levels.slowed(float(self._in_flight), speed)
        if slowed is None:
            return self._last is not None or not self._round.requests
        return slowed

    def observe(self, load: ServerLoad, now: float) -> None:
        """The server says how much runs and how much waits."""
        self.fullness.read(load, now, self._in_flight)

    def _early(self) -> bool:
        """Whether a few answers show already that the last doubling has slowed nothing down."""
        if self._before is None or self._most_step < 2.0 or self._round.queued > IN_QUEUE:
            return False
        enough = self._round.sequences >= max(START, self._limit / 2)
        return enough and self._round.speed >= UNSLOWED * self._before.speed

    def _judge(self, now: float) -> None:
        """A round is over: by what it measured the limit grows, stays or shrinks."""
        done = self._round
        self.moved(self._in_flight, now)
        span_s = now - done.since
        in_flight = (self._area - done.area) / span_s if span_s > 0 else float(self._in_flight)
        longer = OF_TIMEOUT * self._timeout_s / done.longest_s if done.longest_s > 0 else 2.0
        self._within_timeout = max(in_flight, 1.0) * max(min(longer, 2.0), longer / LONG_TAIL)
        if self._last_full < done.since or in_flight + self._asked < IN_USE * self._limit:
            self._begin(now)
            return
        self._last = level = self._levels.see(
            Level(max(in_flight, 1.0), done.tokens, done.sequence_s)
        )
        ratio = self._levels.next(level, self._step())
        if self.told(now):
            ratio = self._step()
        if done.queued > IN_QUEUE:
            ratio = min(ratio, 1.0 if done.queued < 2 * IN_QUEUE else 1 / STEP)
        if ratio > 1:
            self._before = level
            ratio = min(ratio, max(1.0, longer))
        else:
            self._before = None
            self._most_step = min(self._most_step, STEP)
        self._set(self._limit * ratio, now, GROWTH if ratio > 1 else "as fast with less in flight")

    def _step(self) -> float:
        """The largest step up from here."""
        if not self._refused_at:
            return self._most_step
        if self._limit > WELL_ABOVE * self._refused_at:
            self._refused_at = 0.0
            return self._most_step
        return STEP if self._limit * STEP < self._refused_at else NEAR_A_REFUSAL

    def _set(self, limit: float, now: float, why: str) -> None:
        before = self.limit
        self._limit = max(limit, float(self.least))
        if self.limit != before:
            self.history.append(Change(now, self.limit, why))
        self._begin(now)

    def _begin(self, now: float) -> None:
        """Measure anew from now on."""
        self.moved(self._in_flight, now)
        self._round = _Round(now, self._area)
