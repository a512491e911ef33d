"""pass@k against exact rationals, its shape, and what it refuses."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis import unbiased
from orchestrator.analysis.coverage import coverage_curve, mean_coverage, pass_at_k
from orchestrator.analysis.unbiased import Floats, Integers, failure_powers


def rational(n: int, c: int, k: int) -> Fraction:
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))


def test_equals_exact_rationals_for_thousands_of_random_counts() -> None:
    draw = np.random.default_rng(1)
    n = draw.integers(1, 10_001, 3000)
    # Small and large c and k are equally likely by order of magnitude.
    c = np.floor(n * draw.random(3000) ** draw.integers(1, 12, 3000)).astype(int)
    k = np.maximum(1, np.floor(n * draw.random(3000) ** draw.integers(1, 8, 3000)).astype(int))
    values = pass_at_k(n, c, k)
    worst = max(
        abs(Fraction(float(value)) - rational(*map(int, triple)))
        for value, *triple in zip(values, n, c, k, strict=True)
    )
    assert worst < Fraction(1, 10**12)


@given(st.integers(1, 400), st.data())
def test_equals_exact_rationals(n: int, data: st.DataObject) -> None:
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(0, n))
    assert abs(Fraction(float(pass_at_k(n, c, k))) - rational(n, c, k)) < Fraction(1, 10**15)


def test_small_blocks_give_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(9)
    n = draw.integers(1, 300, 200)
    c, k = draw.integers(0, n + 1), draw.integers(0, n + 1)
    whole = pass_at_k(n, c, k)
    for terms in (1, 7, 100, 5000):
        monkeypatch.setattr(unbiased, "_TERMS", terms)
        assert pass_at_k(n, c, k) == pytest.approx(whole, abs=1e-15)


def test_so_many_factors_are_multiplied_at_a_time_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks: list[int] = []

    def watched(n: Integers, few: Integers, many: Integers) -> Floats:
        blocks.append(int(few.sum()))
        return log_product(n, few, many)

    log_product = unbiased._log_product
    monkeypatch.setattr(unbiased, "_log_product", watched)
    monkeypatch.setattr(unbiased, "_TERMS", 10)
    pass_at_k(np.arange(2, 47), 1, 1)
    assert blocks == [10, 10, 10, 10, 5]


def test_tiny_coverage_keeps_its_relative_precision() -> None:
    exact = rational(10_000, 1, 1)
    assert abs(Fraction(float(pass_at_k(10_000, 1, 1))) / exact - 1) < Fraction(1, 10**15)


def test_certain_and_impossible_problems() -> None:
    assert pass_at_k(10, 0, 10) == 0.0
    assert pass_at_k(10, 1, 10) == 1.0
    assert pass_at_k(10, 10, 1) == 1.0
    assert pass_at_k(10, 4, 7) == 1.0
    assert pass_at_k(10, 4, 6) < 1.0
    assert pass_at_k(10, 4, 0) == 0.0
    assert pass_at_k(0, 0, 0) == 0.0


def test_broadcasts_and_takes_whole_floats() -> None:
    table = pass_at_k([[10], [20]], 3, [1, 2, 5])
    assert table.shape == (2, 3)
    assert table[1, 2] == pytest.approx(float(rational(20, 3, 5)), abs=1e-15)
    assert pass_at_k(10.0, 3.0, 2.0) == pass_at_k(10, 3, 2)
    assert pass_at_k(np.zeros((0,), dtype=int), 0, 0).shape == (0,)


@pytest.mark.parametrize(
    ("n", "c", "k", "words"),
    [
        (5, 6, 1, "c is larger than n"),
        (5, 1, 6, "pass@6 cannot be estimated from 5 attempts"),
        (-1, 0, 0, "n must not be negative"),
        (5, 1.5, 1, "c must be whole numbers"),
        (5, float("nan"), 1, "c must be whole numbers"),
        ("5", 1, 1, "n must be whole numbers"),
    ],
)
def test_refuses_counts_that_make_no_sense(n: object, c: object, k: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pass_at_k(n, c, k)  # type: ignore[arg-type]


def test_the_refusal_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"pass@7 cannot be estimated from 3 attempts"):
        pass_at_k([9, 3, 5], 1, [2, 7, 4])
    with pytest.raises(ValueError, match="problem 1 has 4 right answers among 3 attempts"):
        mean_coverage([3, 3], [3, 4], 1)


def test_mean_coverage_is_the_mean_over_problems_also_of_unequal_n() -> None:
    n, c = [10, 20, 30], [1, 0, 30]
    expected = [
        float(sum(rational(a, b, k) for a, b in zip(n, c, strict=True)) / 3) for k in (1, 4)
    ]
    assert mean_coverage(n, c, [1, 4]) == pytest.approx(expected, abs=1e-15)
    assert mean_coverage(n, c, 10).shape == ()


@pytest.mark.parametrize(
    ("n", "c", "words"),
    [
        ([], [], "no problems"),
        ([5], [1, 2], "equal length"),
        ([[5]], [[1]], "equal length"),
        ([5, 4], [1, 5], "problem 1 has 5 right answers among 4 attempts"),
        ([5, 0], [1, 0], "problem 1 has no attempts"),
    ],
)
def test_the_curve_names_what_is_wrong(n: list[int], c: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        coverage_curve(n, c)


@pytest.mark.parametrize("ks", [[0], [11], []])
def test_the_curve_never_drops_a_problem_for_having_few_attempts(ks: list[int]) -> None:
    with pytest.raises(ValueError, match="k must lie between 1 and 10"):
        coverage_curve([10, 50], [1, 2], ks)


def test_streamed_sums_equal_those_one_by_one() -> None:
    n, c, weight = np.array([7, 7, 9]), np.array([0, 3, 2]), np.array([2.0, 1.0, 4.0])
    sums = failure_powers(n, c, weight, 7)
    q = 1.0 - pass_at_k(n, c, np.arange(1, 8)[:, None])
    assert sums.shape == (3, 7)
    for power in (1, 2, 3):
        assert sums[power - 1] == pytest.approx((q**power) @ weight, abs=1e-13)


def test_a_whole_curve_equals_its_points() -> None:
    draw = np.random.default_rng(3)
    n = draw.integers(150, 200, 30)
    c = draw.binomial(n, draw.beta(0.3, 2.0, 30))
    whole = coverage_curve(n, c)
    some = coverage_curve(n, c, [1, 2, 50, 149])
    at = np.array([1, 2, 50, 149]) - 1
    assert whole.mean[at] == pytest.approx(some.mean, abs=1e-12)
    assert whole.low_like[at] == pytest.approx(some.low_like, abs=1e-9)
    # Above n/2 a whole curve interpolates the fitted mixture between 64 points.
    assert whole.low[at] == pytest.approx(some.low, abs=2e-3)
    assert whole.high[at] == pytest.approx(some.high, abs=2e-3)


def test_published_points_of_released_configurations(released: list) -> None:
    for one in released:
        ks = list(one.passk)
        for k, value in zip(ks, mean_coverage(one.n, one.c, ks), strict=True):
            printed = one.passk[k]
            decimals = len(printed.partition(".")[2])
            assert f"{100 * value:.{decimals}f}" == printed, f"{one.name} at k = {k}"
