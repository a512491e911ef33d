"""Dollars per solve, the two prices of a point, marginal cost, the frontier, and splits."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from budgets.money import picodollars
from orchestrator.analysis.cost import (
    CostPoint,
    Fresh,
    coverage_at_cost,
    frontier,
    marginal,
    overtaken_at,
    usd_as_bought,
    usd_per_solved,
)
from orchestrator.analysis.coverage import mean_coverage


def test_usd_per_solved_counts_uncertain_money_and_rounds_up() -> None:
    assert usd_per_solved(10, 3, 4) == 4
    assert usd_per_solved(picodollars("10.80"), 0, 89) == -(-(108 * 10**11) // 89)
    assert usd_per_solved(10, 1, 0) is None


def test_usd_at_k_pays_the_prompt_once_per_request() -> None:
    def at(k: int, batch: int) -> int:
        return Fresh(first=300, later=300, each=18, batch=batch).usd_at_k(k)

    assert at(1, 4) == 318
    assert at(3, 1) == 3 * 318
    assert at(4, 4) == 300 + 4 * 18
    assert at(5, 4) == 600 + 5 * 18
    with pytest.raises(ValueError, match="at least 1"):
        at(0, 4)
    with pytest.raises(ValueError, match="at least 1"):
        at(1, 0)


def test_only_the_first_request_finds_no_cache_and_fractions_round_up() -> None:
    fresh = Fresh(first=1000, later=Fraction(100), each=Fraction(1, 3), batch=2)
    assert [fresh.usd_at_k(k) for k in (1, 2, 3, 6)] == [1001, 1001, 1101, 1202]


def test_usd_as_bought_takes_whole_requests() -> None:
    assert usd_as_bought([0, 4, 0, 4], [10, 20, 30, 40], [4, 5, 1]) == [40, 100, 40]


def test_coverage_at_cost_counts_each_problem_once_in_the_order_of_reservation() -> None:
    spent, solved = coverage_at_cost([0, 1, 0, 1, 2], [5, 5, 1, 1, 3], [0, 1, 1, 1, 0])
    assert spent.tolist() == [5, 10, 11, 12, 15]
    assert solved.tolist() == [0, 1, 2, 2, 2]
    with pytest.raises(ValueError, match="one entry for every attempt"):
        coverage_at_cost([0], [5, 5], [1])


def test_marginal_dollars_over_an_interval_of_k() -> None:
    draw = np.random.default_rng(1)
    n, c = np.full(100, 40), draw.binomial(40, draw.beta(0.3, 2, 100))
    found = marginal(n, c, 1, 10, cost=900_000)
    assert found.per_solve is not None and found.low is not None and found.high is not None
    assert found.low < found.per_solve < found.high
    gained = 100 * np.diff(mean_coverage(n, c, [1, 10]))[0]
    assert found.per_solve == math.ceil(900_000 / gained)
    with pytest.raises(ValueError, match="must rise"):
        marginal(n, c, 10, 10, cost=1)
    with pytest.raises(ValueError, match="must rise"):
        marginal(n, c, 0, 10, cost=1)


def test_marginal_of_a_certain_gain_is_its_cost_over_its_solves() -> None:
    # pass@1 is 1/2 and pass@2 is 1 everywhere: 10 problems gain a half each.
    found = marginal([2] * 10, [1] * 10, 1, 2, cost=1001)
    assert found.per_solve == 201


def test_no_gain_has_no_price() -> None:
    found = marginal([10] * 10, [10] * 10, 1, 5, cost=100)
    assert found.per_solve is None
    assert found.high is None
    assert found.low is not None


def points() -> list[CostPoint]:
    return [
        CostPoint("cheap", 1, 10, 0.1),
        CostPoint("cheap", 5, 50, 0.3),
        CostPoint("cheap", 50, 500, 0.45),
        CostPoint("dear", 1, 60, 0.28),
        CostPoint("best", 1, 500, 0.5),
    ]


def test_the_frontier_keeps_what_nothing_beats() -> None:
    kept = frontier(points())
    assert [(point.arm, point.k) for point in kept] == [("cheap", 1), ("cheap", 5), ("best", 1)]
    twice = frontier([points()[0], points()[0]])
    assert len(twice) == 1


def test_the_k_at_which_a_dearer_arm_is_overtaken() -> None:
    cheap = [point for point in points() if point.arm == "cheap"]
    overtaken = overtaken_at(cheap, points()[3])
    assert overtaken is not None and overtaken.k == 5
    assert overtaken_at(cheap, points()[4]) is None
    assert overtaken_at(cheap, CostPoint("equal", 1, 1, 0.45)) is None
