"""Quantiles of coverage over the beta-binomial posterior, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.analysis.band import posterior_band
from orchestrator.analysis.beta import BetaPosterior


def test_a_single_pair_has_its_own_coverage_at_both_ends() -> None:
    # Beta(1, 1): pass@k = k/(k+1).
    one = BetaPosterior(np.array([1.0]), np.array([1.0]), np.array([1.0]))
    low, high = posterior_band(one, [1, 3, 9])
    assert low == pytest.approx([0.5, 0.75, 0.9])
    assert high == pytest.approx([0.5, 0.75, 0.9])


def test_the_ends_are_where_the_weights_pass_the_tails() -> None:
    # Beta(a, 1): pass@1 = a/(a+1); the weights stand in no order.
    alpha = np.array([3.0, 1.0, 9.0, 4.0])
    weight = np.array([0.3, 0.1, 0.2, 0.4])
    posterior = BetaPosterior(alpha, np.ones(4), weight)
    by_alpha = {a: a / (a + 1.0) for a in alpha.tolist()}
    # Sorted: 1 (0.1), 3 (0.4), 4 (0.8), 9 (1.0).
    for level, ends in ((0.9, (1.0, 9.0)), (0.7, (3.0, 9.0)), (0.5, (3.0, 4.0)), (0.1, (4.0, 4.0))):
        low, high = posterior_band(posterior, [1], level)
        assert (low[0], high[0]) == pytest.approx(tuple(by_alpha[end] for end in ends)), level


def test_ninety_five_percent_is_the_usual_level() -> None:
    alpha = np.linspace(0.1, 4.0, 400)
    posterior = BetaPosterior(alpha, np.full(400, 2.0), np.full(400, 1 / 400))
    low, high = posterior_band(posterior, [2, 20])
    again = posterior_band(posterior, [2, 20], 0.95)
    assert np.all(low == again[0]) and np.all(high == again[1])
    wider = posterior_band(posterior, [2, 20], 0.96)
    assert np.all(wider[0] < low) and np.all(high < wider[1])


def test_an_end_is_the_first_value_at_which_the_weights_reach_the_tail() -> None:
    # Quarters add up exactly.
    alpha = np.array([1.0, 2.0, 3.0, 4.0])
    posterior = BetaPosterior(alpha, np.ones(4), np.full(4, 0.25))
    low, high = posterior_band(posterior, [1], 0.5)
    assert (low[0], high[0]) == pytest.approx((1 / 2, 3 / 4))


def test_more_outcomes_narrow_the_band_around_the_truth() -> None:
    draw = np.random.default_rng(3)
    widths = []
    for problems in (30, 600):
        right = draw.binomial(50, draw.beta(0.5, 4.0, problems))
        posterior = BetaPosterior.from_counts(np.full(problems, 50), right)
        low, high = posterior_band(posterior, [1, 10, 100])
        assert np.all(low < high)
        assert np.all(low < posterior.coverage([1, 10, 100]))
        assert np.all(posterior.coverage([1, 10, 100]) < high)
        widths.append(high - low)
    assert np.all(widths[1] < 0.5 * widths[0])


def test_weights_that_fall_short_of_one_by_rounding_do_not_run_over_the_end() -> None:
    weight = np.full(3, 1 / 3) * (1 - 1e-15)
    posterior = BetaPosterior(np.array([1.0, 2.0, 3.0]), np.ones(3), weight)
    _, high = posterior_band(posterior, [1], 1.0 - 1e-16)
    assert high[0] == pytest.approx(0.75)
