"""How many attempts a round may give each problem, so that the money completes it for all of them.

A policy asks at the start of each round. What one more attempt costs is reckoned by the price and
by the outputs seen so far (two standard errors above their mean; max_tokens before any came), or
by the time that attempts took where a server is paid by the hour. Arms that share a cap share
what is left of it in the measure of what their plans still need. Where a whole round of the
wanted size does not fit and answers are under way, it is asked again once they came: what they
did not use is free by then, and what outputs are like is known better.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence

from budgets.ledger import Ledger
from orchestrator.engine.counters import RunState
from orchestrator.plan.ready import ReadyArm

PESSIMISTIC_PER_S = 1.0
"""Attempts a second that a server is trusted to make before any came."""


class Rounds:
    """Sizes the rounds of every arm of a run."""

    def __init__(self, arms: Sequence[ReadyArm], ledger: Ledger, state: RunState) -> None:
        self._arms = arms
        self._ledger = ledger
        self._state = state
        self._began: float | None = None

    def fitting(self, number: int, problems: Sequence[int]) -> int:
        """Attempts per request for a round over these problems of an arm.

        At least 1, whether that fits or not; 0: to be asked again when an answer came.
        """
        arm = self._arms[number]
        self._began = self._began or time.monotonic()
        most = min(arm.n_per_request, arm.n_limit or arm.n_per_request)
        room = self._room(arm)
        if most <= 1 or room is None or self._cost(arm, problems, most) <= room:
            return most
        if self._state.arms[number].in_flight and not arm.batch:
            return 0
        low, high = 1, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if self._cost(arm, problems, middle) <= room else (low, middle - 1)
            )
        return low

    def _room(self, arm: ReadyArm) -> int | None:
        """Picodollars that the arm may spend by now; None: as many as it wants."""
        room = self._ledger.room(arm.scopes)
        run = self._ledger.room()
        if room is None or run is None:
            return room
        needs = [self._need(other) for other in self._arms]
        whole = sum(needs)
        share = needs[arm.number] / whole if whole else 1.0
        return min(room, math.floor(run * share))

    def _need(self, arm: ReadyArm) -> float:
        """About what an arm's plan still costs."""
        counts = self._state.arms[arm.number]
        left = max(counts.planned - counts.filled, 0)
        if arm.closed or not left or not arm.problems:
            return 0.0
        problems = range(len(arm.problems))
        return (
            self._cost(arm, problems, arm.n_per_request)
            * left
            / (len(problems) * arm.n_per_request)
        )

    def _cost(self, arm: ReadyArm, problems: Sequence[int], n: int) -> int:
        """Picodollars of n more attempts at each of the problems, all reserved by their end."""
        if arm.price is None:
            return self._time_cost(arm, len(problems) * n)
        output = self._state.arms[arm.number].lengths.upper(len(problems) * n)
        each = arm.base.max_tokens if output is None else min(output, arm.base.max_tokens)
        bounds = Counter(arm.prompt_bounds[problem] for problem in problems)
        whole = sum(arm.cost_of(bound, math.ceil(each * n), 1) * k for bound, k in bounds.items())
        # The last is reserved at its worst case, whatever it then costs.
        dearest = max(bounds)
        return (
            whole
            + arm.cost_of(dearest, arm.base.max_tokens, n)
            - arm.cost_of(dearest, math.ceil(each * n), 1)
        )

    def _time_cost(self, arm: ReadyArm, attempts: int) -> int:
        """What the time of so many attempts costs by the speed so far, all arms of it together."""
        meter = arm.meter
        if meter is None:
            return 0
        done = self._state.filled - self._state.filled_before
        took_s = time.monotonic() - (self._began or time.monotonic())
        speed = done / took_s if done and took_s > 0 else PESSIMISTIC_PER_S
        return math.ceil(attempts / speed * arm.usd_per_hour / 3600)
