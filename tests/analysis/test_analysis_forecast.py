"""Forecasts against synthetic truth and released outcomes, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betaln, comb

from orchestrator.analysis.beta import BetaPosterior
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.forecast import CoverageForecast, ForecastRefused, forecast_coverage
from orchestrator.analysis.scaling import fit_log, fit_power_law, log_spaced


def trial(
    c: np.ndarray, total: int, n: int, draw: np.random.Generator, draws: int = 400
) -> tuple[float, CoverageForecast]:
    """A prefix of n of the recorded outcomes, its forecast, and what came of it."""
    prefix = draw.hypergeometric(c, total - c, n)
    return float((c > 0).mean()), forecast_coverage(
        np.full(len(c), n), prefix, total, draws=draws, seed=int(draw.integers(1 << 30))
    )


def scores(configurations: list[np.ndarray], n: int, prefixes: int) -> tuple[float, float, float]:
    """Mean error, share of intervals that hold the truth, mean width; over 10,000 outcomes."""
    draw, errors, held, widths = np.random.default_rng(1), [], [], []
    for c in configurations:
        for _ in range(prefixes):
            truth, forecast = trial(c, 10_000, n, draw)
            errors.append(abs(forecast.mean - truth))
            held.append(forecast.low - 1e-9 <= truth <= forecast.high + 1e-9)
            widths.append(forecast.high - forecast.low)
    return float(np.mean(errors)), float(np.mean(held)), float(np.mean(widths))


def test_synthetic_truth_lies_where_the_forecast_says() -> None:
    draw = np.random.default_rng(3)
    rates = [draw.beta(0.25, 4, 128), draw.beta(0.3, 20, 128), draw.beta(0.5, 1, 128)]
    error, held, width = scores([draw.binomial(10_000, one) for one in rates], 1000, 10)
    assert error < 0.035
    assert held >= 0.7
    assert 0.01 < width < 0.12


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("n", "most", "widest"), [(1000, 0.025, 0.12), (100, 0.04, 0.20)])
def test_released_configurations(released: list, n: int, most: float, widest: float) -> None:
    error, held, width = scores([one.c for one in released], n, 200)
    assert error <= most
    assert 0.85 <= held <= 0.99
    assert width <= widest


def test_the_forecast_is_anchored_at_what_is_solved() -> None:
    c = np.array([0] * 60 + [1, 2, 5, 10, 20] * 8)
    forecast = forecast_coverage([100] * 100, c, 101)
    assert forecast.mean == pytest.approx(0.4, abs=0.005)
    assert forecast.mean >= 0.4
    assert forecast.low >= 0.4
    assert forecast.high > forecast.low
    f_n, f_k = np.exp(forecast.a * 100.0**forecast.b), np.exp(forecast.a * 101.0**forecast.b)
    assert forecast.mean == pytest.approx(0.4 + 0.6 * (f_k - f_n) / (1 - f_n), abs=1e-12)


def test_the_law_is_that_of_the_whole_curve() -> None:
    n, c = [100] * 100, [0] * 60 + [1, 2, 5, 10, 20] * 8
    forecast, law = forecast_coverage(n, c, 2000), fit_power_law(coverage_curve(n, c).mean, "log")
    assert (forecast.a, forecast.b) == pytest.approx((law.a, law.b), rel=1e-6)


def test_the_late_law_is_that_of_the_curve_from_the_root_of_n_on() -> None:
    n, c = [25] * 100, [0] * 60 + [1, 2, 5, 10, 20] * 8
    forecast, curve = forecast_coverage(n, c, 500), coverage_curve(n, c).mean
    late = np.array([k for k in log_spaced(25, 40).tolist() if k >= 5])
    assert late[0] == 5
    (a,), (b,) = fit_log(late, np.log(curve[late - 1])[None, :])
    f_n, f_k = np.exp(a * 25.0**b), np.exp(a * 500.0**b)
    assert forecast.late == pytest.approx(0.4 + 0.6 * (f_k - f_n) / (1 - f_n), rel=1e-6)


@pytest.mark.parametrize("seed", [1, 8, 9])
def test_an_interval_leaves_as_much_out_on_either_side(seed: int) -> None:
    """Of two refits the ends are the quantiles; half the interval is the middle half."""
    n, c = [100] * 100, [0] * 60 + [1, 2, 5, 10, 20] * 8
    ends, half = (
        forecast_coverage(n, c, 2000, level=level, draws=2, seed=seed) for level in (1.0, 0.5)
    )
    width = ends.high - ends.low
    assert width > 0.05
    assert half.low == pytest.approx(ends.low + width / 4, abs=1e-12)
    assert half.high == pytest.approx(ends.high - width / 4, abs=1e-12)


def test_half_a_solve_is_expected_where_the_law_expects_less() -> None:
    # The law expects a tenth of a problem more; of a Poisson of mean 0.5, 95 % lie at or below 2.
    c = [0] * 60 + [1, 2, 5, 10, 20] * 8
    forecast = forecast_coverage([100] * 100, c, 101, draws=4000)
    assert forecast.mean < 0.402
    assert (forecast.low, forecast.high) == (0.4, 0.42)


def test_farther_is_higher_and_less_sure() -> None:
    c = np.array([0] * 60 + [1, 2, 5, 10, 20] * 8)
    near, far = (forecast_coverage([100] * 100, c, k) for k in (200, 20_000))
    assert near.mean < far.mean < 1.0
    assert near.high - near.low < far.high - far.low
    assert "times n" not in near.note
    assert "200 times n" in far.note


def test_says_when_the_curve_bends_away_from_the_law() -> None:
    draw = np.random.default_rng(1)
    plateau = np.where(draw.random(200) < 0.5, draw.beta(2, 8, 200), 0.0)
    bent = forecast_coverage([1000] * 200, draw.binomial(1000, plateau), 100_000)
    assert "the last stretch of the curve alone" in bent.note
    assert f"the law gives {100 * bent.late:.1f} %" in bent.note
    assert bent.late < bent.mean - 0.03


def test_the_same_seed_gives_the_same_forecast() -> None:
    c = [0] * 20 + [3, 1, 4, 1, 5]
    assert forecast_coverage([50] * 25, c, 500) == forecast_coverage([50] * 25, c, 500)
    other = forecast_coverage([50] * 25, c, 500, seed=1)
    assert other.mean == forecast_coverage([50] * 25, c, 500).mean


def test_the_smallest_n_is_what_a_forecast_rests_on() -> None:
    c = [0] * 30 + [1, 2, 5, 10] * 5
    assert forecast_coverage([40] * 25 + [20] * 25, c, 100).n == 20
    with pytest.raises(ForecastRefused, match="20 attempts were made"):
        forecast_coverage([40] * 25 + [20] * 25, c, 20)


def test_a_note_says_that_k_is_far_beyond_n() -> None:
    n, c = [50] * 50, [0] * 30 + [1, 2, 5, 10] * 5
    assert "times n" not in forecast_coverage(n, c, 5000).note
    assert "K is 100 times n" in forecast_coverage(n, c, 5001).note


@pytest.mark.parametrize(
    ("n", "c", "k", "words"),
    [
        (20, [1, 2, 3, 4, 5], 100, "every one of these 5 problems is solved"),
        (100, [1, 1, 1, 0, 0], 1000, "only 3 of 5 problems are solved"),
        (100, [1, 1, 1, 1, 0], 100, "needs no forecast"),
        (9, [1, 1, 1, 1, 0], 100, "9 attempts per problem show no trend"),
        (10, [1, 1, 1, 1, 0], 10_001, "make at least 11 attempts"),
    ],
)
def test_refuses_with_the_reason(n: int, c: list[int], k: int, words: str) -> None:
    with pytest.raises(ForecastRefused, match=words):
        forecast_coverage([n] * len(c), c, k)


def test_four_solved_problems_are_enough_to_try() -> None:
    assert forecast_coverage([100] * 50, [1, 1, 2, 9] + [0] * 46, 100_000).mean > 0.08


def test_the_beta_posterior_finds_its_own_truth() -> None:
    draw = np.random.default_rng(5)
    rates = draw.beta(0.4, 6.0, 3000)
    posterior = BetaPosterior.from_counts(np.full(3000, 50), draw.binomial(50, rates))
    assert float(posterior.weight @ posterior.alpha) == pytest.approx(0.4, rel=0.1)
    assert posterior.coverage([1, 100]) == pytest.approx(
        [rates.mean(), (1 - (1 - rates) ** 100).mean()], abs=0.015
    )
    assert posterior.weight.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("right", [[0] * 12, [5] * 12, [0, 0, 1, 5], [0, 1, 2, 3, 4, 5] * 8])
def test_the_posterior_is_that_of_a_fine_grid(right: list[int]) -> None:
    """Also where it is wide, or lies at the grid's ends."""
    n, c = np.full(len(right), 5), np.array(right)
    line = np.geomspace(0.01, 100.0, 250)
    alpha, beta = (part.ravel() for part in np.meshgrid(line, line))
    logs = sum(betaln(alpha + one, beta + 5 - one) - betaln(alpha, beta) for one in right)
    weight = np.exp(logs - np.max(logs))
    fine = BetaPosterior(alpha, beta, weight / weight.sum())
    found = BetaPosterior.from_counts(n, c)
    for k in (1, 10, 1000):
        assert found.coverage(k) == pytest.approx(fine.coverage(k), abs=0.004)


