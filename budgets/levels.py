"""What a server was seen to do with so much in flight, and how much should be in flight next.

A level is a number of sequences in flight and the speed that each had there, in output tokens a
second. By Little's law their product is the server's throughput; it is far steadier over a few
answers than counting what came back. `gain` is the power of the ratio in flight by which
throughput grew between two levels: 1 where it grew in proportion, 0 where it did not grow, so that
whatever was more in flight only waited.

`Levels.next` looks for the most in flight that is worth it: the least at which throughput /
in flight ** PRICE_OF_A_PLACE is greatest. Levels that were measured long ago count no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PRICE_OF_A_PLACE = 0.1
"""What more in flight must give: 10 % more of it at least 1 % more throughput."""
STEP = 1.25
"""The ratio between neighbours."""
STEPS_BY_GAIN = ((0.8, 2.0), (0.5, 1.4), (PRICE_OF_A_PLACE, STEP))
"""How far to go up by what the last step up gave: where it paid in full, double."""
APART = 1.12
"""Levels closer than that are one."""
WIDE = 1.35
"""A gap between levels in which the right one may lie."""
UNSLOWED = 0.8
"""A sequence that keeps so much of its speed is about as fast as before."""
KEPT = 0.7
"""What an earlier measurement of a level counts beside a new one."""
MEMORY = 16
"""Measurements after which a level is forgotten."""


@dataclass(slots=True)
class Level:
    """What was measured with so many sequences in flight."""

    in_flight: float
    tokens: float
    sequence_s: float
    """Seconds that the sequences took, summed: a request of n counts its time n times."""
    number: int = 0
    """Of the measurement in which it was seen last."""

    @property
    def speed(self) -> float:
        """Tokens a second of one sequence."""
        return self.tokens / max(self.sequence_s, 1e-9)

    @property
    def throughput(self) -> float:
        return self.in_flight * self.speed


def gain(low: Level, high: Level) -> float:
    """By which power of what is in flight throughput grows between two levels."""
    if low.throughput <= 0 or high.throughput <= 0:
        return 1.0
    return math.log(high.throughput / low.throughput) / math.log(high.in_flight / low.in_flight)


class Levels:
    """The levels measured lately."""

    def __init__(self) -> None:
        self._levels: dict[int, Level] = {}
        self._number = 0

    def see(self, seen: Level) -> Level:
        """Take in a measurement; the level as it is known with it."""
        self._number += 1
        seen.number = self._number
        place = round(math.log(max(seen.in_flight, 1.0)) / math.log(STEP))
        before = self._levels.get(place)
        if before is not None and self._fresh(before):
            seen.tokens += KEPT * before.tokens
            seen.sequence_s += KEPT * before.sequence_s
            seen.in_flight += KEPT / (1 + KEPT) * (before.in_flight - seen.in_flight)
        self._levels[place] = seen
        return seen

    def next(self, now: Level, most: float = 2.0) -> float:
        """By which ratio what is in flight should change after `now`; 1: not at all.

        `most`: the largest step up.
        """
        low, high = self._neighbours(now)
        paid = None if low is None else gain(low, now)
        if low is not None and paid is not None and paid < PRICE_OF_A_PLACE:
            # Where throughput grew in proportion up to a sharp limit, that limit lies here.
            knee = now.throughput / low.speed
            return max(low.in_flight, min(knee, now.in_flight / STEP)) / now.in_flight
        if high is None:
            return min(most, _step(1.0 if paid is None else paid))
        if (promised := gain(now, high)) >= PRICE_OF_A_PLACE:
            return min(most, _step(promised), high.in_flight / now.in_flight)
        if low is None or now.in_flight > WIDE * low.in_flight:
            return 1 / STEP
        return 1.0

    def slowed(self, in_flight: float, speed: float) -> bool | None:
        """Whether so much in flight makes a sequence slower; None: nothing else was measured."""
        known = [level for level in self._levels.values() if self._fresh(level)]
        below = [level.speed for level in known if level.in_flight * APART <= in_flight]
        if below:
            return speed < UNSLOWED * max(below)
        above = [level.speed for level in known if level.in_flight >= in_flight * APART]
        return None if not above else min(above) < UNSLOWED * speed

    def _fresh(self, level: Level) -> bool:
        return self._number - level.number <= MEMORY

    def _neighbours(self, now: Level) -> tuple[Level | None, Level | None]:
        known = [level for level in self._levels.values() if self._fresh(level)]
        below = [level for level in known if level.in_flight * APART <= now.in_flight]
        above = [level for level in known if level.in_flight >= now.in_flight * APART]
        return (
            max(below, key=lambda level: level.in_flight, default=None),
            min(above, key=lambda level: level.in_flight, default=None),
        )


def _step(paid: float) -> float:
    return next((ratio for least, ratio in STEPS_BY_GAIN if paid >= least), 1.0)
