"""Coverage of runs that stop at a first success: the first-success curve.

The share of problems whose first success has a dispatch index T <= k is unbiased for the mean of
1 - (1-p)^k, where T is the smallest *dispatch* index that passes within the contiguous judged
prefix, never the first to be completed. Where n choices were bought per request the in-batch
form uses them all: a batch of m with c right, entered after f failures, gives the problem
coverage 1 - C(m-c, r)/C(m, r) at f + r, and 1 after a solved batch.

Problems that were not followed to k (a budget that ended, a slot that stayed unresolved) leave
the risk set there, as in Kaplan and Meier (1958); that is unbiased where leaving has nothing to
do with difficulty, which shuffling every round's order ensures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.unbiased import Floats

PASSED, FAILED, UNKNOWN = 1, 0, -1
"""What became of a slot; unknown: censored, or never filled, or never judged."""

HALF = 0.5
"""The event that the upper bound grants among the few that were followed on."""


@dataclass(frozen=True, slots=True)
class DrawOutcomes:
    """Consecutive slots of one problem, bought in one request, in dispatch order."""

    problem: int
    outcomes: tuple[int, ...]
    """PASSED, FAILED or UNKNOWN for each slot."""


@dataclass(frozen=True, slots=True)
class SurvivalCurve:
    """First-success coverage against dispatch index, shapes [K]."""

    k: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    """Interval for problems like these."""
    mean_low: Floats
    """The estimate with every unknown slot counted as wrong, where that is lower."""
    mean_high: Floats
    """The estimate with every unknown slot left out (never dispatched), where that is higher."""
    complete: int
    """Up to this k every unsolved problem was followed: above it, Kaplan-Meier."""
    level: float


def survival_curve(
    problems: int, batches: Sequence[DrawOutcomes], *, by_choice: bool = False, level: float = 0.95
) -> SurvivalCurve:
    """The curve over `problems` problems from their batches, each problem's in dispatch order.

    Slots after a solved batch are paid overshoot and are ignored. `by_choice` takes each slot
    by itself instead of the in-batch form (noisier). Shapes are [0] where no slot was resolved
    in order: nothing is known then. Raises ValueError without any attempt.
    """
    if problems < 1 or not batches:
        raise ValueError("there are no attempts to estimate a first-success curve from")
    steps, followed = _steps(problems, batches, by_choice, stop_at_unknown=True)
    last = int(followed.max())
    mean, greenwood, at_risk = _kaplan_meier(steps, followed, last)
    wrong = _bound(problems, batches, by_choice, last, unknown_is=FAILED)
    left_out = _bound(problems, batches, by_choice, last, unknown_is=None)
    low, high = _bounds(mean, greenwood, at_risk, problems, level)
    lasting = followed[[not step for step in steps]]
    complete = int(lasting.min()) if len(lasting) else last
    ks = np.arange(1, last + 1)
    return SurvivalCurve(
        ks, mean, low, high, np.minimum(wrong, mean), np.maximum(left_out, mean), complete, level
    )


SurvivalSteps = list[list[tuple[int, float]]]
"""Per problem, the dispatch indices at which its chance of being unsolved falls, and to what."""


def _steps(
    problems: int,
    batches: Sequence[DrawOutcomes],
    by_choice: bool,
    *,
    stop_at_unknown: bool,
) -> tuple[SurvivalSteps, NDArray[np.int64]]:
    """Each problem's failure chance by dispatch index, and how far it was followed."""
    steps: SurvivalSteps = [[] for _ in range(problems)]
    followed = np.zeros(problems, dtype=np.int64)
    ended = np.zeros(problems, dtype=bool)
    for batch in batches:
        i = batch.problem
        if ended[i]:
            continue
        known = batch.outcomes
        if UNKNOWN in known:
            if stop_at_unknown:
                known = known[: known.index(UNKNOWN)]
                ended[i] = True
            else:
                known = tuple(outcome for outcome in known if outcome != UNKNOWN)
        if by_choice and PASSED in known:
            known = known[: known.index(PASSED) + 1]
        right, size = sum(known), len(known)
        if right:
            if by_choice:
                steps[i].append((int(followed[i]) + size, 0.0))
            else:
                steps[i] += _within(int(followed[i]), size, right)
            ended[i] = True
        followed[i] += size
    return steps, followed


