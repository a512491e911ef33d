"""Policies replayed on recorded outcomes, from counts alone.

A problem with c right among n recorded attempts is replayed without replacement, in random
order, so only the place T of its first success matters to a policy that stops there; T has the
negative hypergeometric distribution. Attempts at one problem cost the same; problems and arms
may differ. No text, no server: this is how a policy is judged before it spends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestrator.analysis.beta import BetaPosterior
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.unbiased import Floats, Integers, counts, whole
from orchestrator.analysis.value import hazard_table


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm's recorded outcomes on the shared problems, with what an attempt costs there."""

    n: Integers
    c: Integers
    cost: Floats
    """Per attempt, by problem, any unit: [P]."""


def first_successes(n: ArrayLike, c: ArrayLike, generator: np.random.Generator) -> Integers:
    """The place of the first success in one random order, [P]; n + 1 where there is none."""
    attempts, right = counts(n, c), whole("c", c)
    # The first of c successes among n places is the smallest of c distinct uniform places.
    place = np.empty(len(attempts), dtype=np.int64)
    for i, (total, good) in enumerate(zip(attempts.tolist(), right.tolist(), strict=True)):
        place[i] = generator.choice(total, good, replace=False).min() + 1 if good else total + 1
    return place


def attempts_to_share(n: ArrayLike, c: ArrayLike, share: float) -> tuple[float, float]:
    """Expected attempts of `uniform` and `until-solved` to `share` of the recorded coverage.

    Exact in expectation for equal costs: with k* the first k at which pass@k reaches the
    target, P k* against P x the sum over j < k* of (1 - pass@j).
    """
    curve = coverage_curve(n, c).mean
    target = share * float(curve[-1])
    reached = int(np.argmax(curve >= target - 1e-12)) + 1
    problems = len(counts(n, c))
    unsolved = 1.0 + float((1.0 - curve[: reached - 1]).sum())
    return float(problems * reached), problems * unsolved


def replay_rounds(arm: Arm, first: Integers, goal: int, *, stop_solved: bool) -> float:
    """Cost of breadth-first rounds until `goal` problems are solved: one replay of one arm.

    With `stop_solved` solved problems leave (`until-solved`), else all go on (`uniform`).
    """
    rounds = int(np.sort(first)[goal - 1])
    drawn = np.minimum(first, rounds) if stop_solved else np.full(len(first), rounds)
    return float((drawn * arm.cost).sum())


def replay_best_value(
    arms: Sequence[Arm], firsts: Sequence[Integers], goal: int, *, growth: float = 1.3
) -> float:
    """Cost of `best-value` until `goal` problems are solved by any arm: one replay.

    Always draws where hazard over cost is highest. Each arm's beta posterior is fitted again
    whenever the attempts have grown by the factor `growth`. Between two fits the hazards are
    fixed and fall with failures, so the order of draws is that of a sinking threshold on the
    index, and how far it sinks is found by bisection. Raises ValueError where the outcomes do
    not solve so many problems.
    """
    state = _Replay(arms, firsts)
    if state.reachable() < goal:
        raise ValueError(f"the recorded outcomes solve fewer than {goal} problems")
    attempts = float(len(arms) * len(arms[0].n))
    while int(state.solved.sum()) < goal:
        _sink(state, state.fit(), goal, attempts)
        attempts *= growth
    return state.spent


def _sink(state: _Replay, tables: list[Floats], goal: int, attempts: float) -> None:
    """Draw by one fit of the hazards until `goal` are solved or `attempts` are made in all."""

    def enough(threshold: float) -> bool:
        draws, solved = state.at(tables, threshold)
        return int(solved.sum()) >= goal or int((draws + state.won).sum()) >= attempts

    high = low = state.highest(tables)
    while not enough(low):
        high, low = low, low / 2.0
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if enough(middle) else (low, middle)
    state.move(*state.at(tables, low))


class _Replay:
    """Where every arm stands with every problem: failures and wins so far [A, P], and the cost."""

    def __init__(self, arms: Sequence[Arm], firsts: Sequence[Integers]) -> None:
        self._first = np.stack(firsts)
        self._most = np.stack([arm.n for arm in arms])
        self._cost = np.stack([arm.cost for arm in arms])
        self._failed = np.zeros_like(self._first)
        self.solved = np.zeros(self._first.shape[1], dtype=bool)
        self.won = np.zeros_like(self._first)
        self.spent = 0.0

    def reachable(self) -> int:
        """How many problems the recorded outcomes solve at all."""
        return int((self._first <= self._most).any(axis=0).sum())

    def highest(self, tables: list[Floats]) -> float:
        """An index that none exceeds."""
        return max(float((t[0] / c).max()) for t, c in zip(tables, self._cost, strict=True))

    def fit(self) -> list[Floats]:
        """Each arm's hazard by failures, from what it has seen."""
        return [
            hazard_table(BetaPosterior.from_first_successes(failed, won), int(most.max()))
            for failed, won, most in zip(self._failed, self.won, self._most, strict=True)
        ]

    def at(self, tables: list[Floats], threshold: float) -> tuple[Integers, NDArray[np.bool_]]:
        """Draws per arm and problem once nothing above `threshold` is left, and who is solved.

        Of a problem that was solved before, the draw that solved it is not counted again.
        """
        hit = np.full(self._first.shape, -np.inf)
        for a, table in enumerate(tables):
            found = self._first[a] <= self._most[a]
            hit[a, found] = table[self._first[a, found] - 1] / self._cost[a, found]
        ends = np.maximum(hit.max(axis=0), threshold)
        draws = np.empty_like(self._first)
        for a, table in enumerate(tables):
            above = np.searchsorted(-table, -ends * self._cost[a], side="right")
            # Whether a draw is the one that solves must not hang on how the product is rounded.
            first = self._first[a]
            wanted = np.where(hit[a] >= ends, first, np.minimum(above, first - 1))
            draws[a] = np.maximum(wanted, self._failed[a])
        draws = np.where(self.solved, self._failed, draws)
        return draws, self.solved | (hit.max(axis=0) >= threshold)

    def move(self, draws: Integers, solved: NDArray[np.bool_]) -> None:
        self.spent += float(((draws - self._failed) * self._cost).sum())
        fresh = solved & ~self.solved
        self.won[:, fresh] = draws[:, fresh] == self._first[:, fresh]
        self._failed = draws - (self.won * fresh).astype(np.int64)
        self.solved = solved
