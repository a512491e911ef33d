"""The first-success curve on simulated runs that stop: exact small cases, then bias."""

from __future__ import annotations

import heapq
from itertools import permutations
from random import Random

import numpy as np
import pytest

from orchestrator.analysis.survival import FAILED, PASSED, UNKNOWN, DrawOutcomes, survival_curve


def singles(*rows: list[int]) -> list[DrawOutcomes]:
    return [DrawOutcomes(i, (outcome,)) for i, row in enumerate(rows) for outcome in row]


def test_is_the_share_of_first_successes() -> None:
    curve = survival_curve(4, singles([1], [0, 1], [0, 0, 0], [0, 0, 1]))
    assert curve.k.tolist() == [1, 2, 3]
    assert curve.mean == pytest.approx([0.25, 0.5, 0.75])
    assert curve.complete == 3
    assert curve.mean_low == pytest.approx(curve.mean)
    assert curve.mean_high == pytest.approx(curve.mean)
    assert np.all((curve.low < curve.mean) & (curve.mean < curve.high))


def test_slots_after_the_first_success_are_overshoot() -> None:
    with_overshoot = survival_curve(2, singles([0, 1, 0, 1], [0, 0, 0, 0]))
    assert with_overshoot.mean == pytest.approx([0.0, 0.5, 0.5, 0.5])


def test_batches_after_a_solved_one_change_nothing() -> None:
    solved, other = DrawOutcomes(0, (PASSED,)), DrawOutcomes(1, (FAILED,) * 3)
    assert (
        survival_curve(2, [solved, DrawOutcomes(0, (FAILED, PASSED)), other]).mean.tolist()
        == [0.5] * 3
    )
    assert survival_curve(1, [solved, DrawOutcomes(0, (FAILED, FAILED))]).k.tolist() == [1]


def test_in_batch_form_is_the_mean_over_orders_within_the_batch() -> None:
    batch = (PASSED, FAILED, PASSED, FAILED, FAILED)
    entered = DrawOutcomes(0, (FAILED,) * 2)
    whole = survival_curve(2, [entered, DrawOutcomes(0, batch), DrawOutcomes(1, (FAILED,) * 7)])
    each = [
        survival_curve(
            2, [entered, DrawOutcomes(0, order), DrawOutcomes(1, (FAILED,) * 7)], by_choice=True
        ).mean
        for order in set(permutations(batch))
    ]
    assert whole.mean == pytest.approx(np.mean(each, axis=0))
    assert whole.mean[2] == pytest.approx(0.5 * 2 / 5)
    assert whole.mean[-1] == pytest.approx(0.5)


def test_problems_not_followed_leave_the_risk_set() -> None:
    # Kaplan and Meier by hand: 1 of 4 at k = 1; then two remain at risk, one of them solved.
    curve = survival_curve(4, singles([1], [0], [0, 1], [0, 0]))
    assert curve.mean == pytest.approx([0.25, 1 - 0.75 * 0.5])
    assert curve.complete == 1


def test_unknown_slots_censor_and_have_bounds() -> None:
    batches = singles([1], [0, UNKNOWN, 1], [0, 0, 0], [UNKNOWN, 0, 0])
    curve = survival_curve(4, batches)
    # At k = 1 three are known (one solved); slot 2 of problem 1 stops it there.
    assert curve.mean[0] == pytest.approx(1 / 3)
    assert curve.mean == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    # All wrong: 1, then 1, then 2 of 4, but never above the estimate.
    assert curve.mean_low == pytest.approx([1 / 4, 1 / 4, 1 / 3])
    # Left out: problem 1 is solved by its second known slot.
    assert curve.mean_high == pytest.approx([1 / 3, 1 / 2, 1 / 2])


def test_left_out_slots_are_as_if_never_dispatched() -> None:
    left = survival_curve(2, singles([UNKNOWN, 1], [0, 0]))
    assert left.mean_high == pytest.approx([0.5, 0.5])
    assert left.mean_low == pytest.approx([0.0, 0.0])


def test_everything_solved_and_nothing_solved() -> None:
    assert survival_curve(2, singles([1], [0, 1])).mean.tolist() == [0.5, 1.0]
    none = survival_curve(3, singles([0], [0], [0]))
    assert none.mean.tolist() == [0.0]
    assert none.low[0] == 0.0 < none.high[0] < 0.8


