"""Choosing one answer among k: majority vote, best-of-N by reward, reward-weighted vote.

Stated rules. Equal canonical answers are one class and vote together; an unparsed answer (class
-1) never gets a vote, but best-of-N may pick its sample, and it is then wrong. A tie is broken
uniformly at random, in expectation. A problem without any vote is wrong.

Each function takes one problem and returns the expected correctness of the choice over random
subsets of size k of its N samples. `over_problems` averages. The paper reports the mean and
standard deviation over 100 random subsets; that spread goes to 0 as k nears N, so it is no
confidence interval: `paper_subsets` gives it, under that name only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.analysis.coverage import pass_at_k
from orchestrator.analysis.unbiased import Floats, Integers

Method = Literal["majority", "best-of-n", "weighted"]
METHODS: tuple[Method, ...] = ("majority", "best-of-n", "weighted")


@dataclass(frozen=True, slots=True)
class Judged:
    """All samples of one problem, shapes [N]."""

    answer: Integers
    """Class of the final answer, -1 where none was parsed."""
    correct: NDArray[np.bool_]
    reward: Floats | None = None
    """A score per sample, larger is better; finite."""

    def __post_init__(self) -> None:
        if not len(self.answer) == len(self.correct) > 0:
            raise ValueError("a problem needs one answer class and one verdict for every sample")
        if self.reward is not None and (
            len(self.reward) != len(self.answer) or not np.isfinite(self.reward).all()
        ):
            raise ValueError("a problem needs one finite reward for every sample, or none at all")


@dataclass(frozen=True, slots=True)
class SelectionCurve:
    """Precision of a method against coverage, shapes [K]."""

    method: Method
    k: NDArray[np.int64]
    precision: Floats
    """Share of problems whose chosen answer is right, in expectation."""
    coverage: Floats
    sd_over_subsets: Floats | None = None
    """The paper's spread over random subsets of one pool: not a confidence interval."""

    @property
    def gap(self) -> Floats:
        """Coverage that the method leaves on the table."""
        return self.coverage - self.precision


def majority(samples: Judged, ks: Sequence[int], *, draws: int = 200, seed: int = 0) -> Floats:
    """Expected correctness of the plurality answer: [K].

    Class counts within a subset are multivariate hypergeometric, so that a draw costs as much
    for k = 10,000 as for k = 2; answers given once are drawn together, as right and as wrong ones.
    Where very many answers were given a few times each, the prefixes of random orders of the
    samples, which have the same distribution for each k, cost less. k = 1 and k = N are exact.
    """
    classes, sizes, right = _classes(samples)
    total, generator = len(samples.answer), np.random.default_rng(seed)
    for k in ks:
        _check(k, total)
    if not len(classes):
        return np.zeros(len(ks))
    repeated = int((sizes > 1).sum())
    prefixes = repeated * len(ks) * _HYPERGEOMETRIC_S > total * _ORDER_S + len(ks) * _PREFIX_S
    vote = _votes_in_prefixes if prefixes else _votes_of_classes
    result = np.zeros(len(ks))
    drawn = [i for i, k in enumerate(ks) if 1 < k < total]
    result[drawn] = vote(samples, [ks[i] for i in drawn], draws, generator)
    for position, k in enumerate(ks):
        if k == 1:
            result[position] = float(sizes @ right) / total
        elif k == total:
            result[position] = right[sizes == sizes.max()].mean()
    return result


_HYPERGEOMETRIC_S, _ORDER_S, _PREFIX_S = 2e-7, 3e-8, 3e-5
"""About what a class in a draw, a sample in an order, and one look at a prefix take."""


