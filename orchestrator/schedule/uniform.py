"""`uniform`: the same number of attempts for every problem, breadth first, in whole rounds.

A round gives every problem the next `n_per_request` slots, fewer where the money would not
complete it.
"""

from __future__ import annotations

from orchestrator.schedule.base import ArmPlan, Draw


class Uniform:
    """Breadth-first rounds over the problems of one arm."""

    estimators = ("unbiased",)

    def __init__(self, plan: ArmPlan) -> None:
        self._plan = plan
        self._planned = list(plan.planned)
        self._given = sum(min(slot, plan.samples) for slot in self._planned)
        self._target = 0
        self._problem = plan.problems
        self.done = False

    @property
    def progress(self) -> float:
        return self._given / (self._plan.problems * self._plan.samples)

    @property
    def left(self) -> int:
        """Slots that were not given out; their order is free, since no outcome decides on them."""
        return self._plan.problems * self._plan.samples - self._given

    def next(self) -> Draw | None:
        plan = self._plan
        while not self.done:
            if self._problem == plan.problems:
                lowest = min(self._planned)
                if lowest >= plan.samples:
                    self.done = True
                    return None
                behind = [p for p, slot in enumerate(self._planned) if slot == lowest]
                n = plan.round_n(behind)
                if not n:
                    return None
                self._target = min(lowest + n, plan.samples)
                self._problem = 0
            slot = self._planned[self._problem]
            if slot < self._target:
                n = min(plan.n_per_request, self._target - slot)
                self._planned[self._problem] = slot + n
                self._given += n
                return Draw(plan.number, self._problem, slot, n)
            self._problem += 1
        return None

    def resolved(self, problem: int, slot: int, passed: bool | None) -> None:
        """The plan does not look at outcomes."""

    def paid(self, problem: int, n: int, cost: int) -> None:
        """Nor at costs."""


POLICY = Uniform
