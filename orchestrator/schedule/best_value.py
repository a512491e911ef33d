"""`best-value`: next comes the attempt with the highest chance of a first success per dollar.

The chance is the hazard of the beta-binomial posterior after a problem's failures so far, the
dollars are its mean cost so far, shrunk to the arm's (analysis/value.py). With equal costs this
is `until-solved`; it differs where problems cost differently. The posterior is fitted anew each
time the attempts have grown by a fifth, so that fitting never weighs against sampling.
"""

from __future__ import annotations

import numpy as np

from orchestrator.analysis.beta import BetaPosterior
from orchestrator.analysis.value import expected_cost, hazard_table, value_index
from orchestrator.schedule.base import ArmPlan, Draw

GROWTH = 1.2


class BestValue:
    """The unsolved problems of one arm by value of their next attempt."""

    estimators = ("survival", "model")

    def __init__(self, plan: ArmPlan) -> None:
        self._plan = plan
        self._planned = np.array(plan.planned, dtype=np.int64)
        self._open_slots = self._planned.copy()
        self._failures = np.zeros(plan.problems, dtype=np.int64)
        self._solved = np.zeros(plan.problems, dtype=bool)
        self._spent = np.zeros(plan.problems)
        self._attempts = np.zeros(plan.problems)
        # Equal values are told apart by chance, not by the order of the task.
        self._tie = 1.0 - 1e-9 * np.random.default_rng(plan.seed).random(plan.problems)
        self._hazard = np.ones(1)
        self._fit_at = float(2 * plan.problems)
        self._first_n = 0
        self.done = False

    @property
    def progress(self) -> float:
        return float(self._planned.sum()) / (self._plan.problems * self._plan.samples)

    def next(self) -> Draw | None:
        wanted = ~self._solved & (self._planned < self._plan.samples)
        if not wanted.any():
            self.done = True
            return None
        free = np.flatnonzero(wanted & (self._open_slots == 0))
        if not len(free):
            return None
        if self._failures.sum() >= self._fit_at:
            self._fit()
        unasked = np.flatnonzero(self._planned == 0)
        if len(unasked):
            # Every problem is asked once before any is asked again.
            self._first_n = self._first_n or self._plan.round_n(unasked.tolist())
            if not self._first_n:
                return None
            free = unasked
        problem = int(free[np.argmax(self._values()[free])])
        slot = int(self._planned[problem])
        n = self._first_n if len(unasked) else self._plan.n_per_request
        n = min(n, self._plan.samples - slot)
        self._planned[problem] += n
        self._open_slots[problem] += n
        return Draw(self._plan.number, problem, slot, n)

    def resolved(self, problem: int, slot: int, passed: bool | None) -> None:
        self._open_slots[problem] -= 1
        if passed:
            self._solved[problem] = True
        else:
            self._failures[problem] += 1

    def paid(self, problem: int, n: int, cost: int) -> None:
        self._spent[problem] += cost
        self._attempts[problem] += n

    def _values(self) -> np.ndarray:
        if len(self._hazard) == 1:
            # Before the first fit: fewest failures first.
            hazard = 1.0 / (1.0 + self._failures)
        else:
            hazard = self._hazard[np.minimum(self._failures, len(self._hazard) - 1)]
        bought = self._attempts.sum()
        mean = self._spent.sum() / bought if bought else 0.0
        if not mean:
            return hazard * self._tie
        cost = expected_cost(self._spent, self._attempts, prior_cost=mean)
        return value_index(hazard, cost) * self._tie

    def _fit(self) -> None:
        posterior = BetaPosterior.from_first_successes(self._failures, self._solved)
        self._hazard = hazard_table(posterior, self._plan.samples)
        self._fit_at = float(self._failures.sum()) * GROWTH


POLICY = BestValue
