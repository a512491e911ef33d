"""Groups of problems and choices of one request: formulas by hand, and simulated intervals."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.analysis.clusters import agreeing, numbered, robust_error, widening
from orchestrator.analysis.compare import paired_contrast
from orchestrator.analysis.coverage import coverage_curve


def test_the_robust_error_is_its_formula() -> None:
    each, groups = np.array([1.0, 1.0, 0.0, 0.5, 0.0]), numbered(["a", "a", "b", "c", "b"])
    assert groups.tolist() == [0, 0, 1, 2, 1]
    spread = each - 0.5
    sums = [spread[0] + spread[1], spread[2] + spread[4], spread[3]]
    by_hand = (3 / 2 * sum(one**2 for one in sums)) ** 0.5 / 5
    assert robust_error(each, groups) == pytest.approx(by_hand)
    alone = robust_error(each, np.arange(5))
    assert alone == pytest.approx(each.std(ddof=1) / 5**0.5)


def test_groups_of_one_widen_nothing_and_one_group_is_refused() -> None:
    each = np.random.default_rng(0).random(30)
    assert widening(each, np.arange(30)) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="two groups"):
        widening(each, np.zeros(30, int))


def test_grouped_problems_need_the_wider_interval() -> None:
    """20 groups of 6 that share their difficulty: nominal 95 %, by simulation."""
    draw, held = np.random.default_rng(1), np.zeros(4)
    groups = np.repeat(np.arange(20), 6)
    rounds, n, k = 300, 20, 5
    truth = 1.0 - float(((1.0 - draw.beta(0.5, 2.0, 400_000)) ** k).mean())
    for _ in range(rounds):
        rates = np.repeat(draw.beta(0.5, 2.0, 20), 6)
        counts = draw.binomial(n, rates)
        plain = coverage_curve([n] * 120, counts, [k])
        robust = coverage_curve([n] * 120, counts, [k], groups=groups)
        held[0] += plain.low_like[0] <= truth <= plain.high_like[0]
        held[1] += robust.low_like[0] <= truth <= robust.high_like[0]
        gaps = (counts - draw.binomial(n, rates * 0.5)) / n
        middle = 0.5 * 0.2
        for place, contrast in (
            (2, paired_contrast(gaps).at(0.95)),
            (3, paired_contrast(gaps, groups).at(0.95)),
        ):
            held[place] += contrast.low <= middle <= contrast.high
    held /= rounds
    assert held[0] < 0.75 and 0.91 <= held[1] <= 0.98
    assert held[2] < 0.85 and 0.91 <= held[3] <= 0.985


def test_choices_that_copy_each_other_are_worth_one() -> None:
    draw = np.random.default_rng(2)
    problem = np.repeat(np.arange(40), 10)
    copied = draw.binomial(1, 0.4, 400) * 8
    found = agreeing(problem, np.full(400, 8), copied)
    assert found is not None and found.certain
    assert found.correlation == pytest.approx(1.0) and found.worth == pytest.approx(1 / 8)


def test_independent_choices_are_worth_all_and_half_copies_in_between() -> None:
    draw = np.random.default_rng(3)
    problem = np.repeat(np.arange(50), 20)
    rates = draw.beta(1, 2, 50)[problem]
    free = agreeing(problem, np.full(1000, 5), draw.binomial(5, rates))
    assert free is not None and not free.certain and free.worth > 0.9
    # The choices of a request share a rate of Beta(1, 1): a correlation of 1/3.
    shared = agreeing(problem, np.full(1000, 5), draw.binomial(5, draw.random(1000)))
    assert shared is not None and shared.certain
    assert shared.correlation == pytest.approx(1 / 3, abs=0.06)


def test_where_nothing_can_be_told_nothing_is() -> None:
    assert agreeing([0, 1], [5, 5], [2, 3]) is None
    assert agreeing([0, 0], [1, 1], [1, 0]) is None
    assert agreeing([0, 0], [4, 4], [0, 0]) is None
