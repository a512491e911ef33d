"""Both intervals on problem sets of known truth, their limits, and their notes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.analysis_intervals import POPULATIONS, SIZES, beta, groups, simulate
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.intervals import difference
from orchestrator.analysis.mixture import fit_mixture


@pytest.mark.parametrize("right", [0, 1, 9, 10])
@pytest.mark.parametrize("problems", [1, 2, 128])
def test_no_interval_has_zero_width_and_all_hold_the_mean(right: int, problems: int) -> None:
    curve = coverage_curve([10] * problems, [right] * problems)
    for low, high in ((curve.low, curve.high), (curve.low_like, curve.high_like)):
        assert np.all(high > low)
        assert np.all((low >= 0) & (high <= 1))
        assert np.all((low <= curve.mean + 1e-12) & (curve.mean <= high + 1e-12))


def test_one_attempt_per_problem_gets_the_binomial_interval_for_these_problems() -> None:
    curve = coverage_curve([1] * 100, [1] * 30 + [0] * 70, [1])
    z, share = 1.959964, 0.3
    half = z * np.sqrt(share * (1 - share) / 100)
    assert curve.high[0] - curve.low[0] == pytest.approx(2 * half, rel=0.05)
    assert "one attempt at a problem" in curve.note


def test_these_problems_are_surer_than_problems_like_these_with_many_attempts() -> None:
    draw = np.random.default_rng(2)
    curve = coverage_curve(np.full(128, 1000), draw.binomial(1000, draw.beta(0.3, 3, 128)), [1, 10])
    assert np.all((curve.high - curve.low) * 5 < curve.high_like - curve.low_like)


def test_a_wider_level_is_wider() -> None:
    wide = coverage_curve([50] * 20, range(20), [1, 25, 50], level=0.99)
    usual = coverage_curve([50] * 20, range(20), [1, 25, 50])
    assert np.all(wide.low < usual.low)
    assert np.all(wide.high_like[:2] > usual.high_like[:2])
    assert usual.level == 0.95
    with pytest.raises(ValueError, match="level of an interval"):
        coverage_curve([5], [1], [1], level=1.0)


def test_a_low_level_still_leaves_the_mean_inside() -> None:
    curve = coverage_curve([50] * 20, range(20), [1, 10, 25], level=0.3)
    for low, high in ((curve.low, curve.high), (curve.low_like, curve.high_like)):
        assert np.all((low < curve.mean) & (curve.mean < high))


def test_the_note_says_where_nothing_is_trustworthy() -> None:
    clear = coverage_curve([100] * 50, range(50), [1, 10])
    assert clear.note == ""
    solved = coverage_curve([10] * 50, [10] * 50, [1, 5])
    assert "At k = 1 to 5 neither interval is trustworthy." in solved.note
    assert "absent from these 50" in solved.note


def test_each_sentence_of_a_note_names_its_own_k() -> None:
    note = coverage_curve([10] * 60, [6] * 60).note
    assert "At k = 4 to 10 coverage is below 1 % or above 99 %" in note
    assert "At k = 3 to 10 fewer than three chance events" in note
    assert "At k = 4 to 10 neither interval" in note
    assert "At k = 1 to 3 the problems are so alike" in note


@pytest.mark.parametrize(
    ("problems", "right", "few"), [(11, 5, True), (12, 6, False), (14, 7, False)]
)
def test_three_chance_events_are_enough_for_these_problems(
    problems: int, right: int, few: bool
) -> None:
    # One attempt each: as many events as the binomial's variance, 2.7, 3 and 3.5.
    note = coverage_curve([1] * problems, [1] * right + [0] * (problems - right)).note
    assert ("fewer than three chance events" in note) == few


@pytest.mark.parametrize(("apart", "alike"), [(1, True), (2, False)])
def test_a_quarter_of_the_variance_must_have_been_seen(apart: int, alike: bool) -> None:
    # Ten rates, 0.1 either side of a half: their variance is 10/(10 + 25) of the whole; half so
    # far apart it is 2.5/(2.5 + 25).
    curve = coverage_curve([20] * 10, [10 - apart, 10 + apart] * 5, [1])
    assert curve.trusted_like.tolist() == [not alike]
    assert ("so alike" in curve.note) == alike


def test_coverage_of_99_percent_is_not_above_it() -> None:
    assert coverage_curve([1] * 100, [1] * 99 + [0], [1]).trusted_like.tolist() == [True]
    assert coverage_curve([1] * 101, [1] * 100 + [0], [1]).trusted_like.tolist() == [False]


def test_a_curve_reaches_the_smallest_n_and_not_beyond() -> None:
    assert coverage_curve([4, 7, 9], [1, 2, 3]).k.tolist() == [1, 2, 3, 4]
    for ks in ([0, 2], [2, 5], [1, 2, 5]):
        with pytest.raises(ValueError, match="k must lie between 1 and 4"):
            coverage_curve([4, 7, 9], [1, 2, 3], ks)


def test_two_attempts_can_be_trusted_and_one_cannot() -> None:
    assert coverage_curve([2] * 50, [1] * 50, [1]).trusted.all()
    assert not coverage_curve([1] * 50, [1, 0] * 25, [1]).trusted.any()


def test_rare_successes_are_noted_below_one_percent_only() -> None:
    rare = coverage_curve([100] * 60, [0] * 30 + [1, 2] * 15, [1])
    assert rare.mean[0] == pytest.approx(0.0075)
    assert "below 1 %" in rare.note and "neither" not in rare.note
    fewer = coverage_curve([100] * 60, [0] * 30 + [2, 4] * 15, [1])
    assert "below 1 %" not in fewer.note


def test_the_mixture_finds_two_groups() -> None:
    draw = np.random.default_rng(4)
    rates = np.where(draw.random(2000) < 0.5, 0.3, 0.001)
    c = draw.binomial(50, rates)
    kinds, alike = np.unique(c, return_counts=True)
    mixture = fit_mixture(np.full(len(kinds), 50), kinds, alike.astype(float), highest=1.0)
    fails = float(alike @ mixture.failure_moment(100)) / 2000
    assert fails == pytest.approx(float(((1 - rates) ** 100).mean()), abs=0.03)
    assert mixture.weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("n", "c"), [(10, 9), (10, 0), (10, 10), (10_000, 5000)])
def test_the_mixture_of_one_kind_lies_at_its_own_rate(n: int, c: int) -> None:
    mixture = fit_mixture(np.array([n]), np.array([c]), np.array([3.0]), highest=1.0)
    assert mixture.weights.sum() == pytest.approx(1.0)
    assert mixture.failure_moment(1) == pytest.approx(1 - c / n, abs=0.2 / n**0.5)


@pytest.mark.parametrize("n", [1, 25, 1000])
def test_the_mixtures_rates_are_one_standard_error_apart_and_denser_at_the_ends(n: int) -> None:
    rates = fit_mixture(np.array([n]), np.array([n]), np.array([1.0]), highest=1.0).rates
    assert (rates[0], rates[-1]) == (0.0, 1.0)
    step = 0.5 / n**0.5
    apart = np.sin(np.arange(step, np.pi / 2, step)) ** 2
    assert np.abs(rates[:, None] - apart).min(axis=0).max() < 1e-12
    others = rates[np.abs(rates[:, None] - apart).min(axis=1) > 1e-12]
    assert np.all((others < 1 / n) | (others > 1 - 1 / n))
    assert others == pytest.approx(1 - others[::-1])


def test_the_mixture_is_as_fine_as_the_most_attempts_allow() -> None:
    few, many = np.array([10, 1000]), np.array([1000, 1000])
    right, alike = np.array([1, 1]), np.ones(2)
    unequal = fit_mixture(few, right, alike, highest=1.0)
    assert len(unequal.rates) == len(fit_mixture(many, right, alike, highest=1.0).rates)


def test_the_gain_between_two_k_is_surer_than_its_ends_suggest() -> None:
    draw = np.random.default_rng(6)
    n, hits, ends = np.full(128, 40), 0, []
    rates = draw.beta(0.3, 3, 128)
    truth = float(((1 - rates) ** 10 - (1 - rates) ** 20).mean())
    for _ in range(300):
        c = draw.binomial(40, rates)
        gain, low, high = difference(n, c, 10, 20, 0.95)
        hits += low <= truth <= high
        curve = coverage_curve(n, c, [10, 20])
        assert gain == pytest.approx(curve.mean[1] - curve.mean[0], abs=1e-12)
        ends.append((high - low) / (curve.high - curve.low).sum())
    assert 0.91 <= hits / 300 <= 0.99
    assert np.mean(ends) < 0.5


def test_nominal_95_percent_is_about_95_percent_for_both_kinds() -> None:
    populations = (beta(0.3, 3), beta(0.2, 0.2), groups((0.5, 0.3), (0.5, 0.001)))
    cells = list(simulate(populations, {20: (1, 10, 20)}, replicates=250, seed=5))
    assert len(cells) == 9
    for cell in cells:
        # 250 replicates: three standard errors are 0.04.
        assert 0.91 <= cell.these <= 0.995, cell
        assert 0.91 <= cell.like <= 0.995, cell
    assert np.mean([cell.these for cell in cells]) == pytest.approx(0.955, abs=0.02)
    assert np.mean([cell.like for cell in cells]) == pytest.approx(0.955, abs=0.02)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_table_of_simulated_coverage() -> None:
    cells = list(simulate(POPULATIONS, SIZES, replicates=1000, seed=1))
    # Cells whose note says not to trust them are none of the promise.
    like = [cell.like for cell in cells if cell.flagged_like < 0.5]
    these = [cell.these for cell in cells if cell.flagged < 0.5]
    assert min(like) >= 0.92 and max(like) <= 0.985
    assert min(these) >= 0.92 and max(these) <= 0.99
    assert sum(share > 0.98 for share in these) <= 4
    assert np.mean(these) == pytest.approx(0.955, abs=0.01)


@pytest.mark.parametrize("right", [[10, 10, 10, 0], [20, 3, 0, 0], [1, 0, 0, 0], [20, 20, 19, 1]])
def test_bounds_do_not_fall_as_k_rises(right: list[int]) -> None:
    curve = coverage_curve([20] * 4, right)
    for ends in (curve.low, curve.high, curve.low_like, curve.high_like):
        assert np.all(np.diff(ends) >= 0.0)
    assert np.all(curve.low_like <= curve.low) and np.all(curve.high <= curve.high_like)


def test_bounds_do_not_hang_on_which_k_are_asked_for() -> None:
    n, c = [20] * 4, [10, 10, 10, 0]
    whole = coverage_curve(n, c)
    for ks in ([20], [5, 20], [1, 2, 5, 10, 20]):
        part = coverage_curve(n, c, ks)
        for name in ("mean", "low", "high", "low_like", "high_like"):
            few, every = getattr(part, name), getattr(whole, name)
            assert few == pytest.approx(every[np.array(ks) - 1], abs=1e-9)
