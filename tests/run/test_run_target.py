"""`--target-coverage`: stops at a look, looks seldom, and does not make coverage look higher."""

from __future__ import annotations

import random

import numpy as np
import pytest

from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.grid import points_to
from orchestrator.engine.target import UntilTarget
from orchestrator.schedule import ArmPlan, make_policy


def simulated(rates, target: float, samples: int, draw: random.Random) -> tuple[int, list[int]]:
    """One run whose answers come in shuffled order: attempts at each, and right ones."""
    problems = len(rates)
    plan = ArmPlan(0, problems, samples, 4, 0, [0] * problems)
    policy = UntilTarget(lambda p: make_policy("uniform", p), plan, target, lambda _: None)
    flying: list[tuple[int, int, bool]] = []
    right, most = [0] * problems, 0
    while True:
        drawn = policy.next()
        if drawn is None and not flying:
            break
        if drawn is not None:
            for slot in range(drawn.first_slot, drawn.first_slot + drawn.n):
                flying.append((drawn.problem, slot, draw.random() < rates[drawn.problem]))
                most = max(most, slot + 1)
        if drawn is None or len(flying) > 20:
            problem, slot, passed = flying.pop(draw.randrange(len(flying)))
            policy.resolved(problem, slot, passed)
            right[problem] += passed
    assert policy.done and policy.progress == 1.0
    return most, right


def test_intervals_hold_though_the_run_stopped_when_coverage_was_high() -> None:
    """30 problems; also: looking at every k makes coverage look higher than few looks do."""
    draw, runs, samples = random.Random(1), 400, 100
    held, seldom, always = 0, [], []
    level = 1.0 - 0.05 / len(points_to(samples))
    for _ in range(runs):
        rates = [draw.betavariate(0.5, 4.0) for _ in range(30)]
        k, right = simulated(rates, 0.5, samples, draw)
        truth = float(np.mean([1 - (1 - p) ** k for p in rates]))
        curve = coverage_curve([k] * 30, right, [k], level=level)
        held += bool(curve.low[0] <= truth <= curve.high[0])
        seldom.append(float(curve.mean[0]) - truth)
        first = [1 + int(np.log(draw.random()) / np.log1p(-p)) for p in rates]
        shares = [float(np.mean([t <= k for t in first])) for k in range(1, samples + 1)]
        k = next((k for k, share in enumerate(shares, start=1) if share >= 0.5), samples)
        always.append(shares[k - 1] - float(np.mean([1 - (1 - p) ** k for p in rates])))
    assert held / runs >= 0.95
    assert 0.0 < float(np.mean(seldom)) < float(np.mean(always))


def test_a_target_that_is_never_reached_buys_the_whole_plan() -> None:
    assert simulated([0.0] * 5, 0.5, 12, random.Random(0)) == (12, [0] * 5)
    assert simulated([1.0] * 5, 0.5, 12, random.Random(0)) == (1, [1] * 5)


@pytest.mark.parametrize("policy", ["uniform", "until-solved"])
def test_a_run_stops_at_its_target_with_exit_0(orch, policy):
    ended = orch(
        "run", "--provider", "local", "--budget", "5", "--limit", "16", "--samples", "1000",
        "--target-coverage", "0.3", "--policy", policy, "--name", "r", "--display", "none",
        "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    (row,) = ended.json["rows"]
    last = row["coverage"][-1]
    assert last["mean"] >= 0.3 and last["k"] <= 500
    assert "the target of 30 % is reached" in ended.err
    assert any("looks at it" in note for note in row["notes"])
    again = orch("run", "--resume", "r", "--json")
    assert again.code == 0, again.err
    assert again.json["rows"][0]["samples"] == row["samples"]


def test_a_target_that_makes_no_sense_is_refused(orch):
    ended = orch("run", "--provider", "local", "--budget", "5", "--target-coverage", "80")
    assert ended.code == 2 and "give a share such as 0.8" in ended.err
