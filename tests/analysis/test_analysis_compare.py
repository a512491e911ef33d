"""Differences between arms, and which estimator fits which policy."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.analysis.compare import Difference, paired_difference, unpaired_difference
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.pairing import WrongEstimator, fitting, named
from orchestrator.errors import ConfigError
from orchestrator.schedule import estimators_of, policy_names


def test_paired_differences_cancel_what_problems_share() -> None:
    draw = np.random.default_rng(1)
    rates = draw.beta(0.3, 1.0, 200)
    n = np.full(200, 100)
    first = draw.binomial(100, np.minimum(rates * 1.3 + 0.01, 1.0))
    second = draw.binomial(100, rates)
    paired = paired_difference((n, first), (n, second), (5, 5))
    curves = [coverage_curve(n, c, [5]) for c in (first, second)]
    unpaired = unpaired_difference(
        *((float(c.mean[0]), float(c.low_like[0]), float(c.high_like[0])) for c in curves), 200
    )
    assert paired.mean == pytest.approx(unpaired.mean)
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)
    assert paired.separable and not unpaired.separable
    said = paired.sentence("A", "B")
    assert said.startswith(f"A covers {100 * paired.mean:.1f} points more (")
    assert said.endswith("than B on 200 shared problems.")
    assert "not separable on 200 problems, unpaired" in unpaired.sentence("A", "B")


def test_the_sentence_names_the_better_arm_whichever_comes_first() -> None:
    worse = paired_difference(([10] * 40, [1] * 40), ([10] * 40, [8, 9] * 20), (1, 1))
    assert worse.separable and worse.mean < 0
    assert worse.sentence("A", "B").startswith("B covers 75.0 points more (")
    assert "(-" not in worse.sentence("A", "B")


def test_the_paired_interval_holds_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        rates = draw.beta(0.5, 1.0, 100)
        other = np.clip(rates + draw.normal(0.0, 0.1, 100), 0, 1)
        n = np.full(100, 20)
        pair = [(n, draw.binomial(20, one)) for one in (rates, other)]
        truth = 0.0193  # mean of clip(p + noise) - p over this population, by integration
        difference = paired_difference(pair[1], pair[0], (1, 1))
        held += difference.low <= truth <= difference.high
    assert held / 200 == pytest.approx(0.95, abs=0.04)


def test_numbers_in_sentences_are_points_and_differences_stay_within_one() -> None:
    found = unpaired_difference((0.5, 0.4, 0.6), (0.45, 0.35, 0.55), 40)
    assert found.level == 0.95
    assert (found.low, found.high) == pytest.approx((0.05 - 0.02**0.5, 0.05 + 0.02**0.5))
    assert found.sentence("A", "B") == (
        "A and B are not separable on 40 problems, unpaired: +5.0 points (-9.1 to +19.1)."
    )
    far = unpaired_difference((1.0, 0.1, 1.0), (0.0, 0.0, 0.9), 3)
    assert (far.low, far.high) == pytest.approx((1.0 - 0.9 * 2**0.5, 1.0))
    near = unpaired_difference((0.0, 0.0, 0.9), (1.0, 0.1, 1.0), 3)
    assert (near.low, near.high) == pytest.approx((-1.0, 0.9 * 2**0.5 - 1.0))
    few = paired_difference(([1], [1]), ([1], [0]), (1, 1))
    assert (few.mean, few.low, few.high, few.level) == (1.0, -1.0, 1.0, 0.95)
    wide = paired_difference(([9] * 9, range(9)), ([9] * 9, [4] * 9), (1, 1), level=0.99)
    usual = paired_difference(([9] * 9, range(9)), ([9] * 9, [4] * 9), (1, 1))
    assert wide.low < usual.low < usual.mean < usual.high < wide.high


def test_sentences_tell_points_of_coverage() -> None:
    unclear = Difference(0.3, -0.3, 0.7, 9, False, 0.95)
    assert unclear.sentence("A", "B") == (
        "A and B are not separable on 9 problems, unpaired: +30.0 points (-30.0 to +70.0)."
    )
    clear = Difference(-0.5, -0.7, -0.3, 9, True, 0.95)
    assert clear.sentence("A", "B") == (
        "B covers 50.0 points more (30.0 to 70.0) than A on 9 shared problems."
    )


def test_an_interval_that_ends_at_zero_separates_nothing() -> None:
    assert not Difference(0.1, 0.0, 0.2, 9, True, 0.95).separable
    assert not Difference(-0.1, -0.2, 0.0, 9, True, 0.95).separable
    assert Difference(0.1, 0.01, 0.2, 9, True, 0.95).separable


def test_the_interval_leaves_as_much_out_on_either_side() -> None:
    """Of many problems the mean is normal: 1.96 standard errors either way."""
    draw = np.random.default_rng(5)
    n = np.full(400, 50)
    first, second = draw.binomial(50, 0.5, 400), draw.binomial(50, 0.4, 400)
    found = paired_difference((n, first), (n, second), (1, 1))
    error = np.std((first - second) / 50) / 20
    assert (found.mean - found.low) / error == pytest.approx(1.96, abs=0.05)
    assert (found.high - found.mean) / error == pytest.approx(1.96, abs=0.05)


def test_identical_arms_are_not_separable_and_have_a_width() -> None:
    same = paired_difference(([5] * 50, [2] * 50), ([5] * 50, [2] * 50), (1, 1))
    assert same.mean == 0.0
    assert (same.low, same.high) == pytest.approx((-0.06, 0.06))
    assert not same.separable


def test_published_single_attempts_are_not_separable_unpaired() -> None:
    # 29.62 % of 300 at five attempts against 80 of 300 at one: 2.9 points, give or take 7.
    claude = coverage_curve([1] * 300, [1] * 80 + [0] * 220, [1])
    difference = unpaired_difference(
        (0.2964, 0.2475, 0.3505),
        (float(claude.mean[0]), float(claude.low_like[0]), float(claude.high_like[0])),
        300,
    )
    assert difference.mean == pytest.approx(0.0297, abs=0.001)
    assert difference.high - difference.mean == pytest.approx(0.072, abs=0.006)
    assert not difference.separable


def test_problems_must_line_up() -> None:
    with pytest.raises(ValueError, match="same problems in both arms"):
        paired_difference(([5] * 3, [1] * 3), ([5] * 4, [1] * 4), (1, 1))


def test_the_first_estimator_that_the_attempts_allow_is_taken() -> None:
    for contiguous in (True, False):
        assert fitting(("unbiased",), contiguous=contiguous) == "unbiased"
        assert fitting(("survival",), contiguous=contiguous) == "survival"
        assert fitting("model", contiguous=contiguous) == "model"
    assert fitting(("survival", "model"), contiguous=True) == "survival"
    assert fitting(("survival", "model"), contiguous=False) == "model"


def test_a_policy_without_an_estimator_that_exists_is_refused() -> None:
    with pytest.raises(WrongEstimator, match="names no estimator"):
        named(())
    with pytest.raises(WrongEstimator, match="'median'; there are unbiased, survival, model"):
        named(("median",))


def test_every_policy_of_orch_names_its_estimator() -> None:
    assert policy_names()[:3] == ["best-value", "uniform", "until-solved"]
    assert estimators_of("uniform") == ("unbiased",)
    assert estimators_of("until-solved") == ("survival",)
    assert estimators_of("best-value") == ("survival", "model")
    with pytest.raises(ConfigError, match="unknown policy 'greedy'; the known ones are best-value"):
        estimators_of("greedy")
