"""The split of a budget over arms: against every combination, and its own interval."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from orchestrator.analysis.split import split_budget
from orchestrator.analysis.unbiased import pass_at_k


def each(cost: int, start: int = 0) -> Callable[[int], int]:
    return lambda k: start + cost * k


def best_by_hand(arms, prices, budget: int) -> float:
    """The highest coverage of all combinations that the budget pays for."""
    best = 0.0
    for ks in product(*(range(min(n) + 1) for n, _ in arms)):
        cost = sum(price(k) for price, k in zip(prices, ks, strict=True) if k)
        if cost <= budget:
            left = np.prod(
                [1.0 - pass_at_k(n, c, k) for (n, c), k in zip(arms, ks, strict=True)], axis=0
            )
            best = max(best, 1.0 - float(left.mean()))
    return best


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_combination_covers_more(seed: int, number: int) -> None:
    draw = np.random.default_rng(seed)
    sizes = [int(size) for size in draw.integers(5, 14, number)]
    arms = [([size] * 15, draw.binomial(size, draw.beta(0.4, 3.0, 15)).tolist()) for size in sizes]
    prices = [each(int(cost), int(start)) for cost, start in draw.integers(1, 40, (number, 2))]
    budget = int(draw.integers(60, 300))
    found = split_budget(arms, prices, budget)
    assert found.coverage == pytest.approx(best_by_hand(arms, prices, budget), abs=1e-9)
    paid = sum(price(k) for price, k in zip(prices, found.attempts, strict=True) if k)
    assert paid == found.cost <= budget
    assert found.low <= found.coverage <= found.high


def test_a_k_between_those_of_the_curve_is_found() -> None:
    # 15 attempts of one arm and 1 of the other: neither curve shows 15.
    easy = ([1000] * 4, [300, 300, 300, 0])
    rare = ([10] * 4, [0, 0, 0, 10])
    found = split_budget([easy, rare], [each(10), each(50)], 200)
    assert found.attempts == (15, 1)
    assert found.cost == 200


def test_equal_coverage_is_bought_the_cheaper_way() -> None:
    sure = ([5] * 3, [5] * 3)
    assert split_budget([sure], [each(10)], 100).attempts == (1,)
    assert split_budget([sure, sure], [each(10), each(7)], 100).attempts == (0, 1)


def test_too_little_buys_nothing() -> None:
    found = split_budget([([4] * 2, [2, 1])], [each(10)], 9)
    assert (found.attempts, found.cost, found.coverage) == ((0,), 0, 0.0)


def test_long_curves_are_thinned_and_nothing_is_lost_by_it() -> None:
    draw = np.random.default_rng(3)
    arms = [([10_000] * 500, draw.binomial(10_000, draw.beta(0.2, 8.0, 500))) for _ in range(2)]
    found = split_budget(arms, [each(3), each(5)], 12_000)
    assert found.cost <= 12_000
    halves = [
        1.0 - float(np.prod([1 - pass_at_k(n, c, k) for (n, c), k in
                             zip(arms, ks, strict=True)], axis=0).mean())
        for ks in ((4000, 0), (0, 2400), (2000, 1200), (1000, 1800))
    ]  # fmt: skip
    assert found.coverage >= max(halves) - 1e-9