@pytest.mark.parametrize(("alpha", "beta"), [(0.45, 7.0), (0.8, 2.2)])
def test_very_many_problems_leave_one_pair(alpha: float, beta: float) -> None:
    right = np.arange(11)
    share = np.exp(betaln(alpha + right, beta + 10 - right) - betaln(alpha, beta)) * comb(10, right)
    c = np.repeat(right, np.round(200_000 * share).astype(int))
    found = BetaPosterior.from_counts(np.full(len(c), 10), c)
    assert float(found.weight @ found.alpha) == pytest.approx(alpha, rel=0.01)
    assert float(found.weight @ found.beta) == pytest.approx(beta, rel=0.01)


def test_the_beta_posterior_reaches_from_a_hundredth_to_a_hundred() -> None:
    found = BetaPosterior.from_counts([5] * 4, [0, 0, 1, 5])
    assert found.alpha.min() == found.beta.min() == 0.01
    assert found.alpha.max() == found.beta.max() == 100.0


def test_stopping_at_a_first_success_does_not_mislead_the_beta_posterior() -> None:
    draw = np.random.default_rng(6)
    rates = draw.beta(0.4, 6.0, 3000)
    first = draw.geometric(np.maximum(rates, 1e-12))
    solved = (first <= 50).astype(int)
    posterior = BetaPosterior.from_first_successes(np.where(solved, first - 1, 50), solved)
    assert float(posterior.coverage(20)) == pytest.approx((1 - (1 - rates) ** 20).mean(), abs=0.02)
