"""Stop an arm once its coverage is as high as wanted, looking seldom and only at whole rounds.

Looking at every k and stopping at the first that is high enough makes coverage look higher than
it is. So the looks are few (k = 1, 2, 5, 10, 20, ...), each waits until every slot below k is
judged, and the report widens its intervals for as many looks (report/estimate.py). Between looks
the arm's own policy chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from orchestrator.analysis.grid import points_to
from orchestrator.schedule import ArmPlan, Draw, Policy


class UntilTarget:
    """A policy that gives out another's draws up to the next look, and then looks."""

    def __init__(
        self,
        make: Callable[[ArmPlan], Policy],
        plan: ArmPlan,
        target: float,
        reached: Callable[[str], None],
    ) -> None:
        """`make` is the arm's own policy; `reached` is told in a sentence."""
        self._make, self._plan, self._target, self._reached = make, plan, target, reached
        self._looks = points_to(plan.samples)
        self._planned = list(plan.planned)
        self._resolved: list[dict[int, bool | None]] = [{} for _ in range(plan.problems)]
        self._inner = make(replace(plan, samples=self._looks[0]))
        self.estimators = self._inner.estimators
        self.done = False

    @property
    def progress(self) -> float:
        if self.done:
            return 1.0
        # Short of the whole until the last look was had.
        return min(sum(self._planned) / (self._plan.problems * self._plan.samples), 0.999)

    def next(self) -> Draw | None:
        while not self.done:
            draw = self._inner.next()
            if draw is not None:
                self._planned[draw.problem] = draw.first_slot + draw.n
                return draw
            if not self._inner.done or not self._judged():
                return None
            self._look()
        return None

    def resolved(self, problem: int, slot: int, passed: bool | None) -> None:
        self._resolved[problem][slot] = passed
        self._inner.resolved(problem, slot, passed)

    def paid(self, problem: int, n: int, cost: int) -> None:
        self._inner.paid(problem, n, cost)

    def _judged(self) -> bool:
        """Whether every slot that was given out is resolved."""
        return all(
            len(found) >= slot for found, slot in zip(self._resolved, self._planned, strict=True)
        )

    def _look(self) -> None:
        k = self._looks.pop(0)
        solved = sum(
            any(passed and slot < k for slot, passed in found.items()) for found in self._resolved
        )
        share = solved / self._plan.problems
        if share >= self._target:
            self._reached(
                f"the target of {100 * self._target:g} % is reached: {100 * share:.1f} % at k = {k}"
            )
        self.done = share >= self._target or not self._looks
        if not self.done:
            plan = replace(self._plan, samples=self._looks[0], planned=list(self._planned))
            self._inner = self._make(plan)
            for problem, found in enumerate(self._resolved):
                for slot, passed in sorted(found.items()):
                    self._inner.resolved(problem, slot, passed)
