"""The power law on curves of known law, its errors as defined, and the family alignment."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.scaling import fit_log, fit_power_law, horizontal_shift, log_spaced


@pytest.mark.parametrize(("a", "b"), [(-1.33, -0.43), (-4.5, -0.12), (-7.6, -0.18), (-0.05, -0.36)])
@pytest.mark.parametrize("space", ["coverage", "log"])
def test_finds_the_law_of_an_exact_curve(a: float, b: float, space: str) -> None:
    curve = np.exp(a * np.arange(1, 10_001) ** b)
    law = fit_power_law(curve, space)  # type: ignore[arg-type]
    assert law.a == pytest.approx(a, rel=1e-5)
    assert law.b == pytest.approx(b, rel=1e-5)
    assert law.error_mean < 1e-7
    assert law([1, 100]) == pytest.approx(curve[[0, 99]], rel=1e-5)
    assert law.space == space


def test_the_error_is_mean_and_spread_over_100_log_spaced_points() -> None:
    ks = np.arange(1, 2001)
    curve = np.exp(-3 * ks**-0.2) + 0.01 * np.sin(np.log(ks) * 3)
    law = fit_power_law(curve, "log")
    at = log_spaced(2000, 100)
    gap = np.abs(curve[at - 1] - np.exp(law.a * at.astype(float) ** law.b))
    assert law.error_mean == pytest.approx(gap.mean())
    assert law.error_sd == pytest.approx(gap.std())
    assert 0.001 < law.error_mean < 0.02


def test_log_space_is_the_least_squares_of_log_coverage() -> None:
    ks = log_spaced(500, 40)
    logs = -2.0 * ks**-0.3 + 0.05 * np.cos(ks)
    (a,), (b,) = fit_log(ks, logs[None, :])

    def loss(a: float, b: float) -> float:
        return float(((logs - a * ks**b) ** 2).sum())

    best = loss(a, b)
    for step_a, step_b in [(1e-4, 0), (-1e-4, 0), (0, 1e-4), (0, -1e-4)]:
        assert loss(a + step_a, b + step_b) > best


def test_each_space_has_the_least_squares_of_its_own() -> None:
    ks = np.arange(1, 2001)
    curve = np.exp(-5 * ks**-0.3) * (1 - 0.3 * np.exp(-ks / 30))
    at = log_spaced(2000, 40)
    laws = {space: fit_power_law(curve, space) for space in ("coverage", "log")}
    squares = {
        space: (
            float(((law(at) - curve[at - 1]) ** 2).sum()),
            float(((np.log(law(at)) - np.log(curve[at - 1])) ** 2).sum()),
        )
        for space, law in laws.items()
    }
    assert squares["coverage"][0] < 0.9 * squares["log"][0]
    assert squares["log"][1] < 0.9 * squares["coverage"][1]


def test_three_points_are_enough_and_two_are_not() -> None:
    assert fit_power_law([0.2, 0.3, 0.35], "log").a < 0
    with pytest.raises(ValueError, match="no power law"):
        fit_power_law([0.0, 0.3, 0.35], "log")


@pytest.mark.parametrize("b", [-4.0, -1e-5])
def test_finds_laws_at_the_ends_of_what_it_searches(b: float) -> None:
    ks = np.arange(1, 50)
    found = fit_log(ks, (-0.7 * ks**b)[None, :])
    assert found[1][0] == pytest.approx(b, abs=3e-5)
    assert found[0][0] == pytest.approx(-0.7, rel=1e-3)


def test_no_law_rises_above_one() -> None:
    # A mean of ones may be rounded above 1.
    (a,), _ = fit_log(np.arange(1, 50), np.full((1, 49), 1e-15))
    assert a == 0.0


def test_no_law_falls_with_more_attempts() -> None:
    ks = np.arange(1, 50)
    (a,), (b,) = fit_log(ks, (-0.7 * ks**0.05)[None, :])
    assert -1e-9 < b <= 0.0
    assert a == pytest.approx(float(np.mean(-0.7 * ks**0.05)), rel=1e-6)


def test_forty_points_as_in_the_paper() -> None:
    curve = 1.0 - np.linspace(0.9, 0.2, 1000) ** 3
    assert fit_power_law(curve, "log") == fit_power_law(curve, "log", points=40)


def test_many_curves_are_fitted_as_each_alone() -> None:
    ks = log_spaced(1000, 40)
    logs = np.stack([-3 * ks**-0.2, -1 * ks**-0.5, -5.0 * ks**-0.05])
    together = fit_log(ks, logs)
    for row in range(3):
        alone = fit_log(ks, logs[row : row + 1])
        assert together[0][row] == pytest.approx(alone[0][0])
        assert together[1][row] == pytest.approx(alone[1][0])


def test_log_spaced_points_are_whole_distinct_and_reach_both_ends() -> None:
    ks = log_spaced(10_000, 40)
    assert ks[0] == 1 and ks[-1] == 10_000
    assert len(set(ks.tolist())) == len(ks) <= 40
    assert log_spaced(1, 40).tolist() == [1]


@pytest.mark.parametrize("curve", [[0.0] * 50, [1.0] * 50, [0.5, 0.6]])
def test_refuses_curves_without_a_law(curve: list[float]) -> None:
    with pytest.raises(ValueError, match="no power law"):
        fit_power_law(curve, "log")


def test_alignment_finds_the_natural_number_closest_to_the_anchor() -> None:
    curves = {
        "large": np.array([0.4, 0.6, 0.7]),
        "small": np.array([0.1, 0.3, 0.38, 0.43, 0.5]),
        "tiny": np.array([0.01, 0.02]),
    }
    anchor, at = horizontal_shift(curves)
    assert anchor == 0.4
    assert at == {"large": 1, "small": 3, "tiny": 2}
    with pytest.raises(ValueError, match="no curves"):
        horizontal_shift({})


PRINTED = {
    "CodeContests Llama 3 70B Instruct": (-2.52, -0.11),
    "MATH Pythia 160M": (-6.42, -0.27),
    "MATH Pythia 410M": (-5.39, -0.28),
    "MATH Pythia 2.8B": (-4.10, -0.33),
    "MATH Pythia 6.9B": (-4.21, -0.34),
}
"""Natural-logarithm parameters printed in arXiv 2407.21787 (v3 for CodeContests, else v1)."""


def test_released_configurations_describe_better_in_coverage_space(released: list) -> None:
    for one in released:
        curve = coverage_curve(one.n, one.c).mean
        described, extrapolated = fit_power_law(curve, "coverage"), fit_power_law(curve, "log")
        assert described.error_mean <= extrapolated.error_mean
        if one.name in PRINTED:
            a, b = PRINTED[one.name]
            # v1 printed the base-10 logarithm with two decimals; MATH was graded again since.
            assert extrapolated.a == pytest.approx(a, abs=0.02)
            assert extrapolated.b == pytest.approx(b, abs=0.006)
