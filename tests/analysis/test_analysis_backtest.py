"""Values of the next attempt, and policies replayed on counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.analysis_backtest import (
    Arm,
    attempts_to_share,
    first_successes,
    replay_best_value,
    replay_rounds,
)
from benchmarks.analysis_policies import by_arm, by_problem, equal_costs
from orchestrator.analysis.beta import BetaPosterior
from orchestrator.analysis.value import expected_cost, hazard_table, value_index
from orchestrator.reproduce.recorded import RecordedOutcomes

UNTIL_SOLVED = {
    "CodeContests Llama 3 70B Instruct": 0.696,
    "CodeContests Llama 3 8B": 0.840,
    "MATH Pythia 160M": 0.567,
    "MATH Pythia 410M": 0.496,
    "MATH Pythia 2.8B": 0.358,
    "MATH Pythia 6.9B": 0.330,
}
"""Attempts over those of `uniform` to 90 % of the coverage at 10,000: exact expectations."""


def one_posterior(alpha: float, beta: float) -> BetaPosterior:
    return BetaPosterior(np.array([alpha]), np.array([beta]), np.array([1.0]))


def test_hazard_falls_with_failures_as_a_beta_says() -> None:
    posterior = one_posterior(0.5, 2.0)
    assert posterior.hazard([0, 1, 10]) == pytest.approx([0.5 / 2.5, 0.5 / 3.5, 0.5 / 12.5])
    mixed = BetaPosterior(np.array([0.5, 5.0]), np.array([2.0, 2.0]), np.array([0.5, 0.5]))
    # After many failures the easy population is ruled out, not only its rate lowered.
    assert mixed.hazard(0) == pytest.approx((0.2 + 5 / 7) / 2)
    assert mixed.hazard(200) == pytest.approx(0.5 / 202.5, rel=0.01)


def test_the_hazard_stays_finite_after_very_many_failures() -> None:
    steep = BetaPosterior(np.array([90.0]), np.array([1.0]), np.array([1.0]))
    assert steep.hazard(10**6) == pytest.approx(90 / (91 + 10**6))
    mixed = BetaPosterior(np.array([1.0, 100.0]), np.array([1.0, 1.0]), np.array([0.5, 0.5]))
    assert mixed.hazard(10**6) == pytest.approx(1 / (2 + 10**6))


def test_the_table_is_the_hazard_at_every_count() -> None:
    posterior = one_posterior(0.3, 4.0)
    table = hazard_table(posterior, 5000)
    assert table.shape == (5001,)
    assert table == pytest.approx(posterior.hazard(np.arange(5001)), rel=2e-3)
    assert np.all(np.diff(table) < 0)
    # The first counts are worked out, not interpolated.
    assert table[:3] == pytest.approx(posterior.hazard(np.arange(3)), rel=1e-12)
    assert hazard_table(posterior, 0).tolist() == pytest.approx([0.3 / 4.3])


def test_expected_cost_is_shrunk_to_the_arms_mean() -> None:
    cost = expected_cost([0.0, 30.0, 3000.0], [0, 3, 300], prior_cost=4.0)
    assert cost == pytest.approx([4.0, 38 / 5, 3008 / 302])


def test_the_index_prefers_cheap_and_likely_attempts() -> None:
    index = value_index(one_posterior(0.5, 2.0).hazard([0, 0, 9]), [1.0, 2.0, 0.1])
    assert index == pytest.approx([0.2, 0.1, 0.5 / 11.5 / 0.1])
    with pytest.raises(ValueError, match="must be positive"):
        value_index([0.5], [0.0])


def test_first_successes_have_the_negative_hypergeometric_mean() -> None:
    draw = np.random.default_rng(1)
    n, c = np.full(3000, 50), np.repeat([0, 1, 4], 1000)
    first = first_successes(n, c, draw)
    assert np.all(first[:1000] == 51)
    assert first[1000:2000].mean() == pytest.approx(51 / 2, abs=1.5)
    assert first[2000:].mean() == pytest.approx(51 / 5, abs=0.9)
    assert first[1000:].min() >= 1 and first[1000:].max() <= 50


def test_no_attempt_succeeds_twice() -> None:
    n, draw = np.full(50, 4), np.random.default_rng(1)
    assert first_successes(n, np.full(50, 4), draw).tolist() == [1] * 50
    assert set(first_successes(n, np.full(50, 3), draw).tolist()) == {1, 2}


def synthetic() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(2)
    return np.full(60, 400), draw.binomial(400, draw.beta(0.3, 6.0, 60))


def test_exact_expectation_equals_replay_for_equal_costs() -> None:
    n, c = synthetic()
    uniform, stopping = attempts_to_share(n, c, 0.9)
    goal = int(np.ceil(0.9 * (c > 0).sum()))
    arm, draw = Arm(n, c, np.ones(60)), np.random.default_rng(3)
    replays = [first_successes(n, c, draw) for _ in range(300)]
    costs = [
        sum(replay_rounds(arm, first, goal, stop_solved=stop) for first in replays)
        for stop in (False, True)
    ]
    assert costs[1] / costs[0] == pytest.approx(stopping / uniform, rel=0.08)


def test_attempts_to_a_share_by_hand() -> None:
    # Of two problems one is solved by one attempt in four: coverage is k/8 up to 4/8.
    assert attempts_to_share([4, 4], [0, 1], 0.5) == (2 * 2, 2 * (1 + 7 / 8))
    assert attempts_to_share([4, 4], [0, 1], 0.7) == (2 * 3, 2 * (1 + 7 / 8 + 6 / 8))
    assert attempts_to_share([4, 4], [0, 1], 1.0) == (2 * 4, 2 * (1 + 7 / 8 + 6 / 8 + 5 / 8))
    assert attempts_to_share([4, 4], [0, 1], 0.1) == (2, 2)


def naive_best_value(arms: list[Arm], firsts: list[np.ndarray], goal: int) -> float:
    """The policy draw by draw, with the same fits at the same number of attempts."""
    problems = len(arms[0].n)
    failed = [np.zeros(problems, dtype=int) for _ in arms]
    won = [np.zeros(problems, dtype=int) for _ in arms]
    solved, spent, limit = np.zeros(problems, dtype=bool), 0.0, float(len(arms) * problems)
    while solved.sum() < goal:
        tables = [
            hazard_table(BetaPosterior.from_first_successes(f, w), int(arm.n.max()))
            for f, w, arm in zip(failed, won, arms, strict=True)
        ]
        while solved.sum() < goal and sum(int((f + w).sum()) for f, w in zip(
            failed, won, strict=True)) < limit:  # fmt: skip
            _, a, i = max(
                (tables[a][failed[a][i]] / arm.cost[i], a, i)
                for a, arm in enumerate(arms)
                for i in range(problems)
                if not solved[i] and failed[a][i] < arm.n[i]
            )
            spent += float(arms[a].cost[i])
            if failed[a][i] + 1 == firsts[a][i]:
                solved[i], won[a][i] = True, 1
            else:
                failed[a][i] += 1
        limit *= 1.3
    return spent


@pytest.mark.parametrize("seed", range(4))
def test_the_sinking_threshold_is_best_value_draw_by_draw(seed: int) -> None:
    """With costs that all differ, so that no two draws are worth the same."""
    draw = np.random.default_rng(seed)
    arms = []
    for _ in range(2):
        n = draw.integers(5, 40, 15)
        arms.append(Arm(n, draw.binomial(n, draw.beta(0.3, 4.0, 15)), draw.lognormal(0, 1, 15)))
    firsts = [first_successes(arm.n, arm.c, draw) for arm in arms]
    solvable = int(((arms[0].c > 0) | (arms[1].c > 0)).sum())
    for goal in (solvable // 2, solvable):
        spent = replay_best_value(arms, firsts, goal)
        assert spent == pytest.approx(naive_best_value(arms, firsts, goal), rel=1e-12)


def test_a_replay_costs_every_attempt_up_to_the_first_success() -> None:
    # The one success is the last attempt that was recorded, and the other problem has none.
    arm, first = Arm(np.array([3, 2]), np.array([1, 0]), np.array([2.0, 0.5])), np.array([3, 3])
    assert replay_best_value([arm], [first], 1) == 3 * 2.0 + 2 * 0.5
    sooner = np.array([1, 2])
    assert replay_rounds(arm, sooner, 1, stop_solved=False) == 2.0 + 0.5
    assert replay_rounds(arm, sooner, 2, stop_solved=True) == 2.0 + 2 * 0.5
    assert replay_rounds(arm, sooner, 2, stop_solved=False) == 2 * 2.0 + 2 * 0.5


@pytest.mark.parametrize("dear", [0.5, 25.0])
def test_the_threshold_starts_at_what_the_cheapest_arm_is_worth(dear: float) -> None:
    n, c = np.array([10, 10]), np.array([2, 1])
    arms = [Arm(n, c, np.array([0.25, 0.25])), Arm(n, c, np.array([dear, dear]))]
    # One cheap attempt at each problem reaches the goal: the second problem waits for its third.
    assert replay_best_value(arms, [np.array([1, 3]), np.array([4, 11])], 1) == 0.5


def test_best_value_beats_both_where_costs_differ() -> None:
    draw = np.random.default_rng(5)
    n, c = synthetic()
    goal = int(np.ceil(0.6 * (c > 0).sum()))
    cheap = Arm(n, c, draw.lognormal(0, 1, 60))
    totals = np.zeros(3)
    for _ in range(4):
        first = first_successes(n, c, draw)
        totals += (
            replay_best_value([cheap], [first], goal),
            replay_rounds(cheap, first, goal, stop_solved=True),
            replay_rounds(cheap, first, goal, stop_solved=False),
        )
    assert totals[0] < 0.9 * totals[1] < 0.9 * totals[2]


def test_best_value_equals_until_solved_where_costs_are_equal() -> None:
    n, c = synthetic()
    goal = int(np.ceil(0.9 * (c > 0).sum()))
    arm = Arm(n, c, np.ones(60))
    first = first_successes(n, c, np.random.default_rng(6))
    assert replay_best_value([arm], [first], goal) == pytest.approx(
        replay_rounds(arm, first, goal, stop_solved=True), rel=0.02
    )


def test_a_second_arm_that_solves_what_the_first_cannot_is_used() -> None:
    n = np.full(20, 100)
    first, second = np.repeat([50, 0], 10), np.repeat([0, 50], 10)
    arms = [Arm(n, first, np.ones(20)), Arm(n, second, np.ones(20))]
    draw = np.random.default_rng(7)
    firsts = [first_successes(arm.n, arm.c, draw) for arm in arms]
    assert replay_best_value(arms, firsts, 20) < 500
    with pytest.raises(ValueError, match="fewer than 21 problems"):
        replay_best_value(arms, firsts, 21)


def test_until_solved_needs_the_published_share_of_attempts(released: list) -> None:
    for one in released:
        if one.name in UNTIL_SOLVED:
            uniform, stopping = attempts_to_share(one.n, one.c, 0.9)
            assert stopping / uniform == pytest.approx(UNTIL_SOLVED[one.name], abs=0.0006)


def outcomes(one: Any) -> RecordedOutcomes:
    task, _, model = one.name.partition(" ")
    ids = tuple(str(i) for i in range(len(one.n)))
    return RecordedOutcomes(task, model, ids, tuple(one.n.tolist()), tuple(one.c.tolist()))


@pytest.mark.slow
def test_replays_need_the_published_share_of_attempts(released: list) -> None:
    checked = 0
    for one in released:
        if one.name in UNTIL_SOLVED:
            exact, replayed = equal_costs(outcomes(one), permutations=400, seed=8)
            assert exact == pytest.approx(UNTIL_SOLVED[one.name], rel=0.01)
            assert replayed == pytest.approx(UNTIL_SOLVED[one.name], rel=0.01), one.name
            checked += 1
    assert checked == 6


@pytest.mark.slow
def test_best_value_costs_less_where_problems_cost_differently(released: list) -> None:
    for one in released:
        spent = by_problem(outcomes(one), permutations=20, seed=5)
        assert spent.best_value < spent.until_solved < spent.uniform, spent


@pytest.mark.slow
def test_best_value_over_two_arms_costs_less_than_both_arms_in_step(released: list) -> None:
    found = {one.name: outcomes(one) for one in released}
    for small in ("160M", "410M"):
        pair = found[f"MATH Pythia {small}"], found["MATH Pythia 6.9B"]
        ratios = by_arm(*pair, permutations=20, seed=5)
        assert ratios["until-solved in both"] < 1.0
        assert ratios["uniform, small alone"] < 1.0 and ratios["uniform, large alone"] < 1.0
