"""How sure a coverage curve is, of two different things.

*These problems*: the same problem set, attempted afresh. The estimate is a mean of U-statistics,
one per problem; its variance is the sum of E[q^2] - (1-p)^(2k) over problems, over P^2, with
q = C(n-c, k)/C(n, k). Up to k = n/2 both terms have unbiased estimates; above, (1-p)^(2k) is
taken from the fitted mixture, and Hoeffding's bound k/n x r(1-r) caps the result.
*Problems like these*: another problem set of this kind. The variance is that between problems.

Both are score intervals (Wilson's idea with the variance's own slope, Johnson 1978): with V the
variance and s its slope, the third cumulant over the second, the bounds are
m + z^2 s/2 -+ z sqrt(V + z^2 s^2/4). Fractions of a pseudo-event keep every width above zero.
The three constants were set once, on simulated problem sets; docs/statistics.md holds the
simulated coverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.analysis.mixture import fit_mixture
from orchestrator.analysis.unbiased import (
    Floats,
    Integers,
    counts,
    failure_powers,
    pass_at_k,
    whole,
)

HALF = 0.5
"""The pseudo-event granted to a side, and the pseudo-problem added to either end."""
FLOOR = 0.4
"""Pseudo-events in the variance for these problems, so that no width is zero."""
SKEW = 1.2
"""A sample's third cumulant falls short of its population's about so much."""
LATE = 0.25
"""Added to the variance for these problems at k = n, where the mixture's falls short; none up to
n/2, where no mixture is needed, and in proportion in between."""

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
    moments: Moments, mean: Floats, unit: Floats, total: float, level: float, reach: int
) -> tuple[Floats, Floats, Floats]:
    """Bounds for these problems, and how many chance events the variance rests on: each [K].

    `unit` is k/n, what one more right answer at an unsolved problem adds at first; `reach` is
    the smallest n: from a single attempt no variance can be told, so the bound stands for it.
    """
    most = unit * mean * (1.0 - mean) * total
    late = 1.0 + LATE * np.maximum(2.0 * unit - 1.0, 0.0)
    variance = most if reach == 1 else np.clip(late * (moments.second - moments.twice), 0.0, most)
    # Hoeffding's bound weights a problem by r(1-r), its slope is k/n x (1-2r); what half an
    # event could add to either side is granted to that side.
    rising, spread = moments.twice - moments.thrice, moments.first - moments.twice + HALF
    down = unit * (2.0 * np.clip(rising / spread, 0.0, 1.0) - 1.0) / total
    up = unit * (2.0 * np.clip((rising + HALF) / spread, 0.0, 1.0) - 1.0) / total
    z, squared = _normal(level), (variance + FLOOR * unit**2) / total**2
    return (
        _bound(mean, squared, down, -z),
        _bound(mean, squared, up, z),
        variance / unit**2,
    )


def problems_like_these(
    moments: Moments, mean: Floats, total: float, level: float
) -> tuple[Floats, Floats, Floats]:
    """Bounds for problems like these, from the moments of the per-problem estimates, and the
    share of the variance that comes from problems that were seen: each [K].

    Half a problem always solved and half never solved are added, so that rare kinds of
    problem that this set happens to lack are not ruled out.
    """
    size = total + 2.0 * HALF
    first = (moments.first + HALF) / size
    second = (moments.second + HALF) / size
    third = (moments.third + HALF) / size
    variance = second - first**2
    skew = SKEW * (third - 3.0 * first * second + 2.0 * first**3)
    slope = -skew / variance / total
    z, squared = _student(level, total - 1.0), variance / max(total - 1.0, 1.0)
    own = np.maximum(moments.second / total - (moments.first / total) ** 2, 0.0)
    seen = own * (total / size) / variance
    return _bound(mean, squared, slope, -z), _bound(mean, squared, slope, z), seen


def _bound(mean: Floats, variance: Floats, slope: Floats, z: float) -> Floats:
    """The score bound on the side of z's sign, inside [0, 1] and never across the mean."""
    bent = z * z * slope / 2.0
    bound = mean + bent + z * np.sqrt(variance + (z * slope / 2.0) ** 2)
    return np.clip(bound, 0.0, mean) if z < 0 else np.clip(bound, mean, 1.0)


