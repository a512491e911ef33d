"""The formulas of both intervals, number by number, against plain arithmetic written out apart."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.intervals import (
    Moments,
    _failing,
    _normal,
    _student,
    difference,
    moments_of,
    problems_like_these,
    these_problems,
)
from orchestrator.analysis.mixture import fit_mixture
from orchestrator.analysis.unbiased import failure_powers, pass_at_k


def moments(*rows: float) -> Moments:
    return Moments(*(np.array([value]) for value in rows))


def these_by_hand(
    first: float, second: float, twice: float, thrice: float, *, unit: float, total: float,
    z: float, single: bool = False,
) -> tuple[float, float, float]:  # fmt: skip
    mean = 1 - first / total
    most = unit * mean * (1 - mean) * total
    late = 1 + 0.25 * min(max(2 * unit - 1, 0), 1)
    variance = most if single else min(max(late * (second - twice), 0.0), most)
    rising, spread = twice - thrice, first - twice + 0.5
    down = unit * (2 * min(max(rising / spread, 0), 1) - 1) / total
    up = unit * (2 * min(max((rising + 0.5) / spread, 0), 1) - 1) / total
    squared = (variance + 0.4 * unit**2) / total**2
    low = mean + z * z * down / 2 - z * sqrt(squared + (z * down / 2) ** 2)
    high = mean + z * z * up / 2 + z * sqrt(squared + (z * up / 2) ** 2)
    return min(max(low, 0), mean), max(min(high, 1), mean), variance / unit**2


@pytest.mark.parametrize("unit", [0.05, 0.4, 0.5, 0.7, 1.0])
@pytest.mark.parametrize(
    ("first", "second", "twice", "thrice"),
    [
        (40.0, 30.0, 27.0, 20.0),
        (40.0, 30.0, 31.0, 20.0),  # a variance below nothing
        (40.0, 39.0, 5.0, 1.0),  # one above what is possible
        (3.0, 2.0, 1.0, 0.2),
        (62.0, 61.5, 61.0, 61.5),  # moments that no rates have: the slope stays in its bounds
        (0.0, 0.0, 0.0, 0.0),
        (64.0, 64.0, 64.0, 64.0),
    ],
)
def test_bounds_for_these_problems(
    unit: float, first: float, second: float, twice: float, thrice: float
) -> None:
    total, z = 64.0, float(stats.norm.ppf(0.95))
    for reach in (1, 2, 30):
        low, high, events = these_problems(
            moments(first, second, 0.0, twice, thrice), np.array([1 - first / total]),
            np.array([unit]), total, 0.9, reach,
        )  # fmt: skip
        by_hand = these_by_hand(
            first, second, twice, thrice, unit=unit, total=total, z=z, single=reach == 1
        )
        assert (low[0], high[0], events[0]) == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "third"),
    [(40.0, 30.0, 25.0), (5.0, 1.0, 0.4), (63.0, 62.5, 62.2), (0.0, 0.0, 0.0), (32.0, 16.0, 8.0)],
)
@pytest.mark.parametrize("total", [64.0, 70.0, 1000.0])
def test_bounds_for_problems_like_these(
    first: float, second: float, third: float, total: float
) -> None:
    mean, size = 1 - first / total, total + 1
    m1, m2, m3 = (first + 0.5) / size, (second + 0.5) / size, (third + 0.5) / size
    variance = m2 - m1**2
    slope = -1.2 * (m3 - 3 * m1 * m2 + 2 * m1**3) / variance / total
    z = float(stats.t.ppf(0.975, total - 1))
    squared = variance / (total - 1)
    bend, wide = z * z * slope / 2, z * sqrt(squared + (z * slope / 2) ** 2)
    low, high, seen = problems_like_these(
        moments(first, second, third, 0.0, 0.0), np.array([mean]), total, 0.95
    )
    assert low[0] == pytest.approx(min(max(mean + bend - wide, 0), mean), abs=2e-6)
    assert high[0] == pytest.approx(max(min(mean + bend + wide, 1), mean), abs=2e-6)
    own = second / total - (first / total) ** 2
    assert seen[0] == pytest.approx(max(own, 0) * total / size / variance, abs=1e-12)


def test_of_two_problems_one_degree_of_freedom_is_left() -> None:
    # One solved and one not: the variance is a quarter, and nothing is skewed.
    low, high, _ = problems_like_these(moments(1, 1, 1, 0, 0), np.array([0.5]), 2.0, 0.3)
    assert high[0] - 0.5 == pytest.approx(_student(0.3, 1.0) * 0.5, rel=1e-12)
    assert 0.5 - low[0] == pytest.approx(_student(0.3, 1.0) * 0.5, rel=1e-12)


@pytest.mark.parametrize("freedom", [9.0, 20.0, 127.0, 5000.0])
def test_students_quantile(freedom: float) -> None:
    for level in (0.5, 0.9, 0.95, 0.99):
        exact = float(stats.t.ppf(0.5 + level / 2, freedom))
        assert _student(level, freedom) == pytest.approx(exact, rel=1e-2)
        z = float(stats.norm.ppf(0.5 + level / 2))
        series = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        assert _student(level, freedom) == pytest.approx(series, rel=1e-12)
    assert _student(0.95, 0.0) == _student(0.95, 1.0) > _student(0.95, 1.5)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 1.5])
def test_a_level_lies_between_0_and_1(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        _normal(level)


N = np.array([20, 20, 20, 30, 30])
C = np.array([0, 1, 7, 0, 12])
ALIKE = np.array([30.0, 5.0, 3.0, 2.0, 4.0])


def test_moments_are_unbiased_within_the_attempts() -> None:
    ks = np.array([1, 2, 6])
    found = moments_of(N, C, ALIKE, ks)
    q = 1 - pass_at_k(N, C, ks[:, None])
    assert found.first == pytest.approx(q @ ALIKE)
    assert found.second == pytest.approx(q**2 @ ALIKE)
    assert found.third == pytest.approx(q**3 @ ALIKE)
    assert found.twice == pytest.approx((1 - pass_at_k(N, C, 2 * ks[:, None])) @ ALIKE)
    assert found.thrice == pytest.approx((1 - pass_at_k(N, C, 3 * ks[:, None])) @ ALIKE)


def test_many_k_are_streamed_to_the_same_moments() -> None:
    n, c = np.full(4, 200), np.array([0, 1, 5, 90])
    alike = np.array([3.0, 4.0, 5.0, 6.0])
    every = np.arange(1, 201)
    streamed = moments_of(n, c, alike, every)
    few = moments_of(n, c, alike, np.array([1, 7, 33, 64, 65]))
    at = np.array([1, 7, 33, 64, 65]) - 1
    for name in ("first", "second", "third", "twice", "thrice"):
        assert getattr(streamed, name)[at] == pytest.approx(getattr(few, name), rel=1e-9), name
    assert streamed.first == pytest.approx(failure_powers(n, c, alike, 200)[0])


def test_beyond_the_attempts_the_mixture_answers() -> None:
    powers = np.array([10, 20, 21, 40, 300])
    near = C * (20 / N) < 60
    mixture = fit_mixture(N[near], C[near], ALIKE[near], highest=150 / 20)
    found = _failing(N, C, ALIKE, powers)
    assert found[:2] == pytest.approx((1 - pass_at_k(N, C, powers[:2, None])) @ ALIKE)
    for power, value in zip(powers[2:], found[2:], strict=True):
        assert value == pytest.approx(float(ALIKE @ mixture.failure_moment(int(power))))


def test_problems_solved_too_often_to_matter_are_left_out() -> None:
    n, c = np.full(2, 100), np.array([59, 60])
    # At 60 of 100 a problem fails 100 times in a row with odds below 1e-26.
    both = _failing(n, c, np.array([1.0, 1.0]), np.array([150]))
    assert both[0] == pytest.approx(0.0, abs=1e-12)
    assert _failing(n[1:], c[1:], np.array([1.0]), np.array([150]))[0] == 0.0


def test_a_problem_counts_as_often_solved_by_its_rate_not_by_its_attempts() -> None:
    n, c, alike = np.array([20, 1000]), np.array([2, 2]), np.array([20.0, 1.0])
    # Twenty are solved once in ten attempts, one hardly ever: all of them may well fail thirty.
    all_fail = _failing(n, c, alike, np.array([30]))[0]
    rare = _failing(n, c, np.array([0.001, 1.0]), np.array([30]))[0]
    assert all_fail == pytest.approx(20 * 0.9**30 + 0.998**30, rel=0.1)
    assert rare > 0.9


def test_between_knots_the_power_is_interpolated() -> None:
    n, c, alike = np.full(3, 100), np.array([0, 1, 4]), np.array([5.0, 3.0, 2.0])
    powers = np.arange(101, 301)
    found = _failing(n, c, alike, powers)
    mixture = fit_mixture(n, c, alike, highest=1.5)
    exact = [float(alike @ mixture.failure_moment(power)) for power in powers.tolist()]
    assert found == pytest.approx(exact, rel=1e-3)
    assert np.all(np.diff(found) <= 0)


@pytest.mark.parametrize(("k_from", "k_to"), [(1, 2), (1, 10), (3, 8), (5, 10)])
def test_the_gain_between_two_k_is_its_formula(k_from: int, k_to: int) -> None:
    n, c = np.array([20, 20, 30, 25]), np.array([0, 2, 5, 20])
    gain, low, high = difference(n, c, k_from, k_to, 0.9)
    each = pass_at_k(n, c, k_to) - pass_at_k(n, c, k_from)

    def fails(k: int) -> float:
        return float((1 - pass_at_k(n, c, k)).sum())

    square = fails(2 * k_from) - 2 * fails(k_from + k_to) + fails(2 * k_to)
    unit = min((k_to - k_from) * float(np.mean(1 / n)), 1.0)
    variance = max(float((each**2).sum()) - square, 0.0) + 0.4 * unit**2
    half = float(stats.norm.ppf(0.95)) * sqrt(variance) / 4
    assert gain == pytest.approx(each.mean())
    assert low == pytest.approx(max(each.mean() - half, 0.0))
    assert high == pytest.approx(min(each.mean() + half, 1.0))


def test_no_more_than_everything_can_be_gained() -> None:
    gain, _, high = difference([10, 10], [1, 1], 1, 10, 0.95)
    assert gain == pytest.approx(0.9)
    assert high == 1.0


def test_the_curve_says_at_each_k_what_can_be_trusted() -> None:
    n, c = np.full(200, 50), np.concatenate([np.zeros(150, int), np.arange(1, 51)])
    curve = coverage_curve(n, c, [1, 25, 50])
    assert curve.trusted.tolist() == [True, False, False]
    assert curve.trusted_like.tolist() == [True, True, True]
    assert "At k = 25 to 50 fewer than three chance events" in curve.note
    draw = np.random.default_rng(1)
    alike = coverage_curve(np.full(100, 1000), draw.binomial(1000, 0.02, 100), [1, 30])
    assert alike.trusted_like.tolist() == [False, True]
    assert "At k = 1 the problems are so alike" in alike.note
    rare = coverage_curve(np.full(300, 40), [1] + [0] * 299, [1, 20])
    assert rare.trusted_like.tolist() == [False, False]
    assert "neither interval is trustworthy" in rare.note and "so alike" not in rare.note
    once = coverage_curve([1] * 100, [1] * 40 + [0] * 60, [1])
    assert once.trusted.tolist() == [False] and once.trusted_like.tolist() == [True]