def test_greenwood_equals_the_binomial_without_censoring() -> None:
    curve = survival_curve(100, singles(*[[1]] * 30, *[[0]] * 70))
    z = 1.959964
    middle = (0.3 + z * z / 200) / (1 + z * z / 100)
    half = z * np.sqrt(0.21 / 100 + z * z / 40_000) / (1 + z * z / 100)
    assert curve.low[0] == pytest.approx(middle - half, abs=1e-6)
    assert curve.high[0] == pytest.approx(middle + half, abs=1e-6)


def test_censoring_leaves_the_interval_what_the_fewer_followed_are_worth() -> None:
    # 100 problems: 20 solved at once, 40 followed no further, 10 of the other 40 solved at 2.
    curve = survival_curve(100, singles(*[[1]] * 20, *[[0]] * 40, *[[0, 1]] * 10, *[[0, 0]] * 30))
    assert curve.mean == pytest.approx([0.2, 1 - 0.8 * 0.75])
    variance = 0.6**2 * (20 / (100 * 80) + 10 / (40 * 30))
    worth, z = 0.24 / variance, 1.959964
    assert worth < 70
    middle = (0.4 + z * z / (2 * worth)) / (1 + z * z / worth)
    half = z * np.sqrt(0.24 / worth + z * z / (4 * worth**2)) / (1 + z * z / worth)
    assert curve.low[1] == pytest.approx(middle - half, abs=1e-6)
    # Half of those at risk were left behind: so much of half an event is granted above.
    worth = 0.24 / (variance + 0.5 * 0.5 * (0.6 / 40) ** 2)
    middle = (0.4 + z * z / (2 * worth)) / (1 + z * z / worth)
    half = z * np.sqrt(0.24 / worth + z * z / (4 * worth**2)) / (1 + z * z / worth)
    assert curve.high[1] == pytest.approx(middle + half, abs=1e-6)


def wilson(right: float, of: float) -> tuple[float, float]:
    z, share = 1.959964, right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return middle - half, middle + half


@pytest.mark.parametrize("right", [1, 0])
def test_a_cap_that_ends_after_eight_verdicts_leaves_what_eight_are_worth(right: int) -> None:
    # 128 problems; the first 8 are all solved (all failed), the others were never asked.
    curve = survival_curve(128, singles(*[[right]] * 8))
    assert curve.mean.tolist() == [float(right)]
    low, high = wilson(8 * right, 8)
    assert curve.low[0] == pytest.approx(low, abs=1e-6)
    assert curve.high[0] == pytest.approx(high, abs=1e-6)
    assert (right, round(100 * low)) in ((1, 68), (0, 0))


def test_a_few_followed_on_and_all_solved_are_worth_a_few() -> None:
    # 10 of 128 are solved at once; three go on and are solved, nobody else is asked again.
    curve = survival_curve(128, singles(*[[1]] * 10, *[[0, 1]] * 3, *[[0]] * 115))
    assert curve.mean[1] == 1.0 and curve.high[1] == 1.0
    assert curve.low[1] == pytest.approx(wilson(3, 3)[0], abs=1e-6)


def test_a_few_followed_on_and_none_solved_leave_room_above() -> None:
    curve = survival_curve(128, singles(*[[1]] * 10, *[[0, 0]] * 3, *[[0]] * 115))
    assert curve.mean.tolist() == [10 / 128] * 2
    assert curve.high[0] == pytest.approx(wilson(10, 128)[1], abs=1e-6)
    # Nobody can say much of k = 2 from three problems.
    assert curve.high[1] > 0.4
    assert curve.low[1] == curve.low[0]


def test_nothing_but_unknown_slots_gives_no_estimate() -> None:
    curve = survival_curve(5, singles(*[[UNKNOWN]] * 5))
    for part in (curve.k, curve.mean, curve.low, curve.high, curve.mean_low, curve.mean_high):
        assert part.shape == (0,)


def test_bounds_never_fall_as_k_rises() -> None:
    draw = Random(4)
    rows = [[int(draw.random() < 0.1) for _ in range(draw.randint(1, 30))] for _ in range(40)]
    curve = survival_curve(40, singles(*rows))
    for ends in (curve.low, curve.high):
        assert np.all(np.diff(ends) >= 0.0)


def test_nothing_is_learned_once_nobody_is_followed() -> None:
    # The first problem is solved by two of its batch's four, the second is followed no further.
    batches = [DrawOutcomes(0, (PASSED, PASSED, PASSED, FAILED)), DrawOutcomes(1, (FAILED, FAILED))]
    curve = survival_curve(2, batches)
    assert curve.mean == pytest.approx([0.375, 0.5, 0.5, 0.5])
    for ends in (curve.low, curve.high):
        assert ends[2:].tolist() == [ends[1]] * 2
        assert ends[0] != ends[1]


