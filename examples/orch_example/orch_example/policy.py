"""A policy: rounds over the problems from the last to the first, two attempts at a time.

Every problem gets the same number of attempts, fixed beforehand and whatever comes of them, so
the unbiased estimator fits. orch refuses a policy that does not say what fits it.
"""

from __future__ import annotations

from orchestrator import ArmPlan, Draw


class HardestLast:
    """Breadth first, backwards."""

    estimators = ("unbiased",)

    def __init__(self, plan: ArmPlan) -> None:
        self._plan = plan
        self._next = list(plan.planned)
        self.done = False

    @property
    def progress(self) -> float:
        """The share of the plan that was given out."""
        wanted = self._plan.samples * self._plan.problems
        return sum(min(slot, self._plan.samples) for slot in self._next) / wanted

    def next(self) -> Draw | None:
        """The next draw, at the problem with the fewest attempts, the last of them first."""
        plan = self._plan
        slot, _, problem = min((slot, -i, i) for i, slot in enumerate(self._next))
        if slot >= plan.samples:
            self.done = True
            return None
        n = min(2, plan.n_per_request, plan.samples - slot)
        self._next[problem] += n
        return Draw(plan.number, problem, slot, n)

    def resolved(self, problem: int, slot: int, passed: bool | None) -> None:
        """Outcomes change nothing."""

    def paid(self, problem: int, n: int, cost: int) -> None:
        """Nor do costs."""


class NoEstimator(HardestLast):
    """What orch refuses before anything is bought: nothing says how to report its attempts."""

    estimators = ()
