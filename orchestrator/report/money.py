"""What a report says of money beyond each arm's totals: further solves, and splits of a budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from budgets.money import usd
from orchestrator.analysis.cost import Marginal, marginal, split_budget
from orchestrator.analysis.unbiased import pass_at_k
from orchestrator.report.data import ArmReport
from orchestrator.report.text import dollars, percent


def marginals(arm: ArmReport) -> list[Marginal]:
    """Picodollars per further solve between the k that follow each other on the arm's curve.

    Empty where k cannot be bought afresh (attempts that stopped at a success), or costs nothing.
    """
    if arm.fresh is None or not all(point.at_k for point in arm.points):
        return []
    return [
        marginal(arm.n, arm.c, low.k, high.k, (high.at_k or 0) - (low.at_k or 0))
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


def best_split(arms: Sequence[ArmReport], budget: int) -> str:
    """One sentence: how many attempts of each arm cover most for `budget` picodollars together.

    Over the largest group of uniform arms with prices that share all their problems; a problem is
    solved if any arm solves it, and arms are taken as independent given the problem.
    """
    priced = [
        arm
        for arm in arms
        if arm.fresh is not None and arm.points and all(point.at_k for point in arm.points)
    ]
    groups: dict[tuple[str, tuple[str, ...]], list[ArmReport]] = {}
    for arm in priced:
        groups.setdefault((arm.task, tuple(sorted(arm.problem_ids))), []).append(arm)
    if not groups:
        return "No arm has a price for fresh attempts, so there is no budget to split."
    group = max(groups.values(), key=len)
    ids = sorted(group[0].problem_ids)
    ks = [[point.k for point in arm.points] for arm in group]
    failures = []
    for arm, wanted in zip(group, ks, strict=True):
        where = {name: i for i, name in enumerate(arm.problem_ids)}
        order = [where[name] for name in ids]
        n, c = np.array(arm.n)[order], np.array(arm.c)[order]
        failures.append(1.0 - pass_at_k(n, c, np.array(wanted)[:, None]))
    costs = [[point.at_k or 0 for point in arm.points] for arm in group]
    try:
        split = split_budget(failures, ks, costs, budget)
    except ValueError as error:
        return f"{dollars(budget)} cannot be split: {error}."
    bought = [f"{k:,} of {arm.label}" for k, arm in zip(split.attempts, group, strict=True) if k]
    if not bought:
        return f"{dollars(budget)} buys no round of any arm."
    return (
        f"For {dollars(budget)}, {' and '.join(bought)} per problem cover most: "
        f"{percent(split.coverage)} for {dollars(split.cost)}."
    )
