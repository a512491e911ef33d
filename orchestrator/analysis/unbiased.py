"""The unbiased estimate of pass@k, and the sums over problems that intervals need.

The estimator is that of Chen et al. (arXiv 2107.03374): a problem with c right answers among n
attempts contributes 1 - C(n-c, k) / C(n, k). It is unbiased where n was fixed before the
attempts were made; runs that stop at a first success need `survival`. numpy alone, and cheap
enough for a live view.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_TERMS = 1_000_000
"""Factors multiplied at a time: bounds the memory, not the result."""


def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> Floats:
    """The unbiased estimate of pass@k from c right answers among n attempts.

    The three are whole numbers that broadcast against each other, 0 <= c <= n and
    0 <= k <= n; the result has the broadcast shape. Raises ValueError for anything else.
    With s = min(c, k) and l = max(c, k), C(n-c, k)/C(n, k) is the product over i < s of
    1 - l/(n-i): at most s factors, summed as logarithms, right to about 1e-15.
    """
    attempts, right, draws = np.broadcast_arrays(whole("n", n), whole("c", c), whole("k", k))
    if np.any(right > attempts):
        raise ValueError("c is larger than n: more right answers than attempts")
    if np.any(draws > attempts):
        raise ValueError(
            f"pass@{int(draws.max())} cannot be estimated from {int(attempts.min())} attempts: "
            "k must not be larger than n; forecast it instead"
        )
    triples, where = np.unique(
        np.stack([attempts.ravel(), right.ravel(), draws.ravel()]), axis=1, return_inverse=True
    )
    return _distinct(*triples)[where.ravel()].reshape(attempts.shape)


def mean_coverage(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> Floats:
    """Mean pass@k over problems: n and c have shape [P], k any shape; the result has k's.

    Raises ValueError where k exceeds the smallest n: a problem is never dropped for having
    too few attempts, since that would drop the hard ones or the late ones.
    """
    attempts, right, draws = counts(n, c), whole("c", c), whole("k", k)
    each = pass_at_k(attempts, right, draws[..., None])
    return np.asarray(each.mean(axis=-1))


def failure_powers(n: Integers, c: Integers, weight: Floats, last: int) -> Floats:
    """Sums over problems of q, q^2 and q^3, q = C(n-c, k)/C(n, k): shape [3, last], k = 1..last.

    n, c and weight (how many problems are alike) have shape [U]. One pass over k with a vector
    of U numbers: neither time nor memory grows with problems x last.
    """
    q, part, left = np.ones(len(n)), np.empty(len(n)), (n - c).astype(np.float64)
    pool, share = n.astype(np.float64), weight.astype(np.float64)
    sums = np.empty((3, last))
    for j in range(last):
        q *= left
        q /= pool
        np.multiply(share, q, out=part)
        sums[0, j] = part.sum()
        sums[1, j] = part @ q
        part *= q
        sums[2, j] = part @ q
        left -= 1.0
        pool -= 1.0
        np.maximum(left, 0.0, out=left)
    return sums


def failing_at(n: Integers, c: Integers, ks: Integers) -> Floats:
    """C(n-c, k)/C(n, k) of every problem at each of `ks`, which rise from 0 or more: [K, P].

    One pass over k, for many problems at many k; n and c have shape [P].
    """
    q, kept, row = np.ones(len(n)), np.empty((len(ks), len(n))), 0
    left, pool = (n - c).astype(np.float64), n.astype(np.float64)
    for k in range(int(ks[-1]) + 1):
        while row < len(ks) and k == ks[row]:
            kept[row] = q
            row += 1
        q = q * np.maximum(left - k, 0.0) / np.maximum(pool - k, 1.0)
    return kept


def counts(n: ArrayLike, c: ArrayLike) -> Integers:
    """n as an array [P], after checking that n and c are whole, alike in shape, and c <= n."""
    attempts, right = whole("n", n), whole("c", c)
    if attempts.ndim != 1 or attempts.shape != right.shape:
        raise ValueError(
            f"n and c must be lists of equal length, one entry per problem; "
            f"they have shapes {attempts.shape} and {right.shape}"
        )
    if attempts.size == 0:
        raise ValueError("there are no problems to estimate coverage from")
    if np.any(right > attempts):
        first = int(np.argmax(right > attempts))
        raise ValueError(
            f"problem {first} has {right[first]} right answers among {attempts[first]} attempts"
        )
    return attempts


def whole(name: str, value: ArrayLike) -> Integers:
    """`value` as int64; raises ValueError where it is not whole or is negative."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        if array.dtype.kind != "f" or not np.all(np.isfinite(array) & (array == np.floor(array))):
            raise ValueError(f"{name} must be whole numbers")
        array = array.astype(np.int64)
    if np.any(array < 0):
        raise ValueError(f"{name} must not be negative")
    return np.asarray(array, dtype=np.int64)


def _distinct(n: Integers, c: Integers, k: Integers) -> Floats:
    """pass@k of distinct triples, in blocks of about _TERMS factors."""
    few, many = np.minimum(c, k), np.maximum(c, k)
    certain = c + k > n
    few = np.where(certain, 0, few)
    result = np.empty(len(n))
    ends = np.searchsorted(np.cumsum(few), np.arange(_TERMS, few.sum() + _TERMS, _TERMS))
    start = 0
    for stop in np.unique(np.append(np.minimum(ends + 1, len(n)), len(n))):
        block = slice(start, int(stop))
        result[block] = -np.expm1(_log_product(n[block], few[block], many[block]))
        start = int(stop)
    result[certain] = 1.0
    return result


def _log_product(n: Integers, few: Integers, many: Integers) -> Floats:
    """log of the product over i < few of 1 - many/(n-i), each entry apart."""
    owner = np.repeat(np.arange(len(n)), few)
    before = np.cumsum(few) - few
    pool = n[owner] - (np.arange(len(owner)) - before[owner])
    total = np.zeros(len(n))
    np.add.at(total, owner, np.log1p(-many[owner] / pool))
    return total
