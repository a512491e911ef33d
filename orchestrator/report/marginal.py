"""What a report says of money beyond each arm's totals: further solves, and splits of a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from budgets.money import usd
from orchestrator.analysis.cost import Marginal, marginal
from orchestrator.analysis.split import Split, split_budget
from orchestrator.report.data import ArmReport
from orchestrator.report.describe import counts_of
from orchestrator.report.text import dollars, percent


def marginals(arm: ArmReport) -> list[Marginal]:
    """Picodollars per further solve between the k that follow each other on the arm's curve.

    Empty where k cannot be bought afresh (attempts that stopped at a success), or costs nothing.
    """
    if arm.fresh is None or not all(point.at_k for point in arm.points):
        return []
    return [
        marginal(*arm.judged, low.k, high.k, (high.at_k or 0) - (low.at_k or 0))
        for low, high in pairwise(arm.points)
    ]


def marginal_rows(arm: ArmReport) -> list[dict[str, object]]:
    """The same as plain data, money as decimal strings; None: no bound, or no further solve."""
    return [
        {
            "k_from": one.k_from, "k_to": one.k_to,
            **{
                name: None if value is None else usd(value)
                for name, value in (
                    ("usd", one.per_solve), ("low_usd", one.low), ("high_usd", one.high)
                )
            },
        }
        for one in marginals(arm)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArmsSplit:
    """A budget split over arms that share their problems."""

    budget: int
    arms: tuple[ArmReport, ...]
    found: Split | None
    """None where no arm has a price for fresh attempts."""

    @property
    def sentence(self) -> str:
        if self.found is None:
            return "No arm has a price for fresh attempts, so there is no budget to split."
        bought = [
            f"{k:,} of {arm.label}"
            for k, arm in zip(self.found.attempts, self.arms, strict=True)
            if k
        ]
        if not bought:
            return f"{dollars(self.budget)} buys no round of any arm."
        return (
            f"For {dollars(self.budget)}, {' and '.join(bought)} per problem cover most: "
            f"{percent(self.found.coverage)} ({percent(self.found.low)} to "
            f"{percent(self.found.high)}) for {dollars(self.found.cost)}."
        )


def best_split(arms: Sequence[ArmReport], budget: int) -> ArmsSplit:
    """How many attempts of each arm cover most for `budget` picodollars together.

    Over the largest group of arms with prices for fresh attempts that share all their problems;
    any k up to an arm's attempts may be chosen, whether the curve shows it or not.
    """
    priced = [arm for arm in arms if arm.fresh and arm.points and all(p.at_k for p in arm.points)]
    groups: dict[tuple[str, tuple[str, ...]], list[ArmReport]] = {}
    for arm in priced:
        groups.setdefault((arm.task, tuple(sorted(arm.problem_ids))), []).append(arm)
    if not groups:
        return ArmsSplit(budget, (), None)
    group = max(groups.values(), key=len)
    ids = sorted(group[0].problem_ids)
    prices = [arm.fresh.usd_at_k for arm in group if arm.fresh]
    found = split_budget([counts_of(arm, ids) for arm in group], prices, budget)
    return ArmsSplit(budget, tuple(group), found)
