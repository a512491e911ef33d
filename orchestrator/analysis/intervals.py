"""How sure a coverage curve is, of two different things.

*These problems*: the same problem set, attempted afresh. The estimate is a mean of U-statistics,
one per problem; its variance is the sum of E[q^2] - (1-p)^(2k) over problems, over P^2, with
q = C(n-c, k)/C(n, k). Up to k = n/2 both terms have unbiased estimates; above, (1-p)^(2k) is
taken from the fitted mixture, and Hoeffding's bound k/n x r(1-r) caps the result.
*Problems like these*: another problem set of this kind. The variance is that between problems.

Both are score intervals (Wilson's idea with the variance's own slope, Johnson 1978): with V the
variance and s its slope, the third cumulant over the second, the bounds are
m + z^2 s/2 -+ z sqrt(V + z^2 s^2/4). Half a pseudo-event keeps every width above zero.
docs/statistics.md holds the simulated coverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from orchestrator.analysis.mixture import fit_mixture
from orchestrator.analysis.unbiased import (
    Floats,
    Integers,
    failure_powers,
    pass_at_k,
)

_FEW = 64
"""Up to so many k are worked out one by one; more are streamed and the mixture interpolated."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over problems at each k, shapes [K]: of q, q^2, q^3, (1-p)^(2k), (1-p)^(3k)."""

    first: Floats
    second: Floats
    third: Floats
    twice: Floats
    thrice: Floats


def these_problems(
    moments: Moments, mean: Floats, unit: Floats, total: float, level: float
) -> tuple[Floats, Floats, Floats]:
    """Bounds for these problems, and how many chance events the variance rests on: each [K]."""
    most = unit * mean * (1.0 - mean) * total
    variance = np.clip(moments.second - moments.twice, 0.0, most)
    # The slope is k/n x (1 - 2r) averaged over problems by their variance, about r(1-r).
    spread = np.maximum(moments.first - moments.twice, 0.0) + 0.5
    rising = np.clip((moments.twice - moments.thrice + 0.5) / spread, 0.0, 1.0)
    slope = unit * (2.0 * rising - 1.0) / total
    events = variance / unit**2
    low, high = _score(mean, (variance + 0.5 * unit**2) / total**2, slope, _normal(level))
    return low, high, events


def problems_like_these(
    moments: Moments, mean: Floats, total: float, level: float
) -> tuple[Floats, Floats]:
    """Bounds for problems like these, from the moments of the per-problem estimates: each [K].

    Half a problem always solved and half never solved are added, so that rare kinds of
    problem that this set happens to lack are not ruled out.
    """
    size = total + 1.0
    first = (moments.first + 0.5) / size
    second = (moments.second + 0.5) / size
    third = (moments.third + 0.5) / size
    variance = second - first**2
    skew = third - 3.0 * first * second + 2.0 * first**3
    slope = -skew / variance / total
    return _score(mean, variance / max(total - 1.0, 1.0), slope, _student(level, total - 1.0))


def _score(mean: Floats, variance: Floats, slope: Floats, z: float) -> tuple[Floats, Floats]:
    middle = mean + z * z * slope / 2.0
    half = z * np.sqrt(variance + (z * slope / 2.0) ** 2)
    return (
        np.clip(np.minimum(middle - half, mean), 0.0, 1.0),
        np.clip(np.maximum(middle + half, mean), 0.0, 1.0),
    )


def moments_of(n: Integers, c: Integers, alike: Floats, ks: Integers) -> Moments:
    """Every sum that the intervals need: unbiased where the attempts reach, else the mixture's."""
    smallest = int(n.min())
    powers = np.concatenate([2 * ks, 3 * ks])
    inside = powers <= smallest
    failing = np.empty(len(powers))
    if len(ks) <= _FEW:
        q = 1.0 - pass_at_k(n, c, ks[:, None])
        sums = np.stack([q @ alike, (q * q) @ alike, (q * q * q) @ alike])
        failing[inside] = (1.0 - pass_at_k(n, c, powers[inside][:, None])) @ alike
    else:
        streamed = failure_powers(n, c, alike, smallest)
        sums = streamed[:, ks - 1]
        failing[inside] = streamed[0][powers[inside] - 1]
    if not inside.all():
        failing[~inside] = _extrapolated(n, c, alike, powers[~inside])
    return Moments(sums[0], sums[1], sums[2], failing[: len(ks)], failing[len(ks) :])


def _extrapolated(n: Integers, c: Integers, alike: Floats, powers: Integers) -> Floats:
    """The mixture's sum over problems of (1-p)^power, in between interpolated in log power."""
    mixture = fit_mixture(n, c, alike)
    knots = np.unique(powers)
    if len(knots) > _FEW:
        knots = np.unique(np.geomspace(knots[0], knots[-1], _FEW).astype(np.int64))
    values = [float(alike @ mixture.failure_moment(power)) for power in knots.tolist()]
    return np.interp(np.log(powers), np.log(knots), values)


def _normal(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level of an interval must lie between 0 and 1, not {level}")
    return NormalDist().inv_cdf(0.5 + level / 2.0)


def _student(level: float, freedom: float) -> float:
    """Student's t quantile by its expansion in 1/freedom (Abramowitz and Stegun 26.7.5)."""
    z, nu = _normal(level), max(freedom, 1.0)
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    return z + first / nu + second / nu**2