def moments_of(n: Integers, c: Integers, alike: Floats, ks: Integers) -> Moments:
    """Every sum that the intervals need: unbiased where the attempts reach, else the mixture's."""
    smallest = int(n.min())
    powers = np.concatenate([2 * ks, 3 * ks])
    if len(ks) <= _FEW:
        q = 1.0 - pass_at_k(n, c, ks[:, None])
        sums, known = np.stack([q @ alike, (q * q) @ alike, (q * q * q) @ alike]), None
    else:
        streamed = failure_powers(n, c, alike, smallest)
        sums, known = streamed[:, ks - 1], streamed[0]
    failing = _failing(n, c, alike, powers, known)
    return Moments(sums[0], sums[1], sums[2], failing[: len(ks)], failing[len(ks) :])


def _failing(
    n: Integers, c: Integers, alike: Floats, powers: Integers, known: Floats | None = None
) -> Floats:
    """Sum over problems of (1-p)^power: unbiased up to the smallest n (`known` holds it if it was
    streamed already), the mixture's beyond."""
    inside = powers <= n.min()
    failing = np.empty(len(powers))
    if known is not None:
        failing[inside] = known[powers[inside] - 1]
    elif inside.any():
        failing[inside] = (1.0 - pass_at_k(n, c, powers[inside][:, None])) @ alike
    if not inside.all():
        failing[~inside] = _extrapolated(n, c, alike, powers[~inside])
    return failing


def _extrapolated(n: Integers, c: Integers, alike: Floats, powers: Integers) -> Floats:
    """The mixture's sum over problems of (1-p)^power, in between interpolated in log power."""
    smallest = float(n.min())
    # A problem solved this often fails `power` >= smallest attempts in a row with odds e^-40.
    near = c * (smallest / n) < 60.0
    if not near.any():
        return np.zeros(len(powers))
    mixture = fit_mixture(n[near], c[near], alike[near], highest=150.0 / smallest)
    knots = np.unique(powers)
    if len(knots) > _FEW:
        knots = np.unique(np.geomspace(knots[0], knots[-1], _FEW).astype(np.int64))
    values = [float(alike[near] @ mixture.failure_moment(power)) for power in knots.tolist()]
    return np.interp(np.log(powers), np.log(knots), values)


def difference(
    n: ArrayLike, c: ArrayLike, k_from: int, k_to: int, level: float
) -> tuple[float, float, float]:
    """Coverage gained from k_from to k_to attempts, with bounds for these problems.

    The two share their outcomes: the variance of a problem's gain d = q(k_from) - q(k_to) is
    E[d^2] - ((1-p)^k_from - (1-p)^k_to)^2, by the same estimates as each alone.
    """
    attempts, right = counts(n, c), whole("c", c)
    kinds, shared = np.unique(np.stack([attempts, right]), axis=1, return_counts=True)
    alike, total = shared.astype(np.float64), float(len(attempts))
    gains = pass_at_k(kinds[0], kinds[1], k_to) - pass_at_k(kinds[0], kinds[1], k_from)
    powers = np.array([2 * k_from, k_from + k_to, 2 * k_to])
    expected = _failing(kinds[0], kinds[1], alike, powers)
    square = expected[0] - 2.0 * expected[1] + expected[2]
    unit = (k_to - k_from) * float(np.mean(1.0 / attempts))
    variance = max(float((gains * gains) @ alike) - square, 0.0) + FLOOR * unit**2
    gain = float(gains @ alike) / total
    half = _normal(level) * variance**0.5 / total
    return gain, max(gain - half, 0.0), min(gain + half, 1.0)


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
