"""Arms at equal cost: how far a budget goes with each, and from where on one covers more.

A budget buys an arm the largest k whose cost for all problems fits; k is never larger than the
attempts that were made, so beyond an arm's own total its last k stands, at its own lower cost.
Costs are any number that rises with k: picodollars, GPU-hours, operations. An arm overtakes
another at the smallest budget from which on it covers more, as far as both have attempts; its
interval is that of a bootstrap over problems.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.analysis.unbiased import Floats, counts, failing_at, whole

STEPS = 60
"""Budgets at which it is looked for who covers more, evenly in their logarithm."""
DRAWS = 400


@dataclass(frozen=True, slots=True)
class Buyable:
    """One arm's outcomes on the shared problems, in the same order for every arm."""

    n: tuple[int, ...]
    c: tuple[int, ...]
    cost: Callable[[int], float]
    """Of k attempts at each of these problems; rises with k."""

    @property
    def most(self) -> int:
        return min(self.n)

    @property
    def total(self) -> float:
        """What all its attempts at these problems cost."""
        return self.cost(self.most)

    def affordable(self, budget: float) -> int:
        """The largest k that `budget` buys, at most what was made; 0: not one attempt each."""
        low, high = 0, self.most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.cost(middle) <= budget else (low, middle - 1)
        return low

    def each(self, ks: ArrayLike) -> Floats:
        """pass@k of every problem at each of `ks`, which do not fall: [K, P]; 0 at k = 0."""
        return 1.0 - failing_at(counts(self.n, self.c), whole("c", self.c), whole("k", ks))


@dataclass(frozen=True, slots=True)
class Overtaking:
    """From which budget on the first arm covers more than the second."""

    first: int
    second: int
    budget: float
    k: int
    """Attempts of the first arm at that budget."""
    low: float
    high: float
    """95 % bootstrap interval; infinite: it may never, as far as both have attempts."""


def budgets_of(arms: Sequence[Buyable], most: int = 8) -> list[float]:
    """Budgets worth a line: what one attempt each and all attempts cost, of every arm."""
    ends = sorted({cost for arm in arms for cost in (arm.cost(1), arm.total)})
    kept: list[float] = []
    for end in ends:
        if not kept or end > 1.02 * kept[-1]:
            kept.append(end)
        else:
            # So near each other, the larger buys both.
            kept[-1] = end
    if len(kept) > most:
        places = np.unique(np.round(np.linspace(0, len(kept) - 1, most)).astype(int))
        kept = [kept[place] for place in places]
    return kept


def deciding_budget(arms: Sequence[Buyable]) -> float:
    """The largest budget that every arm's attempts reach, but at least what buys one of each."""
    return max(min(arm.total for arm in arms), max(arm.cost(1) for arm in arms))


def overtakings(arms: Sequence[Buyable], seed: int = 0) -> list[Overtaking]:
    """Where arms that cover less at small budgets come to cover more."""
    problems = len(arms[0].n)
    draw = np.random.default_rng(seed)
    weights = draw.multinomial(problems, np.full(problems, 1 / problems), size=DRAWS) / problems
    found = []
    for i, j in permutations(range(len(arms)), 2):
        start = max(arms[i].cost(1), arms[j].cost(1))
        end = min(arms[i].total, arms[j].total)
        if start < end:
            grid = np.geomspace(start, end, STEPS) * (1.0 + 1e-12)
            gap = _rows(arms[i], grid) - _rows(arms[j], grid)
            mean = gap.mean(axis=1)
            at = _from(mean[None, :])[0]
            # One that covers more from the first budget on does not overtake.
            if 0 < at < STEPS:
                places = np.append(grid, np.inf)[_from(weights @ gap.T)]
                low, high = np.quantile(places, [0.025, 0.975], method="nearest")
                k = arms[i].affordable(float(grid[at]))
                found.append(Overtaking(i, j, float(grid[at]), k, float(low), float(high)))
    return found


def _rows(arm: Buyable, budgets: Floats) -> Floats:
    return arm.each([arm.affordable(float(budget)) for budget in budgets])


def _from(gaps: Floats) -> np.ndarray:
    """The first column from which on a row stays above 0; the number of columns: none."""
    behind = gaps <= 0.0
    last = gaps.shape[1] - 1 - np.argmax(behind[:, ::-1], axis=1)
    return np.where(behind.any(axis=1), last + 1, 0)
