"""Whether arms differ: paired on the problems that they share, or unpaired; several at once.

Paired: Student's interval over the shared problems for the mean of their differences, since equal
problems cancel most of the spread; it answers for problems like these. Of fewer than FEW problems
the spread that was seen is too small too often, so a quarter of a problem that only the first arm
solves and a quarter of one that only the second solves are added to it. Unpaired: the two
intervals for problems like these, combined as Newcombe (1998) does for two proportions. Of several
pairs each is held against Holm's (1979) level, so that all of them together are wrong in at most
5 % of reports; the interval shown is of that level, and holds 0 where the pair is not separable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from orchestrator.analysis.clusters import robust_error
from orchestrator.analysis.unbiased import Floats, Integers, counts, pass_at_k, whole

LEVEL = 0.95
FEW = 20
"""Below so many problems Student's interval alone was simulated to hold as seldom as 76 %."""
QUARTER = 0.25


@dataclass(frozen=True, slots=True)
class Difference:
    """Coverage of the first arm minus that of the second, with its interval."""

    mean: float
    low: float
    high: float
    problems: int
    paired: bool
    level: float
    """Of the interval: above 0.95 where several pairs are compared."""

    @property
    def separable(self) -> bool:
        return self.low > 0.0 or self.high < 0.0

    @property
    def points(self) -> str:
        """The difference in points with its interval, signed."""
        return f"{100 * self.mean:+.1f} points ({100 * self.low:+.1f} to {100 * self.high:+.1f})"

    def sentence(self, first: str, second: str) -> str:
        """What a person may conclude."""
        how = f"{self.problems} {'shared problems' if self.paired else 'problems, unpaired'}"
        if not self.separable:
            return f"{first} and {second} are not separable on {how}: {self.points}."
        more, less = (first, second) if self.mean > 0 else (second, first)
        low, high = sorted((abs(self.low), abs(self.high)))
        return (
            f"{more} covers {100 * abs(self.mean):.1f} points more ({100 * low:.1f} to "
            f"{100 * high:.1f}) than {less} on {how}."
        )


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference before it is known at which level it is shown."""

    mean: float
    down: float
    up: float
    """Standard errors below and above the mean."""
    freedom: float
    """Of Student's distribution; infinite: the normal one."""
    problems: int
    paired: bool

    def at(self, level: float) -> Difference:
        """The difference with its interval at `level`."""
        tail = 0.5 + level / 2.0
        z = float(ndtri(tail) if np.isinf(self.freedom) else stdtrit(self.freedom, tail))
        low, high = self.mean - z * self.down, self.mean + z * self.up
        return Difference(
            self.mean, max(low, -1.0), min(high, 1.0), self.problems, self.paired, level
        )

    @property
    def p_value(self) -> float:
        """Two-sided, against no difference."""
        z = self.mean / self.down if self.mean > 0 else -self.mean / self.up
        return float(2.0 * (ndtr(-z) if np.isinf(self.freedom) else stdtr(self.freedom, -z)))


def paired_contrast(gaps: ArrayLike, groups: Integers | None = None) -> Contrast:
    """From each shared problem's difference of estimates, [P].

    `groups`: the number of each problem's group, where problems come in groups: the error is
    then cluster-robust.
    """
    each: Floats = np.asarray(gaps, dtype=np.float64)
    total = len(each)
    freedom = max(total - 1.0, 1.0)
    error = (float(((each - each.mean()) ** 2).sum()) / freedom / total) ** 0.5
    if total < FEW:
        weight = total + 2.0 * QUARTER
        square = (float(each @ each) + 2.0 * QUARTER) / weight
        error = ((square - (float(each.sum()) / weight) ** 2) / freedom) ** 0.5
    # Alike on every problem seen: three in P others may still differ (the rule of three).
    least = 3.0 / total / float(stdtrit(freedom, 0.5 + LEVEL / 2.0))
    error = error if error > 1e-12 else least
    if groups is not None and int(groups.max()) > 0:
        error = max(float(robust_error(each, groups)), error)
        freedom = float(groups.max())
    return Contrast(float(each.mean()), error, error, freedom, total, True)


def unpaired_contrast(
    first: tuple[float, float, float], second: tuple[float, float, float], problems: int
) -> Contrast:
    """Of two estimates (mean, low, high), 95 % intervals for problems like these."""
    z = float(ndtri(0.5 + LEVEL / 2.0))
    down = float(np.hypot(first[0] - first[1], second[2] - second[0])) / z
    up = float(np.hypot(first[2] - first[0], second[0] - second[1])) / z
    return Contrast(first[0] - second[0], down, up, float("inf"), problems, False)


def paired_difference(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    ks: tuple[int, int],
    *,
    level: float = LEVEL,
) -> Difference:
    """pass@ks[0] of the first arm minus pass@ks[1] of the second, on shared problems.

    Each arm is (n, c), both [P], problem by problem the same. Raises ValueError where the
    problems do not line up or a k exceeds the attempts.
    """
    return paired_contrast(gaps_between(first, second, ks)).at(level)


def gaps_between(
    first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike], ks: tuple[int, int]
) -> Floats:
    """Each shared problem's difference of estimates, [P]; raises ValueError as above."""
    each = [
        pass_at_k(counts(n, c), whole("c", c), k)
        for (n, c), k in zip((first, second), ks, strict=True)
    ]
    if each[0].shape != each[1].shape:
        raise ValueError("a paired difference needs the same problems in both arms, in order")
    return np.asarray(each[0] - each[1])


def unpaired_difference(
    first: tuple[float, float, float],
    second: tuple[float, float, float],
    problems: int,
    *,
    level: float = LEVEL,
) -> Difference:
    """The difference of two estimates (mean, low, high), 95 % intervals for problems like these."""
    return unpaired_contrast(first, second, problems).at(level)


def corrected(contrasts: Sequence[Contrast]) -> list[Difference]:
    """Several differences at the levels of Holm's procedure, in their own order.

    The smallest p-value is held against 5 %/m, the next against 5 %/(m - 1), and so on; from the
    first that fails on, none is separable and all are shown at that level.
    """
    order = sorted(range(len(contrasts)), key=lambda i: contrasts[i].p_value)
    found: list[Difference | None] = [None] * len(contrasts)
    alpha, failed = 1.0 - LEVEL, False
    for place, i in enumerate(order):
        if not failed:
            alpha = (1.0 - LEVEL) / (len(contrasts) - place)
            failed = not contrasts[i].at(1.0 - alpha).separable
        found[i] = contrasts[i].at(1.0 - alpha)
    return [one for one in found if one is not None]
