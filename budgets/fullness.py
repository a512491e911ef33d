"""How full a server is that tells how many sequences run and how many wait: full, no deep queue.

A request of n sequences leaves its places one by one, so what a client has in flight says little
of what a server works on. Its own numbers, read now and then, do: between two readings what was
sent is added and what is finished at the usual pace is taken away. A request may go when what the
server works on would then be no more than its places and a short queue, so that no place is empty
until the next reading. The places are what ran while others waited: an engine that runs out of
memory for more shows fewer.

Short answers come and go between two readings, and what has just come waits for the next step of an
engine that is far from full. So where places are seen empty though more was wanted, and less waits
than half of what runs, more may be sent than that, up to `MOST_MARGIN` times the places; with it
what is seen to run grows, and so what is taken for the places.

Pure; times are any one clock's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

QUEUE = 0.25
"""Of its places, how many sequences may wait."""
FIRST = 64.0
"""Sequences that a server gets before its places are known; doubled once more than half run."""
FASTER = 1.5
"""It is doubled as well where the last doubling made it so much faster: short answers are over
before a reading sees them."""
STALE_S = 10.0
"""A reading older than that is not believed."""
SURE = 0.6
"""Of the share of what is in flight that was seen to be worked on at most, so much always counts:
answers that wait for a busy client are worked on nowhere, and a reading among them misleads."""
AHEAD = 0.5
"""Of its places, how many are taken for free again before an answer has shown it."""
LEARN = 0.3
READINGS = 8
"""Readings by which a server is judged,"""
LEAST_READINGS = 5
"""and how many of them it takes."""
TAKEN = 0.9
"""Of the most that ran, at so much all places are taken."""
MOST_EMPTY = 0.25
"""More is sent where more of the readings saw empty places,"""
MOST_QUEUE = 0.5
"""and where no more than so much of what runs waits, on average."""
LESS_AGAIN = 0.95
MOST_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """What a server says of itself, over all its clients; counters since it started."""

    running: float
    """Sequences that it works on."""
    waiting: float
    """Sequences in its queue."""
    preemptions: float = 0.0
    """Sequences that it began and put back for want of memory."""
    generated_tokens: float | None = None
    """A count that moves while it works; None where it tells none."""
    kv_usage: float | None = None
    """Share of its key-value cache in use, 0 to 1."""
    prefix_queries: float = 0.0
    prefix_hits: float = 0.0
    """Prompt tokens looked up in its prefix cache, and found there."""


class Fullness:
    """One server's places and what it works on, by its own readings."""

    def __init__(self) -> None:
        self.load: ServerLoad | None = None
        """The last reading."""
        self.places = 0.0
        """Sequences that run at once; 0: more than were ever sent."""
        self._read_at = float("-inf")
        self._sent = 0.0
        """Sequences sent since the last reading,"""
        self._back = self._written = 0.0
        """those of the requests that came back since, and how many were written since, at least."""
        self._between_s = 0.0
        """Seconds between the last two readings."""
        self._finished = self._finished_before = 0.0
        """Sequences finished a second, now and when more was last tried."""
        self._others = 0.0
        """Sequences of other clients at the last reading, at least."""
        self._trial = FIRST
        self._margin = 1 + QUEUE
        """How many times its places may be sent."""
        self._wanted = False
        """Whether more was wanted than was free, since the last reading."""
        self._recent: deque[ServerLoad] = deque(maxlen=READINGS)
        self._shares: deque[float] = deque(maxlen=READINGS)
        """How much of what this client had in flight was worked on, at each reading."""

    def known(self, now: float) -> bool:
        """Whether there is a reading to go by."""
        return self.load is not None and now - self._read_at < STALE_S

    @property
    def why(self) -> str:
        """What limits a server that has no room, in words."""
        if self.places:
            return f"places ({self.places:g} sequences at once, as it tells)"
        return f"places, which are being found out ({self._trial:g} sequences at once so far)"

    def read(self, load: ServerLoad, now: float, own: int = 0) -> None:
        """Take a reading, at which this client had `own` sequences in flight."""
        self._others = max(0.0, load.running + load.waiting - own)
        if own:
            self._shares.append(min(1.0, (load.running + load.waiting) / own))
        if self.load is not None and now > self._read_at:
            before = self.load.running + self.load.waiting
            gone = max(0.0, before + self._sent - load.running - load.waiting)
            pace = gone / (now - self._read_at)
            self._finished += (LEARN if self._finished else 1.0) * (pace - self._finished)
        self._recent.append(load)
        self._judge()
        self._wanted = False
        if self.load is not None:
            self._between_s = min(now - self._read_at, STALE_S)
        self.load, self._read_at = load, now
        self._sent = self._back = self._written = 0.0

    def _judge(self) -> None:
        """Find the places, and how many times as much may be sent."""
        recent, known = self._recent, len(self._recent) >= LEAST_READINGS
        most = max(one.running for one in recent)
        taken = sum(one.running >= TAKEN * most for one in recent)
        # What waits while places are empty has only just come.
        full = sum(one.waiting > 0 and one.running >= TAKEN * most for one in recent)
        waiting, running = sum(one.waiting for one in recent), sum(one.running for one in recent)
        calm = waiting <= MOST_QUEUE * running
        lively = known and calm
        empty = len(recent) - taken > MOST_EMPTY * len(recent)
        # Readings among lulls of a busy client rarely see it full, and yet more waits than runs.
        if known and (full > len(recent) / 2 or waiting > running):
            self.places = max(most, 1.0)
        elif self.places:
            self.places = max(self.places, most)
        elif self._wanted and calm and self._worth_more(most):
            self._trial *= 2
            self._finished_before = self._finished
        if self._wanted and self.places and empty and lively:
            self._margin = min(self._margin * (1 + QUEUE), MOST_MARGIN)
        else:
            self._margin = max(self._margin * LESS_AGAIN, 1 + QUEUE)

    def _worth_more(self, most: float) -> bool:
        """Whether what is tried is used, or the last step up paid."""
        return most > self._trial / 2 or self._finished > FASTER * self._finished_before

    def sent(self, sequences: int) -> None:
        """A request of so many sequences went to the server."""
        self._sent += sequences

    def left(self, sequences: int, sent_at: float, now: float) -> None:
        """A request of so many sequences came back."""
        self._back += sequences
        # Some were written before the last reading. Where answers take no longer than it is between
        # two readings, as many were since of the requests that are still in flight.
        self._written += sequences * min(1.0, self._between_s / max(now - sent_at, 1e-9))

    def worked_on(self, now: float, own: int, asked: int = 0) -> float:
        """Sequences that it runs or queues now, of which at most `own` are this client's.

        A request of `asked` may always go beyond what is only sure by what is in flight.
        """
        if self.load is None:
            return self._sent
        there = self.load.running + self.load.waiting + self._sent
        gone = max(self._finished * (now - self._read_at), self._written)
        # A machine may stand still, whatever its pace was: what came back says so.
        gone = min(gone, self._back + AHEAD * (self.places or self._trial))
        sure = SURE * max(self._shares, default=0.0) * max(0, own - asked)
        return min(max(sure, there - gone), own + self._others)

    def free(self, now: float, own: int, asked: int = 1) -> float:
        """Sequences that would find a place soon; negative where too many wait already.

        Of a request of `asked` half must find one, or half of the places where it is larger than
        they are, since places would stay empty otherwise.
        """
        places = self.places or self._trial
        most = self.places * self._margin if self.places else self._trial
        free = most - self.worked_on(now, own, asked) + asked - min(asked, places) / 2
        self._wanted = self._wanted or free < asked
        return free
