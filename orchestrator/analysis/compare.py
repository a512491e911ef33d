"""Whether two arms differ: paired on the problems that they share, or unpaired.

Paired: a bootstrap over the shared problems of the difference of their estimates, since equal
problems cancel most of the spread. Unpaired: the two intervals for problems like these, combined
as Newcombe (1998) does for two proportions. An interval that holds 0 is said in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from orchestrator.analysis.unbiased import counts, pass_at_k, whole


@dataclass(frozen=True, slots=True)
class Difference:
    """Coverage of the first arm minus that of the second, with its interval."""

    mean: float
    low: float
    high: float
    problems: int
    paired: bool
    level: float

    @property
    def separable(self) -> bool:
        return self.low > 0.0 or self.high < 0.0

    def sentence(self, first: str, second: str) -> str:
        """What a person may conclude."""
        how = f"{self.problems} {'shared problems' if self.paired else 'problems, unpaired'}"
        if not self.separable:
            gap = f"{100 * self.mean:+.1f} points ({100 * self.low:+.1f} to {100 * self.high:+.1f})"
            return f"{first} and {second} are not separable on {how}: {gap}."
        more, less = (first, second) if self.mean > 0 else (second, first)
        low, high = sorted((abs(self.low), abs(self.high)))
        return (
            f"{more} covers {100 * abs(self.mean):.1f} points more ({100 * low:.1f} to "
            f"{100 * high:.1f}) than {less} on {how}."
        )


def paired_difference(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    ks: tuple[int, int],
    *,
    level: float = 0.95,
    draws: int = 4000,
    seed: int = 0,
) -> Difference:
    """pass@ks[0] of the first arm minus pass@ks[1] of the second, on shared problems.

    Each arm is (n, c), both [P], problem by problem the same. Raises ValueError where the
    problems do not line up or a k exceeds the attempts.
    """
    each = [
        pass_at_k(counts(n, c), whole("c", c), k)
        for (n, c), k in zip((first, second), ks, strict=True)
    ]
    if each[0].shape != each[1].shape:
        raise ValueError("a paired difference needs the same problems in both arms, in order")
    gap = each[0] - each[1]
    total = len(gap)
    weights = np.random.default_rng(seed).multinomial(total, np.full(total, 1 / total), size=draws)
    low, high = np.quantile(weights @ gap / total, [(1 - level) / 2, (1 + level) / 2])
    if high - low < 1e-12:
        # Alike on every problem seen: three in P others may still differ (the rule of three).
        low, high = low - 3.0 / total, high + 3.0 / total
    return Difference(
        float(gap.mean()), max(float(low), -1.0), min(float(high), 1.0), total, True, level
    )


def unpaired_difference(
    first: tuple[float, float, float],
    second: tuple[float, float, float],
    problems: int,
    *,
    level: float = 0.95,
) -> Difference:
    """The difference of two estimates (mean, low, high), intervals for problems like these."""
    mean = first[0] - second[0]
    down = np.hypot(first[0] - first[1], second[2] - second[0])
    up = np.hypot(first[2] - first[0], second[0] - second[1])
    # Within -1 and 1 by itself, but for rounding.
    return Difference(
        mean, max(float(mean - down), -1.0), min(float(mean + up), 1.0), problems, False, level
    )