def test_an_estimate_that_rests_on_one_problem_is_worth_one() -> None:
    # Of three problems one is followed to k = 2, and one of its two attempts there is right.
    failed = [DrawOutcomes(i, (FAILED,)) for i in range(3)]
    curve, z = survival_curve(3, [*failed, DrawOutcomes(2, (PASSED, FAILED))]), 1.959964
    assert curve.mean == pytest.approx([0.0, 0.5, 1.0])
    assert curve.high[1] - 0.5 == pytest.approx(0.5 * z / np.sqrt(1 + z * z), abs=1e-6)
    assert 0.5 - curve.low[1] == pytest.approx(0.5 * z / np.sqrt(1 + z * z), abs=1e-6)


def test_what_comes_after_an_unknown_slot_is_not_followed() -> None:
    batches = [
        DrawOutcomes(0, (FAILED, UNKNOWN)),
        DrawOutcomes(0, (PASSED,)),
        DrawOutcomes(1, (FAILED, FAILED, FAILED)),
    ]
    curve = survival_curve(2, batches)
    assert curve.mean.tolist() == [0.0, 0.0, 0.0]
    assert curve.mean_high.tolist() == [0.0, 0.5, 0.5]


def test_one_problem_is_enough() -> None:
    assert survival_curve(1, [DrawOutcomes(0, (FAILED, PASSED))], by_choice=True).mean.tolist() == [
        0,
        1,
    ]


def test_no_attempts_are_refused() -> None:
    with pytest.raises(ValueError, match="no attempts"):
        survival_curve(3, [])


def run_until_solved(
    rates: list[float], draw: Random, *, batch: int, budget: int, right_speed: float
) -> list[DrawOutcomes]:
    """A run that stops at first successes: requests in flight, failures of ours, a budget's end.

    Rounds are breadth first in shuffled order; eight requests are in flight at once, a request
    with a right answer takes `right_speed` times as long; one slot in ten must be drawn again
    for a failure of ours and one in a hundred stays unresolved; the budget ends mid-round.
    """
    solved = [False] * len(rates)
    made: list[list[DrawOutcomes]] = [[] for _ in rates]
    flying: list[tuple[float, int, bool]] = []
    now, spent, order = 0.0, 0, []
    while spent < budget:
        if not order:
            order = [i for i, done in enumerate(solved) if not done]
            draw.shuffle(order)
            if not order:
                break
        problem = order.pop()
        if solved[problem]:
            continue
        hits = [draw.random() < rates[problem] for _ in range(batch)]
        took = draw.expovariate(1.0) * (right_speed if any(hits) else 1.0)
        failures = sum(draw.random() < 0.1 for _ in range(batch))
        took += draw.expovariate(1.0) * (failures > 0)
        outcomes = tuple(UNKNOWN if draw.random() < 0.01 else int(hit) for hit in hits)
        made[problem].append(DrawOutcomes(problem, outcomes))
        spent += batch + failures
        heapq.heappush(flying, (now + took, problem, PASSED in outcomes))
        while len(flying) >= 8:
            now, done, right = heapq.heappop(flying)
            solved[done] |= right
    return [one for row in made for one in row]


def bias(
    replicates: int, *, batch: int, right_speed: float, k: int, seed: int
) -> tuple[float, float]:
    """Mean error in points of the curve at k against each set's own truth, and its error."""
    draw, errors = Random(seed), []
    for _ in range(replicates):
        rates = [draw.betavariate(0.3, 2.0) for _ in range(96)]
        batches = run_until_solved(rates, draw, batch=batch, budget=96 * k, right_speed=right_speed)
        truth = 1.0 - np.mean((1.0 - np.array(rates)) ** k)
        errors.append(100 * float(survival_curve(96, batches).mean[k - 1] - truth))
    return float(np.mean(errors)), float(np.std(errors) / np.sqrt(replicates))


@pytest.mark.parametrize(("batch", "right_speed"), [(1, 0.5), (4, 2.0)])
def test_stopped_runs_are_not_biased(batch: int, right_speed: float) -> None:
    mean, error = bias(300, batch=batch, right_speed=right_speed, k=8, seed=1)
    assert abs(mean) < 0.2 + 3 * error
    assert error < 0.25


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "right_speed"), [(1, 0.5), (1, 2.0), (4, 0.5), (4, 2.0), (8, 1.0)]
)
def test_bias_is_under_a_fifth_of_a_point(batch: int, right_speed: float) -> None:
    mean, error = bias(6000, batch=batch, right_speed=right_speed, k=8, seed=2)
    assert abs(mean) < 0.2
    assert error < 0.06
