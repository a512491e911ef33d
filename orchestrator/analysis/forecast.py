"""Coverage at K attempts from n < K attempts, with a predictive interval, or a refusal.

Method, chosen by replaying released outcomes: the power law fitted in log-coverage space,
anchored at what is already solved. With f the law, an unsolved problem is solved between n and
K with chance q = (f(K) - f(n)) / (1 - f(n)), and the forecast is (solved + unsolved q) / P.
The interval refits the law on resampled problems, and draws how many of the unsolved each
refit solves. What is forecast is the share of *these* problems solved once every one has had K
attempts, the n already made included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.analysis.scaling import fit_log, log_spaced
from orchestrator.analysis.unbiased import Floats, counts, pass_at_k, whole

FEWEST_SOLVED = 4
"""Fewer solved problems than this hold no slope: a fit to three was seen to be 79 points off."""
FARTHEST = 1000
"""The largest K/n that is forecast."""


class ForecastRefused(ValueError):
    """The outcomes cannot carry a forecast; says why."""


@dataclass(frozen=True, slots=True)
class CoverageForecast:
    """Coverage of these problems at K attempts."""

    k: int
    mean: float
    low: float
    high: float
    """Predictive interval for the share solved once all K attempts are made."""
    level: float
    n: int
    """Attempts per problem that the forecast rests on (the smallest)."""
    a: float
    b: float
    """The law exp(a k^b) that was fitted, in log-coverage space."""
    late: float
    """The same forecast from the law fitted above k = sqrt(n) alone."""
    note: str = ""


def forecast_coverage(
    n: ArrayLike, c: ArrayLike, k: int, *, level: float = 0.9, draws: int = 400, seed: int = 0
) -> CoverageForecast:
    """Forecast coverage at `k` from c right among n attempts at each problem, both [P].

    Raises ForecastRefused where too few problems are solved, or k is too far from n, or not
    beyond it; ValueError for counts that make no sense.
    """
    attempts, right = counts(n, c), whole("c", c)
    smallest, total = int(attempts.min()), len(attempts)
    solved = int((right > 0).sum())
    _refuse(smallest, solved, total, k)
    ks = log_spaced(smallest, 40)
    each = pass_at_k(attempts, right, ks[:, None]).T
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(total, np.full(total, 1.0 / total), size=draws) / total
    curves = np.vstack([each.mean(axis=0), weights @ each])
    # A resample may hold no solved problem at all; it says nothing of the slope.
    logs = np.log(curves[(curves > 0.0).all(axis=1)])
    a, b = fit_log(ks, logs)
    unsolved, late = total - solved, ks * ks >= smallest
    chance = _newly_solved(a, b, smallest, k)
    bent = _newly_solved(*fit_log(ks[late], logs[:1, late]), smallest, k)
    # At least half an event is expected, so that no width is zero.
    drawn = generator.binomial(unsolved, np.maximum(chance[1:], 0.5 / unsolved))
    low, high = np.quantile((solved + drawn) / total, [(1 - level) / 2, (1 + level) / 2])
    mean, other = ((solved + unsolved * float(part[0])) / total for part in (chance, bent))
    low, high = min(float(low), mean), max(float(high), mean)
    # No interval is narrower than half a problem: "100.0 % to 100.0 %" would claim certainty.
    if high - low < 0.5 / total:
        raise ForecastRefused(
            f"the {unsolved} problems that are left are too few to show how they will go"
        )
    note = _note(k, smallest, other, low, high)
    return CoverageForecast(
        k, mean, low, high, level, smallest, float(a[0]), float(b[0]), other, note
    )


def _note(k: int, n: int, late: float, low: float, high: float) -> str:
    """Where the forecast deserves less trust, in plain words; empty where it deserves it."""
    said = []
    if k > 100 * n:
        said.append(f"K is {k / n:,.0f} times n: further than any replayed outcome could check.")
    if not low <= late <= high:
        said.append(
            f"Fitted to the last stretch of the curve alone, the law gives {100 * late:.1f} %: the "
            "curve bends away from the law, and the interval does not hold that doubt."
        )
    return " ".join(said)


def _newly_solved(a: Floats, b: Floats, n: int, k: int) -> Floats:
    """The chance that a problem unsolved at n is solved by k, for each law."""
    at_n, at_k = np.exp(a * float(n) ** b), np.exp(a * float(k) ** b)
    return np.asarray(np.maximum((at_k - at_n) / np.maximum(1.0 - at_n, 1e-12), 0.0))


def _refuse(n: int, solved: int, total: int, k: int) -> None:
    if k <= n:
        raise ForecastRefused(
            f"coverage at k = {k} needs no forecast: {n} attempts were made at every problem, so "
            "the curve itself holds it"
        )
    if n < 10:
        raise ForecastRefused(
            f"{n} attempts per problem show no trend over k; make at least 10 before forecasting"
        )
    if k > FARTHEST * n:
        raise ForecastRefused(
            f"k = {k} is more than {FARTHEST} times the {n} attempts made; make at least "
            f"{-(-k // FARTHEST)} attempts per problem first"
        )
    if solved == total:
        raise ForecastRefused(
            f"every one of these {total} problems is solved, so there is nothing left to forecast"
        )
    if solved < FEWEST_SOLVED:
        raise ForecastRefused(
            f"only {solved} of {total} problems are solved within {n} attempts, too few to show "
            f"how the rest will go; forecast once at least {FEWEST_SOLVED} are"
        )