def _votes_of_classes(
    samples: Judged, ks: Sequence[int], draws: int, generator: np.random.Generator
) -> Floats:
    """Expected correctness of the plurality by draws of class counts: [K]."""
    _, sizes, right = _classes(samples)
    many, once = sizes > 1, right[sizes == 1]
    right_once, wrong_once = int((once > 0).sum()), int((once == 0).sum())
    rest = len(samples.answer) - int(sizes.sum())
    pool = np.append(sizes[many], [right_once, wrong_once, rest])
    result = np.zeros(len(ks))
    for position, k in enumerate(ks):
        how: Literal["count", "marginals"] = "count" if k < 8 * len(pool) else "marginals"
        drawn = generator.multivariate_hypergeometric(pool, k, size=draws, method=how)
        votes, good, bad = drawn[:, :-3], drawn[:, -3], drawn[:, -2]
        most = votes.max(axis=1, initial=0)
        top = (votes == most[:, None]) & (votes > 0)
        # One vote each: they win with those classes that have no more.
        tied = most <= 1
        wins = top @ right[many] + np.where(tied, good, 0)
        among = top.sum(axis=1) + np.where(tied, good + bad, 0)
        result[position] = (wins / np.maximum(among, 1)).mean()
    return result


def _votes_in_prefixes(
    samples: Judged, ks: Sequence[int], draws: int, generator: np.random.Generator
) -> Floats:
    """The same by prefixes of random orders of the samples: [K]."""
    classes, sizes, right = _classes(samples)
    # The last class takes what was not parsed, and never wins.
    kind = np.where(samples.answer >= 0, np.searchsorted(classes, samples.answer), len(sizes))
    kind = kind.astype(np.int32)
    result = np.zeros(len(ks))
    for _ in range(draws):
        order, done = generator.permutation(kind), 0
        votes = np.zeros(len(sizes) + 1, np.int64)
        for position in np.argsort(ks):
            np.add.at(votes, order[done : ks[position]], 1)
            done = ks[position]
            most = votes[:-1].max()
            if most:
                result[position] += right[votes[:-1] == most].mean()
    return result / draws


def best_of_n(samples: Judged, ks: Sequence[int]) -> Floats:
    """Expected correctness of the sample with the highest reward: [K], exact.

    Ranked ascending, the best of k has rank at most r with chance C(r, k)/C(N, k); a block of
    equal rewards shares its chance by its mean correctness.
    """
    reward = _rewards(samples)
    total = len(reward)
    levels, block = np.unique(reward, return_inverse=True)
    size = np.bincount(block, minlength=len(levels))
    share = np.bincount(block, weights=samples.correct, minlength=len(levels)) / size
    upto = np.cumsum(size)
    result = np.empty(len(ks))
    for position, k in enumerate(ks):
        _check(k, total)
        below = _rank_chance(total, k)
        result[position] = (below[upto] - below[upto - size]) @ share
    return result


def weighted_vote(samples: Judged, ks: Sequence[int], *, draws: int = 100, seed: int = 0) -> Floats:
    """Expected correctness of the answer with the largest sum of rewards: [K].

    The prefixes of one random order of the samples serve every k.
    """
    reward, generator = _rewards(samples), np.random.default_rng(seed)
    classes, _, right = _classes(samples)
    for k in ks:
        _check(k, len(reward))
    if not len(classes):
        return np.zeros(len(ks))
    kind = np.searchsorted(classes, samples.answer)
    parsed = samples.answer >= 0
    result = np.zeros(len(ks))
    for _ in range(draws):
        order = generator.permutation(len(reward))
        sums, done = np.full(len(classes), -np.inf), 0
        for position in np.argsort(ks):
            part = order[done : ks[position]]
            part = part[parsed[part]]
            fresh = np.unique(kind[part])
            sums[fresh] = np.where(np.isneginf(sums[fresh]), 0.0, sums[fresh])
            np.add.at(sums, kind[part], reward[part])
            done = ks[position]
            result[position] += _winner(sums[None, :], right)[0]
    return result / draws


