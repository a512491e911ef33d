"""Arms at equal cost: what a budget buys, who covers more, where one overtakes another."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.analysis_equal import PAIRS, false_claims, held
from orchestrator.analysis.compare import corrected, paired_contrast, unpaired_contrast
from orchestrator.analysis.equal import Buyable, budgets_of, deciding_budget, overtakings


def arm(n: int, c: list[int], cost: float) -> Buyable:
    return Buyable((n,) * len(c), tuple(c), lambda k: cost * k)


def test_a_budget_buys_the_largest_k_that_fits_and_never_more_than_was_made() -> None:
    one = arm(10, [3, 0], 2.0)
    assert [one.affordable(budget) for budget in (0, 1.9, 2.0, 7.9, 20.0, 99.0)] == [
        0, 0, 1, 3, 10, 10
    ]  # fmt: skip
    assert one.total == 20.0
    assert one.each([0, 1, 10])[:, 0] == pytest.approx([0.0, 0.3, 1.0])


def test_the_deciding_budget_is_where_all_arms_still_have_attempts() -> None:
    cheap, dear = arm(50, [5, 1], 1.0), arm(10, [5, 5], 20.0)
    assert deciding_budget([cheap, dear]) == 50.0
    # The dear one's single attempt costs more than all of the cheap one's.
    assert deciding_budget([cheap, arm(2, [1, 1], 80.0)]) == 80.0
    assert budgets_of([cheap, dear]) == [1.0, 20.0, 50.0, 200.0]
    assert budgets_of([arm(50, [1], 1.0), arm(1, [1], 50.5)]) == [1.0, 50.5]


def test_one_arm_overtakes_another_where_their_curves_cross() -> None:
    draw = np.random.default_rng(0)
    rates = draw.beta(2.0, 40.0, 200)
    steady = arm(100, draw.binomial(100, rates).tolist(), 1.0)
    # Right at once or never, in 60 %: overtaken where the other passes 60 %.
    sure = arm(10, [10] * 120 + [0] * 80, 10.0)
    (found,) = overtakings([steady, sure])
    assert (found.first, found.second) == (0, 1)
    assert found.low <= found.budget <= found.high
    at = steady.each([found.k - 1, found.k]).mean(axis=1)
    assert at[0] <= 0.62 and at[1] >= 0.6
    assert 1.0 - float(((1.0 - rates) ** found.k).mean()) == pytest.approx(0.6, abs=0.05)


def test_what_covers_more_from_the_first_budget_on_overtakes_nobody() -> None:
    better, worse = arm(50, [25] * 30, 1.0), arm(50, [1] * 30, 1.0)
    assert overtakings([better, worse]) == []


def test_holm_holds_the_smallest_p_against_the_strictest_level() -> None:
    draw = np.random.default_rng(1)
    gaps = [draw.normal(mean, 1.0, 100) * 0.1 for mean in (1.0, 0.27, 0.0)]
    found = corrected([paired_contrast(one) for one in gaps])
    assert [round(one.level, 4) for one in found] == [0.9833, 0.975, 0.95][: len(found)] or (
        round(found[0].level, 4) == 0.9833 and not found[1].separable
    )
    assert found[0].separable and not found[2].separable
    alone = paired_contrast(gaps[1]).at(0.95)
    assert found[1].high - found[1].low > alone.high - alone.low


def test_a_single_pair_is_not_widened() -> None:
    contrast = unpaired_contrast((0.5, 0.4, 0.6), (0.3, 0.25, 0.35), 40)
    assert corrected([contrast]) == [contrast.at(0.95)]
    assert contrast.at(0.95).low == pytest.approx(0.2 - np.hypot(0.1, 0.05))


def test_the_interval_at_equal_dollars_holds_as_often_as_it_says() -> None:
    for pair in PAIRS[::2]:
        hits, _, _, wrong = held(pair, 50, 250, seed=3)
        assert 0.90 <= hits <= 0.99, pair.name
        assert wrong <= 0.05, pair.name


def test_with_few_problems_it_holds_more_often_than_it_says_not_less() -> None:
    # The pairs at which Student's interval alone holds least often.
    for pair in PAIRS[1:4:2]:
        for problems in (6, 10):
            hits, _, _, wrong = held(pair, problems, 150, seed=6)
            assert hits >= 0.95 and wrong <= 0.03, (pair.name, problems)


def test_a_planted_pair_is_decided_rightly() -> None:
    # At 128 problems these differ by many standard errors; the truth is that of the population.
    _, _, right, wrong = held(PAIRS[2], 128, 200, seed=7)
    assert right >= 0.7 and wrong == 0.0


def test_equal_arms_are_seldom_said_to_differ() -> None:
    assert false_claims(5, 40, 200, seed=4) <= 0.09


@pytest.mark.slow
@pytest.mark.parametrize("problems", [20, 128])
def test_nominal_95_percent_lies_between_92_and_98(problems: int) -> None:
    for pair in PAIRS:
        hits, _, _, _ = held(pair, problems, 1500, seed=5)
        assert 0.92 <= hits <= 0.98, pair.name
