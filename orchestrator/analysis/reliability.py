"""How often several attempts are right together: pass^k and G-Pass@k, from the same counts.

pass^k (Yao et al., arXiv 2406.12045) is the chance that all of k attempts are right: of c right
ones among n, C(c, k)/C(n, k). G-Pass@k at a threshold tau (Liu et al., arXiv 2412.13147) is the
chance that at least tau k of k are: the tail of a hypergeometric distribution. At the least tau
it is pass@k, at tau = 1 pass^k. Both are unbiased where n was fixed before the attempts were made.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from orchestrator.analysis.unbiased import Floats, counts, pass_at_k, whole


def pass_hat_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> Floats:
    """C(c, k)/C(n, k): all of k attempts right. Shapes and errors are those of `pass_at_k`."""
    attempts, right = np.broadcast_arrays(whole("n", n), whole("c", c))
    if np.any(right > attempts):
        raise ValueError("c is larger than n: more right answers than attempts")
    return 1.0 - pass_at_k(attempts, attempts - right, k)


def fewest_right(k: int, tau: float) -> int:
    """How many of k must be right for a threshold: tau k rounded up, and at least one."""
    return max(1, math.ceil(Fraction(str(tau)) * k))


def g_pass_at_k(n: ArrayLike, c: ArrayLike, k: int, tau: float) -> Floats:
    """The chance that at least tau k of k attempts are right, for each problem: [P].

    n and c have shape [P]; 0 < tau <= 1. Raises ValueError where k exceeds the smallest n.
    """
    attempts, right = counts(n, c), whole("c", c)
    if not 0.0 < tau <= 1.0:
        raise ValueError(f"tau must lie above 0 and at most at 1, not {tau}")
    if k < 1 or k > int(attempts.min()):
        raise ValueError(f"k must lie between 1 and {int(attempts.min())}, the fewest attempts")
    kinds, where = np.unique(np.stack([attempts, right]), axis=1, return_inverse=True)
    each = _tail(kinds[0], kinds[1], k, fewest_right(k, tau))
    return np.asarray(each[where.ravel()])


def _tail(n: Floats, c: Floats, k: int, fewest: int) -> Floats:
    """Sum over j >= fewest of C(c, j) C(n - c, k - j)/C(n, k), for each (n, c)."""
    j = np.arange(fewest, k + 1)[:, None]
    possible = (j <= c) & (k - j <= n - c)
    terms = _choose(c, j, possible) + _choose(n - c, k - j, possible) - _choose(n, k, True)
    summed = np.where(possible, np.exp(terms), 0.0).sum(axis=0)
    return np.asarray(np.clip(summed, 0.0, 1.0))


def _choose(n: ArrayLike, k: ArrayLike, possible: ArrayLike) -> Floats:
    """The logarithm of a binomial coefficient; anything where it is not possible."""
    kept = np.where(possible, k, 0)
    return np.asarray(gammaln(np.asarray(n) + 1.0) - gammaln(kept + 1.0)
                      - gammaln(np.asarray(n) - kept + 1.0))  # fmt: skip
