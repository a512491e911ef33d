"""How full a server is that tells how many sequences run and how many wait: full, no deep queue.

A request of n sequences leaves its places one by one, so what a client has in flight says little
of what a server works on. Its own numbers, read now and then, do: between two readings what was
sent is added and what is finished at the usual pace is taken away. A request may go when what the
server works on would then be no more than its places and a short queue, so that no place is empty
until the next reading. The places are what ran while others waited: an engine that runs out of
memory for more shows fewer.

Pure; times are any one clock's.
"""

from __future__ import annotations

from collections import deque

from budgets.concurrency import ServerLoad

QUEUE = 0.25
"""Of its places, how many sequences may wait."""
FIRST = 64.0
"""Sequences that a server gets before its places are known; doubled while none waits."""
STALE_S = 10.0
"""A reading older than that is not believed."""
LEARN = 0.3
READINGS = 8
"""Readings in which the places are looked for: the most that ran in any of them."""
QUEUED_READINGS = 2
"""Of those, how many must have seen a queue."""


class Fullness:
    """One server's places and what it works on, by its own readings."""

    def __init__(self) -> None:
        self.load: ServerLoad | None = None
        """The last reading."""
        self.places = 0.0
        """Sequences that run at once; 0: more than were ever sent."""
        self._read_at = float("-inf")
        self._sent = 0.0
        """Sequences sent since the last reading."""
        self._finished = 0.0
        """Sequences finished a second."""
        self._others = 0.0
        """Sequences of other clients at the last reading, at least."""
        self._trial = FIRST
        self._recent: deque[ServerLoad] = deque(maxlen=READINGS)

    def known(self, now: float) -> bool:
        """Whether there is a reading to go by."""
        return self.load is not None and now - self._read_at < STALE_S

    def read(self, load: ServerLoad, now: float, own: int = 0) -> None:
        """Take a reading, at which this client had `own` sequences in flight."""
        self._others = max(0.0, load.running + load.waiting - own)
        if self.load is not None and now > self._read_at:
            before = self.load.running + self.load.waiting
            gone = max(0.0, before + self._sent - load.running - load.waiting)
            pace = gone / (now - self._read_at)
            self._finished += (LEARN if self._finished else 1.0) * (pace - self._finished)
        self._recent.append(load)
        queued = sum(one.waiting > 0 for one in self._recent)
        most = max(one.running for one in self._recent)
        if queued >= QUEUED_READINGS or (self.places and most > self.places):
            # One reading alone may fall between a request's arrival and the next step.
            self.places = max(most, 1.0)
        elif not self.places and not load.waiting and load.running >= self._trial / 2:
            self._trial *= 2
        self.load, self._read_at, self._sent = load, now, 0.0

    def sent(self, sequences: int) -> None:
        """A request of so many sequences went to the server."""
        self._sent += sequences

    def worked_on(self, now: float, own: int) -> float:
        """Sequences that it runs or queues now, of which at most `own` are this client's."""
        if self.load is None:
            return self._sent
        at_reading = self.load.running + self.load.waiting
        paced = max(0.0, at_reading + self._sent - self._finished * (now - self._read_at))
        # Short answers come and go between two readings.
        return min(paced, own + self._others)

    def free(self, now: float, own: int) -> float:
        """Sequences that would find a place soon; negative where too many wait already."""
        most = self.places * (1 + QUEUE) if self.places else self._trial
        return most - self.worked_on(now, own)
