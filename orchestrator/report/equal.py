"""The arms of a report at equal cost: what each covers for a budget, and who covers more.

Arms on one task are compared on the problems that all of them were asked, by what k attempts at
those cost afresh: in dollars, else in GPU-hours, else in operations, whichever all of them have.
An arm whose attempts stop at a success is taken at the k of its curve and what those cost as
bought, and is compared unpaired. Intervals are for problems like these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.analysis.compare import (
    Contrast,
    Difference,
    corrected,
    paired_contrast,
    unpaired_contrast,
)
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.equal import (
    Buyable,
    Overtaking,
    budgets_of,
    deciding_budget,
    overtakings,
)
from orchestrator.report.data import ArmReport, CoveragePoint
from orchestrator.report.describe import counts_of, groups_of

Unit = Literal["dollars", "GPU-hours", "operations"]


@dataclass(frozen=True, slots=True)
class CoverageAtBudget:
    """What one arm covers at one budget."""

    k: int
    """0: the budget does not pay for one attempt at every problem."""
    cost: float
    mean: float
    low: float
    high: float
    ended: bool
    """Whether these are all its attempts, though the budget would pay for more."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arms at one budget, by their places."""

    first: int
    second: int
    found: Difference


@dataclass(frozen=True, slots=True)
class Line:
    """All arms at one budget."""

    budget: float
    arms: tuple[CoverageAtBudget, ...]
    pairs: tuple[Pair, ...]

    @property
    def best(self) -> int:
        """The arm that covers most; of equal ones the cheaper."""
        return max(range(len(self.arms)), key=lambda i: (self.arms[i].mean, -self.arms[i].cost))

    def against(self, other: int) -> Difference | None:
        """The best arm minus another; None where that one has nothing at this budget."""
        for pair in self.pairs:
            if {pair.first, pair.second} == {self.best, other}:
                found = pair.found
                if pair.first == self.best:
                    return found
                return Difference(
                    -found.mean, -found.high, -found.low, found.problems, found.paired, found.level
                )
        return None


@dataclass(frozen=True, slots=True)
class Equal:
    """Arms on one task at equal cost."""

    task: str
    unit: Unit
    problems: int
    arms: tuple[ArmReport, ...]
    decision: Line
    lines: tuple[Line, ...]
    overtakings: tuple[Overtaking, ...]


def at_equal_cost(arms: Sequence[ArmReport]) -> list[Equal]:
    """One for each task with several arms that have a common price and problems."""
    found = []
    for task in dict.fromkeys(arm.task for arm in arms):
        group = [arm for arm in arms if arm.task == task and arm.points]
        if len(group) > 1 and (equal := _equal(task, group)) is not None:
            found.append(equal)
    return found


def _equal(task: str, arms: list[ArmReport]) -> Equal | None:
    asked = [{name for name, n in zip(arm.problem_ids, arm.n, strict=True) if n} for arm in arms]
    shared = sorted(set.intersection(*asked))
    unit = next((unit for unit in PRICES if all(PRICES[unit](arm) for arm in arms)), None)
    if unit is None or len(shared) < 2:
        return None
    sides = [_Side(arm, shared, unit) for arm in arms]
    buyables = [side.buyable for side in sides]
    line = _Lines(sides, len(shared)).at
    return Equal(
        task, unit, len(shared), tuple(arms), line(deciding_budget(buyables)),
        tuple(line(budget) for budget in budgets_of(buyables)),
        tuple(overtakings(buyables)) if all(arm.uniform for arm in arms) else (),
    )  # fmt: skip


