"""How a budget is best split over arms on the same problems.

A problem is solved if any arm solves it, and arms are independent given the problem, so the chance
that it stays unsolved is the product of C(n-c, k)/C(n, k) over the arms. Every k up to an arm's
attempts is looked at. For two arms the best pair is found by trying every k of one with all that
the rest buys of the other; for more, pairs of arms are improved so in turn, from each arm alone,
until no pair improves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.analysis.intervals import Moments, problems_like_these
from orchestrator.analysis.unbiased import Floats, Integers, counts, failing_at, whole

MOST_CELLS = 4_000_000
"""Chances that are kept of one arm; a longer curve is thinned to this many, evenly in log k."""
ROUNDING = 1e-12
"""Coverage that differs by less than this is equal, and the cheaper way is taken."""


@dataclass(frozen=True, slots=True)
class Split:
    """Attempts per problem for each arm, what they cost (picodollars) and cover together."""

    attempts: tuple[int, ...]
    cost: int
    coverage: float
    low: float
    high: float
    """For problems like these, at 95 %."""


def split_budget(
    arms: Sequence[tuple[ArrayLike, ArrayLike]],
    prices: Sequence[Callable[[int], int]],
    budget: int,
) -> Split:
    """The split of `budget` picodollars that covers most.

    `arms`: (n, c) of each arm, both [P], problem by problem the same; `prices`: picodollars of k
    attempts at every problem. Of equal coverage the cheapest is taken. Raises ValueError where
    the counts make no sense.
    """
    curves = [_Curve(n, c, price) for (n, c), price in zip(arms, prices, strict=True)]
    best: list[int] | None = None
    for start in range(len(curves)):
        found = [0] * len(curves)
        found[start] = curves[start].best(budget)
        found = _improved(curves, found, budget)
        if best is None or _better(curves, found, best):
            best = found
    assert best is not None
    left = np.prod([curve.fails[at] for curve, at in zip(curves, best, strict=True)], axis=0)
    first, second, third = (np.array([(left**power).sum()]) for power in (1, 2, 3))
    moments = Moments(first, second, third, np.zeros(1), np.zeros(1))
    coverage = np.array([1.0 - float(left.mean())])
    low, high, _ = problems_like_these(moments, coverage, float(len(left)), 0.95)
    return Split(
        tuple(int(curve.ks[at]) for curve, at in zip(curves, best, strict=True)),
        sum(curve.costs[at] for curve, at in zip(curves, best, strict=True)),
        float(coverage[0]), float(low[0]), float(high[0]),
    )  # fmt: skip


class _Curve:
    """One arm: its k from 0 on, what each costs, and how likely each problem stays unsolved."""

    def __init__(self, n: ArrayLike, c: ArrayLike, price: Callable[[int], int]) -> None:
        attempts, right = counts(n, c), whole("c", c)
        last = int(attempts.min())
        most = max(MOST_CELLS // len(attempts), 2)
        every = np.arange(1, last + 1)
        if last > most:
            every = np.unique(np.round(np.geomspace(1, last, most)).astype(np.int64))
        self.ks: Integers = np.concatenate([[0], every])
        self.costs = [0, *(price(k) for k in every.tolist())]
        self.fails = failing_at(attempts, right, self.ks)

    def affordable(self, budget: int) -> int:
        """The place of the largest k that `budget` pays for."""
        return max(int(np.searchsorted(np.array(self.costs), budget, side="right")) - 1, 0)

    def best(self, budget: int) -> int:
        """The place that covers most by itself for `budget`; of equal ones the cheapest."""
        left = self.fails[: self.affordable(budget) + 1].sum(axis=1)
        return int(np.argmax(left <= left.min() + ROUNDING * len(self.fails[0])))


def _better(curves: Sequence[_Curve], one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether `one` covers more than `other`, or as much for less."""
    covered, costs = [], []
    for chosen in (one, other):
        left = np.prod([curve.fails[at] for curve, at in zip(curves, chosen, strict=True)], axis=0)
        covered.append(1.0 - float(left.mean()))
        costs.append(sum(curve.costs[at] for curve, at in zip(curves, chosen, strict=True)))
    gain = covered[0] - covered[1]
    return gain > ROUNDING or (gain > -ROUNDING and costs[0] < costs[1])


def _improved(curves: Sequence[_Curve], chosen: list[int], budget: int) -> list[int]:
    """The best that changing two arms at a time leads to."""
    improved = True
    while improved:
        improved = False
        for i, j in combinations(range(len(curves)), 2):
            others = [k for k in range(len(curves)) if k not in (i, j)]
            rest = np.ones(curves[i].fails.shape[1])
            for k in others:
                rest *= curves[k].fails[chosen[k]]
            left = budget - sum(curves[k].costs[chosen[k]] for k in others)
            found = list(chosen)
            found[i], found[j] = _best_pair(curves[i], curves[j], rest, left)
            if _better(curves, found, chosen):
                chosen, improved = found, True
    return chosen


def _best_pair(first: _Curve, second: _Curve, rest: Floats, budget: int) -> tuple[int, int]:
    """Places of the two k that leave fewest unsolved, `rest` being the chances of other arms."""
    upto = first.affordable(budget) + 1
    seconds = [second.affordable(budget - cost) for cost in first.costs[:upto]]
    left = np.einsum("kp,kp->k", first.fails[:upto] * rest, second.fails[seconds])
    # Rounding must not decide between what is equal: the cheaper is then taken.
    near = np.flatnonzero(left <= left.min() + ROUNDING * len(rest))
    at = min(near.tolist(), key=lambda k: first.costs[k] + second.costs[seconds[k]])
    return at, seconds[at]
