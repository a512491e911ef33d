"""Policies replayed on released outcomes: what each spends to the same number of solved problems.

    ORCH_RELEASED=FOLDER python -m benchmarks.analysis_policies [POLICIES] [PERMUTATIONS]

FOLDER holds monkey_business_counts.csv; POLICIES is attempts, problem or arms. `attempts`:
until-solved over uniform at equal cost. `problem`: an attempt's cost differs by problem
(lognormal, sigma 1, drawn anew for each permutation). `arms`: two models on the same problems,
an attempt priced by the model's parameters and by problem.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.analysis_backtest import (
    Arm,
    attempts_to_share,
    first_successes,
    replay_best_value,
    replay_rounds,
)
from orchestrator.reproduce.recorded import RecordedOutcomes, read_counts

PARAMETERS = {"160M": 0.16, "410M": 0.41, "2.8B": 2.8, "6.9B": 6.9, "8B": 8.0, "70B": 70.0}
"""Billions; an attempt of a model costs in proportion."""

SHARE = 0.9


@dataclass(frozen=True)
class Spent:
    """What each policy spent in all permutations together, in the same unit."""

    name: str
    permutations: int
    uniform: float
    until_solved: float
    best_value: float


def equal_costs(one: RecordedOutcomes, permutations: int, seed: int) -> tuple[float, float]:
    """Attempts of until-solved over uniform to SHARE of the recorded coverage: exact, replayed.

    Both are followed to the round at which uniform is expected to have reached that share.
    """
    uniform, stopping = attempts_to_share(one.n, one.c, SHARE)
    rounds = round(uniform / len(one.n))
    draw = np.random.default_rng(seed)
    spent = 0.0
    for _ in range(permutations):
        spent += float(np.minimum(first_successes(one.n, one.c, draw), rounds).sum())
    return stopping / uniform, spent / (permutations * uniform)


def by_problem(one: RecordedOutcomes, permutations: int, seed: int) -> Spent:
    """One arm whose attempts cost differently at each problem."""
    draw = np.random.default_rng(seed)
    goal = int(np.ceil(SHARE * (np.array(one.c) > 0).sum()))
    totals = np.zeros(3)
    for _ in range(permutations):
        arm = _arm(one, draw.lognormal(0.0, 1.0, len(one.n)))
        first = first_successes(arm.n, arm.c, draw)
        totals += (
            replay_rounds(arm, first, goal, stop_solved=False),
            replay_rounds(arm, first, goal, stop_solved=True),
            replay_best_value([arm], [first], goal),
        )
    return Spent(f"{one.task}, {one.model}", permutations, *totals)


def by_arm(
    small: RecordedOutcomes, large: RecordedOutcomes, permutations: int, seed: int
) -> dict[str, float]:
    """Dollars of best-value over two arms, over those of each policy that does not choose."""
    draw = np.random.default_rng(seed)
    solvable = [int((np.array(one.c) > 0).sum()) for one in (small, large)]
    goal = int(np.ceil(SHARE * min(solvable)))
    totals = np.zeros(6)
    for _ in range(permutations):
        problem = draw.lognormal(0.0, 1.0, len(small.n))
        arms = [_arm(one, problem * _price(one.model)) for one in (small, large)]
        firsts = [first_successes(arm.n, arm.c, draw) for arm in arms]
        alone = [
            replay_rounds(arm, first, goal, stop_solved=stop)
            for stop in (True, False)
            for arm, first in zip(arms, firsts, strict=True)
        ]
        totals += (replay_best_value(arms, firsts, goal), _both(arms, firsts, goal), *alone)
    names = ("until-solved in both", "until-solved, small alone", "until-solved, large alone",
             "uniform, small alone", "uniform, large alone")  # fmt: skip
    return {name: totals[0] / total for name, total in zip(names, totals[1:], strict=True)}


def _both(arms: Sequence[Arm], firsts: Sequence[NDArray[np.int64]], goal: int) -> float:
    """Rounds of one attempt by each arm at every unsolved problem."""
    first = np.minimum(*firsts)
    rounds = int(np.sort(first)[goal - 1])
    return sum(float((np.minimum(first, rounds) * arm.cost).sum()) for arm in arms)


def _price(model: str) -> float:
    """By the longest name of a size in the model's name: 70B is no 0B."""
    return next(PARAMETERS[size] for size in sorted(PARAMETERS, key=len)[::-1] if size in model)


def _arm(one: RecordedOutcomes, cost: NDArray[np.float64]) -> Arm:
    return Arm(np.array(one.n), np.array(one.c), cost)


def released() -> dict[tuple[str, str], RecordedOutcomes]:
    folder = Path(os.environ.get("ORCH_RELEASED", "."))
    found = read_counts(folder / "monkey_business_counts.csv")
    return {(one.task, one.model): one for one in found}


PAIRS = (
    ("MATH", "Pythia 160M", "Pythia 6.9B"),
    ("MATH", "Pythia 410M", "Pythia 6.9B"),
    ("MATH", "Pythia 410M", "Pythia 2.8B"),
    ("CodeContests", "Llama 3 8B", "Llama 3 70B Instruct"),
)


def lines(what: str, permutations: int) -> Iterator[str]:
    outcomes = released()
    if what == "attempts":
        for (task, model), one in outcomes.items():
            exact, replayed = equal_costs(one, permutations, seed=8)
            yield f"{task}, {model}: exact {exact:.4f}, replayed {replayed:.4f}"
    elif what == "problem":
        for one in outcomes.values():
            spent = by_problem(one, permutations, seed=5)
            yield (
                f"{spent.name}: best-value over until-solved "
                f"{spent.best_value / spent.until_solved:.3f}, over uniform "
                f"{spent.best_value / spent.uniform:.3f}"
            )
    else:
        for task, small, large in PAIRS:
            found = by_arm(outcomes[task, small], outcomes[task, large], permutations, seed=5)
            said = ", ".join(f"{name} {ratio:.3f}" for name, ratio in found.items())
            yield f"{task}, {small} and {large}: best-value over {said}"


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else "attempts"
    for line in lines(what, int(sys.argv[2]) if len(sys.argv) > 2 else 20):
        print(line, flush=True)


if __name__ == "__main__":
    main()
