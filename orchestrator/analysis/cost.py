"""What coverage costs: dollars per solve, two prices of a point, marginal dollars, the frontier.

Money is whole picodollars wherever it is added up or reported; only ratios and chances are
binary floats. Two prices of a point on the curve: as bought (what this run had spent when its
k-th round was done) and at k (what k fresh attempts at each problem cost, the prompt once per
request of a stated batch size, and the first of them without a prompt cache).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestrator.analysis.intervals import difference
from orchestrator.analysis.unbiased import counts, whole

Rate = int | Fraction


@dataclass(frozen=True, slots=True)
class Fresh:
    """What attempts bought afresh cost: means summed over the problems, in picodollars."""

    first: Rate
    """The prompt of the first request at each problem, which finds no prompt cache."""
    later: Rate
    """The prompt of every further request at each problem."""
    each: Rate
    """The output of one attempt at each problem."""
    batch: int
    """Attempts per request."""

    def usd_at_k(self, k: int) -> int:
        """Picodollars of k fresh attempts at every problem, rounded up; ValueError for k < 1."""
        if k < 1 or self.batch < 1:
            raise ValueError("k and the attempts per request must be at least 1")
        requests = -(-k // self.batch)
        return math.ceil(self.first + (requests - 1) * self.later + k * self.each)


@dataclass(frozen=True, slots=True)
class CostPoint:
    """Coverage bought for an amount, by one arm at one k."""

    arm: str
    k: int
    cost: int
    """Picodollars."""
    coverage: float


@dataclass(frozen=True, slots=True)
class Marginal:
    """Picodollars per further solved problem between k_from and k_to.

    None: as far as the outcomes show, no further problem may be solved, at any price.
    """

    k_from: int
    k_to: int
    per_solve: int | None
    low: int | None
    high: int | None


def usd_per_solved(settled: int, uncertain: int, solved: int) -> int | None:
    """All settled and uncertain picodollars, failures included, over distinct problems solved."""
    return -(-(settled + uncertain) // solved) if solved else None


def usd_as_bought(first_slots: Sequence[int], costs: Sequence[int], ks: Sequence[int]) -> list[int]:
    """Picodollars of all requests whose first slot (from 0) lies below each k: rounds 1 to k."""
    pairs = sorted(zip(first_slots, costs, strict=True))
    firsts, sums = [first for first, _ in pairs], [0, *accumulate(cost for _, cost in pairs)]
    return [sums[bisect_left(firsts, k)] for k in ks]


def coverage_at_cost(
    problems: ArrayLike, costs: Sequence[int], passed: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Picodollars spent and distinct problems solved after each attempt, shapes [N].

    The three list attempts in the order of their reservation; defined for every policy.
    """
    problem, right = whole("problems", problems), np.asarray(passed, dtype=bool)
    if not len(problem) == len(costs) == len(right):
        raise ValueError("problems, costs and passed must have one entry for every attempt")
    fresh = np.zeros(len(problem), dtype=np.int64)
    where = np.flatnonzero(right)
    fresh[where[np.unique(problem[where], return_index=True)[1]]] = 1
    return np.cumsum(np.asarray(costs, dtype=np.int64)), np.cumsum(fresh)


def marginal(
    n: ArrayLike, c: ArrayLike, k_from: int, k_to: int, cost: int, *, level: float = 0.95
) -> Marginal:
    """Picodollars per further solve between two k of one uniform arm.

    n, c as for coverage; `cost`: what k_to attempts at every problem cost more than k_from.
    The interval is for these problems, of the difference itself: both k share their outcomes.
    """
    if not 0 < k_from < k_to:
        raise ValueError(f"the interval of k must rise from at least 1, not {k_from} to {k_to}")
    problems = len(counts(n, c))
    gain, low, high = difference(n, c, k_from, k_to, level)
    prices = [
        math.ceil(cost / (problems * part)) if part > 0 else None for part in (gain, high, low)
    ]
    return Marginal(k_from, k_to, *prices)


def frontier(points: Sequence[CostPoint]) -> list[CostPoint]:
    """The points that no other reaches or beats at the same or a lower cost, by rising cost."""
    best, kept = -1.0, []
    for point in sorted(points, key=lambda point: (point.cost, -point.coverage)):
        if point.coverage > best:
            kept.append(point)
            best = point.coverage
    return kept


def overtaken_at(cheap: Sequence[CostPoint], dear: CostPoint) -> CostPoint | None:
    """The first point (smallest k) of the cheap arm whose coverage passes the dear one's."""
    for point in sorted(cheap, key=lambda point: point.k):
        if point.coverage > dear.coverage:
            return point
    return None
