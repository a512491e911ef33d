"""The end of an arm whose servers are several: longest first, and in pieces, so that none idles.

Once what is left fits into the places of the fleet, or is only a few requests for each, its order
changes nothing but the time: what is expected to take longest goes first, and each request is cut
down to a share of what is left (half of one server's even share), since a large one at the end
keeps one server busy while the others have nothing. A request that is planned is never changed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from msgspec import structs

from orchestrator.plan.ready import ReadyArm
from orchestrator.schedule import Draw, Schedule
from providers.fleet.admission import FleetLimiter
from providers.fleet.provider import FleetProvider, prompt_of

PIECES = 2
"""Pieces that each server's share of the rest is cut into."""


def piece(left: int, servers: int, n: int) -> int:
    """How many of `n` choices to ask at once where `left` are left for so many servers."""
    return max(1, min(n, math.ceil(left / (PIECES * max(servers, 1)))))


class Tail:
    """Gives out a schedule's draws, an arm's last ones in its own order."""

    def __init__(self, schedule: Schedule, arms: Sequence[ReadyArm]) -> None:
        self._schedule = schedule
        self._arms = arms
        self._rest: dict[int, deque[Draw]] = {}

    def next(self) -> Draw | None:
        """The next draw of any arm; as Schedule.next."""
        draw = self._schedule.next()
        if draw is None:
            return None
        arm = self._arms[draw.arm]
        if not isinstance(arm.limiter, FleetLimiter):
            return draw
        left = self._schedule.left(draw.arm)
        if left is None:
            return draw
        left += draw.n
        servers = len(arm.limiter.fleet.open_servers())
        if left > arm.limiter.places and piece(left, servers, draw.n) == draw.n:
            return draw
        draws = [draw, *self._schedule.rest(draw.arm)]
        draws.sort(key=lambda one: self._expected(arm, one), reverse=True)
        first = draws[0]
        n = piece(left, servers, first.n)
        if n < first.n:
            draws[0] = structs.replace(first, first_slot=first.first_slot + n, n=first.n - n)
            first = structs.replace(first, n=n)
        else:
            del draws[0]
        for one in reversed(draws):
            self._schedule.give_back(one)
        return first

    @staticmethod
    def _expected(arm: ReadyArm, draw: Draw) -> float:
        """Output tokens expected of a draw; equal ones keep their order."""
        assert isinstance(arm.provider, FleetProvider)
        problem = arm.problems[draw.problem]
        request = structs.replace(arm.base, prompt=problem.prompt, messages=problem.messages)
        return arm.provider.expected_tokens(prompt_of(request))