def over_problems(
    problems: Sequence[Judged], ks: Sequence[int], method: Method, *, seed: int = 0
) -> SelectionCurve:
    """The method's precision over all problems beside their coverage.

    Raises ValueError where a k exceeds a problem's samples, or a reward is needed and missing.
    """
    how: dict[Method, Callable[[int, Judged], Floats]] = {
        "majority": lambda i, one: majority(one, ks, seed=seed + i),
        "best-of-n": lambda i, one: best_of_n(one, ks),
        "weighted": lambda i, one: weighted_vote(one, ks, seed=seed + i),
    }
    precision = np.mean([how[method](i, one) for i, one in enumerate(problems)], axis=0)
    return SelectionCurve(method, np.asarray(ks), precision, _coverage(problems, ks))


def paper_subsets(
    problems: Sequence[Judged],
    ks: Sequence[int],
    method: Method,
    *,
    subsets: int = 100,
    seed: int = 0,
) -> SelectionCurve:
    """The paper's procedure: mean and standard deviation over random subsets of each size."""
    generator = np.random.default_rng(seed)
    scores = np.zeros((subsets, len(ks)))
    for one in problems:
        for row in range(subsets):
            order = generator.permutation(len(one.answer))
            for position, k in enumerate(ks):
                _check(k, len(order))
                scores[row, position] += _whole(_subset(one, order[:k]), method)
    scores /= len(problems)
    return SelectionCurve(
        method, np.asarray(ks), scores.mean(axis=0), _coverage(problems, ks), scores.std(axis=0)
    )


def _whole(one: Judged, method: Method) -> float:
    """The method's expected correctness with every sample of `one` in hand."""
    if method == "best-of-n":
        return float(best_of_n(one, [len(one.answer)])[0])
    if method == "weighted":
        return float(weighted_vote(one, [len(one.answer)], draws=1)[0])
    return float(majority(one, [len(one.answer)])[0])


def _subset(one: Judged, chosen: NDArray[np.int64]) -> Judged:
    reward = None if one.reward is None else one.reward[chosen]
    return Judged(one.answer[chosen], one.correct[chosen], reward)


def _classes(samples: Judged) -> tuple[Integers, Integers, Floats]:
    """The parsed answer classes, how many samples each has, and how right each is."""
    parsed = samples.answer >= 0
    classes, kind, sizes = np.unique(
        samples.answer[parsed], return_inverse=True, return_counts=True
    )
    right = np.bincount(kind, weights=samples.correct[parsed], minlength=len(classes))
    return classes, sizes.astype(np.int64), right / np.maximum(sizes, 1)


def _winner(votes: Floats, right: Floats) -> Floats:
    """Mean correctness of the classes with the most votes, in each row; 0 without any vote.

    -inf marks a class without a vote: with rewards, a sum of 0 is a vote.
    """
    most = votes.max(axis=1, keepdims=True)
    top = (votes == most) & ~np.isneginf(votes)
    return np.asarray((top @ right) / np.maximum(top.sum(axis=1), 1))


def _rank_chance(total: int, k: int) -> Floats:
    """C(r, k)/C(total, k) for r = 0..total, downwards by recurrence."""
    ranks = np.arange(total, 0, -1, dtype=np.float64)
    falling = np.cumprod(np.maximum(ranks - k, 0.0) / ranks)
    return np.append(falling[::-1], 1.0)


def _rewards(samples: Judged) -> Floats:
    if samples.reward is None:
        raise ValueError("this selection needs a reward for every sample, and there is none")
    return samples.reward


def _coverage(problems: Sequence[Judged], ks: Sequence[int]) -> Floats:
    n = np.array([len(one.answer) for one in problems])
    c = np.array([int(one.correct.sum()) for one in problems])
    return np.asarray(pass_at_k(n[:, None], c[:, None], np.asarray(ks)).mean(axis=0))


def _check(k: int, total: int) -> None:
    if not 1 <= k <= total:
        raise ValueError(f"k must lie between 1 and the {total} samples of a problem, not {k}")