class _Side:
    """One arm on the shared problems."""

    def __init__(self, arm: ArmReport, shared: list[str], unit: Unit) -> None:
        price = PRICES[unit](arm)
        assert price is not None
        share = len(shared) / max(arm.asked, 1)
        self.uniform = arm.uniform
        self.groups = groups_of(arm, shared)
        n, c = counts_of(arm, shared)
        self._points: Sequence[CoveragePoint] = arm.points
        if not arm.uniform:
            # Its own k stand for attempts: as many as its curve has points.
            n, c = [len(arm.points)] * len(shared), [0] * len(shared)
            costs = [price(point.k) for point in arm.points]
            self.buyable = Buyable(tuple(n), tuple(c), lambda place: share * costs[place - 1])
        else:
            self.buyable = Buyable(tuple(n), tuple(c), lambda k: share * price(k))
        self._known: dict[int, tuple[float, float, float]] = {}

    def at(self, budget: float) -> tuple[int, CoverageAtBudget]:
        """The place on the arm's curve that a budget reaches, and what it covers there."""
        buyable = self.buyable
        place = buyable.affordable(budget)
        if not place:
            return 0, CoverageAtBudget(0, 0.0, 0.0, 0.0, 0.0, False)
        k = place if self.uniform else self._points[place - 1].k
        ended = place == buyable.most and buyable.total < 0.98 * budget
        return place, CoverageAtBudget(k, buyable.cost(place), *self._estimate(place), ended)

    def _estimate(self, place: int) -> tuple[float, float, float]:
        if not self.uniform:
            point = self._points[place - 1]
            return point.mean, point.low_like, point.high_like
        if place not in self._known:
            curve = coverage_curve(self.buyable.n, self.buyable.c, [place], groups=self.groups)
            self._known[place] = (
                float(curve.mean[0]), float(curve.low_like[0]), float(curve.high_like[0])
            )  # fmt: skip
        return self._known[place]


@dataclass(frozen=True, slots=True)
class _Lines:
    sides: list[_Side]
    problems: int

    def at(self, budget: float) -> Line:
        places = [side.at(budget) for side in self.sides]
        pairs = [
            (i, j, self._contrast(i, j, places))
            for i in range(len(places))
            for j in range(i + 1, len(places))
            if places[i][0] and places[j][0]
        ]
        found = corrected([contrast for _, _, contrast in pairs])
        return Line(
            budget,
            tuple(bought for _, bought in places),
            tuple(Pair(i, j, one) for (i, j, _), one in zip(pairs, found, strict=True)),
        )

    def _contrast(self, i: int, j: int, places: list[tuple[int, CoverageAtBudget]]) -> Contrast:
        first, second = self.sides[i], self.sides[j]
        if first.uniform and second.uniform:
            rows = [side.buyable.each([places[at][0]])[0] for at, side in ((i, first), (j, second))]
            return paired_contrast(rows[0] - rows[1], first.groups)
        ends = [(places[at][1].mean, places[at][1].low, places[at][1].high) for at in (i, j)]
        return unpaired_contrast(ends[0], ends[1], self.problems)


CostOfK = Callable[[int], float]


def _dollars(arm: ArmReport) -> CostOfK | None:
    if arm.fresh is not None:
        return arm.fresh.usd_at_k if arm.fresh.usd_at_k(1) > 0 else None
    if arm.uniform:
        return None
    costs = {point.k: point.as_bought or 0 for point in arm.points}
    return costs.__getitem__ if all(costs.values()) else None


def _hours(arm: ArmReport) -> CostOfK | None:
    if not arm.gpu_hours or not arm.samples or not arm.uniform:
        return None
    each = arm.gpu_hours * arm.asked / arm.samples
    return lambda k: each * k


def _operations(arm: ArmReport) -> CostOfK | None:
    """The prompt once and every attempt's output: a straight line through the curve's ends."""
    first, last = arm.points[0], arm.points[-1]
    if not first.flops or not last.flops or not arm.uniform:
        return None
    slope = (last.flops - first.flops) / max(last.k - first.k, 1)
    start = first.flops - slope * first.k
    return lambda k: start + slope * k


PRICES: dict[Unit, Callable[[ArmReport], CostOfK | None]] = {
    "dollars": _dollars,
    "GPU-hours": _hours,
    "operations": _operations,
}
