"""`until-solved`: breadth first, and solved problems leave (Reset-and-Discard, arXiv 2601.21522).

Each problem has at most one request whose slots are not all resolved, so at most one request's
worth of attempts is bought beyond a first success. The order of problems is shuffled anew every
round, so that a run cut short by its budget leaves no kind of problem behind. Solved is a problem
of which any slot passed; the estimate made from such runs (first success by dispatch index) needs
no more than that lower slots are never cancelled.
"""

from __future__ import annotations

import random

from orchestrator.schedule.base import ArmPlan, Draw


class UntilSolved:
    """Shuffled rounds over the unsolved problems of one arm.

    A round begins when all of the round before was given out; a problem whose last request is not
    resolved yet gets its turn in the round once it is.
    """

    estimators = ("survival",)

    def __init__(self, plan: ArmPlan) -> None:
        self._plan = plan
        self._planned = list(plan.planned)
        self._open_slots = list(plan.planned)
        self._solved = [False] * plan.problems
        self._rng = random.Random(f"{plan.seed} {plan.number}")
        self._ready: list[int] = []
        self._waiting: set[int] = set()
        self._depth = min(plan.planned, default=0)
        self._n = plan.n_per_request
        self.done = False

    @property
    def progress(self) -> float:
        return self._depth / self._plan.samples

    def next(self) -> Draw | None:
        if not self._ready and not self._waiting:
            self._begin_round()
        while self._ready:
            problem = self._ready.pop()
            if not self._wants(problem):
                continue
            if self._open_slots[problem] == 0:
                return self._take(problem)
            self._waiting.add(problem)
        return None

    def resolved(self, problem: int, slot: int, passed: bool | None) -> None:
        self._open_slots[problem] -= 1
        self._solved[problem] = self._solved[problem] or passed is True
        if problem in self._waiting and self._open_slots[problem] == 0:
            self._waiting.discard(problem)
            self._ready.append(problem)

    def paid(self, problem: int, n: int, cost: int) -> None:
        """Breadth first looks at outcomes, not at costs."""

    def _begin_round(self) -> None:
        self._ready = [p for p in range(self._plan.problems) if self._wants(p)]
        self.done = not self._ready
        if self._ready:
            self._depth = min(self._planned[problem] for problem in self._ready)
            # Those ahead of the round (a resumed run) wait until the others have come up.
            self._ready = [p for p in self._ready if self._planned[p] == self._depth]
            self._n = self._plan.round_n(self._ready)
            if not self._n:
                self._ready = []
        self._rng.shuffle(self._ready)

    def _wants(self, problem: int) -> bool:
        return not self._solved[problem] and self._planned[problem] < self._plan.samples

    def _take(self, problem: int) -> Draw:
        slot = self._planned[problem]
        n = min(self._n, self._plan.samples - slot)
        self._planned[problem] = slot + n
        self._open_slots[problem] += n
        return Draw(self._plan.number, problem, slot, n)


POLICY = UntilSolved