def _within(entered: int, size: int, right: int) -> list[tuple[int, float]]:
    """C(size-right, r)/C(size, r) at entered + r, for r = 1..size."""
    fails, steps = 1.0, []
    for r in range(size - right + 1):
        fails *= (size - right - r) / (size - r)
        steps.append((entered + r + 1, fails))
    return steps


def _kaplan_meier(
    steps: SurvivalSteps, followed: NDArray[np.int64], last: int
) -> tuple[Floats, Floats, Floats]:
    """Coverage at 1..last, Greenwood's variance of it, and the problems at risk at each k.

    Fractional events weigh as much. Where nobody is at risk any more nothing is learned: the
    estimate stays what it was, and so does the number that it rests on.
    """
    events, leaving = np.zeros(last + 2), np.zeros(last + 2)
    for i, curve in enumerate(steps):
        before = 1.0
        for k, fails in curve:
            events[k] += before - fails
            before = fails
        leaving[followed[i] + 1] += before
    at_risk = len(steps) - np.cumsum(leaving)[1 : last + 1]
    at_risk -= np.cumsum(events)[:last]
    with np.errstate(divide="ignore", invalid="ignore"):
        hazard = np.where(at_risk > 1e-12, events[1 : last + 1] / at_risk, 0.0)
        term = hazard / (at_risk * (1.0 - hazard))
    alive = np.asarray(np.cumprod(1.0 - np.minimum(hazard, 1.0)), dtype=np.float64)
    alive[alive < 1e-14] = 0.0
    terms = np.where(np.isfinite(term), term, 0.0)
    lasting = np.maximum.accumulate(np.where(at_risk > 1e-12, np.arange(last), 0))
    return 1.0 - alive, np.asarray(alive**2 * np.cumsum(terms)), at_risk[lasting]


def _bound(
    problems: int,
    batches: Sequence[DrawOutcomes],
    by_choice: bool,
    last: int,
    *,
    unknown_is: int | None,
) -> Floats:
    """The estimate with unknown slots taken as failed, or left out (None), up to `last`.

    Every problem is followed at least as far as where an unknown slot ends what is known of it.
    """
    if unknown_is is not None:
        batches = [
            DrawOutcomes(b.problem, tuple(unknown_is if o == UNKNOWN else o for o in b.outcomes))
            for b in batches
        ]
    steps, followed = _steps(problems, batches, by_choice, stop_at_unknown=False)
    mean, _, _ = _kaplan_meier(steps, followed, max(int(followed.max()), last))
    return mean[:last]


def _bounds(
    mean: Floats, variance: Floats, at_risk: Floats, problems: int, level: float
) -> tuple[Floats, Floats]:
    """Wilson's bounds with the number of problems that the variance is worth.

    Greenwood's variance is 0 where everything or nothing at risk was solved, however little was:
    the estimate is then worth those at risk. And it does not grow where few are followed on and
    none of them is solved, though one more might have been: half an event among them is granted
    to the upper bound, in the measure in which problems were left behind. Coverage does not fall
    with k, so neither bound does.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        alive = 1.0 - mean
        before = np.concatenate([[1.0], alive[:-1]])[: len(mean)]
        left_behind = np.clip(1.0 - at_risk / (before * problems), 0.0, 1.0)
        missed = np.where(alive > 0.0, left_behind * HALF * (alive / at_risk) ** 2, 0.0)
        worth, above = (
            np.where(part > 0.0, mean * alive / part, np.inf)
            for part in (variance, variance + missed)
        )
    certain = (mean <= 0.0) | (mean >= 1.0)
    sizes = [np.where(certain, at_risk, size) for size in (worth, above)]
    low = _wilson(mean, np.clip(sizes[0], 1.0, float(problems)), level, -1.0)
    high = _wilson(mean, np.clip(sizes[1], 1.0, float(problems)), level, 1.0)
    return np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]


def _wilson(mean: Floats, size: Floats, level: float, side: float) -> Floats:
    """Wilson's bound on one side of a share among `size` problems."""
    z = NormalDist().inv_cdf(0.5 + level / 2.0)
    middle = (mean + z * z / (2.0 * size)) / (1.0 + z * z / size)
    spread = mean * (1.0 - mean) / size + z * z / (4.0 * size**2)
    bound = middle + side * z * np.sqrt(spread) / (1.0 + z * z / size)
    return np.clip(bound, 0.0, mean) if side < 0 else np.clip(bound, mean, 1.0)
