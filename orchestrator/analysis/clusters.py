"""What is not independent: problems that come in groups, and choices of one request.

Groups of problems (questions on one text, variants of one exercise) succeed and fail together, so
the interval for problems like these is of groups like these: its width grows by the ratio of the
cluster-robust standard error to the plain one (Miller, arXiv 2411.00640), and Student's quantile
has as many degrees of freedom as there are groups less one.

Choices of one request that agree more than those of different requests are worth fewer: with m
choices a request and an intraclass correlation r, n attempts are worth n/(1 + (m - 1) r) (Kish).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import fdtrc, stdtrit

from orchestrator.analysis.unbiased import Floats, Integers


def numbered(groups: Sequence[Hashable]) -> Integers:
    """A number for each distinct group, in order of first appearance: [P]."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(one, len(numbers)) for one in groups], dtype=np.int64)


def robust_error(each: ArrayLike, groups: Integers) -> Floats:
    """The cluster-robust standard error of the mean over the last axis, [..., P] to [...].

    The square root of G/(G - 1) times the sum over groups of the squared sum of deviations, over P.
    """
    rows = np.asarray(each, dtype=np.float64)
    spread = rows - rows.mean(axis=-1, keepdims=True)
    number = int(groups.max()) + 1
    member = np.zeros((len(groups), number))
    member[np.arange(len(groups)), groups] = 1.0
    sums = spread @ member
    return np.asarray(np.sqrt(number / (number - 1.0) * (sums**2).sum(axis=-1)) / rows.shape[-1])


def widening(each: ArrayLike, groups: Integers, level: float = 0.95) -> Floats:
    """By how much the plain interval of the mean is too narrow for these groups, at least 1: [...].

    `each` has shape [..., P]; raises ValueError for fewer than two groups.
    """
    rows = np.asarray(each, dtype=np.float64)
    number, problems = int(groups.max()) + 1, rows.shape[-1]
    if number < 2:
        raise ValueError("an interval for groups like these needs at least two groups")
    tail = 0.5 + level / 2.0
    quantiles = float(stdtrit(number - 1.0, tail)) / float(stdtrit(problems - 1.0, tail))
    plain = np.sqrt(rows.var(axis=-1, ddof=1) / problems)
    ratio = np.where(plain > 1e-12, robust_error(rows, groups) / np.maximum(plain, 1e-12), 1.0)
    return np.asarray(np.maximum(ratio * quantiles, 1.0))


@dataclass(frozen=True, slots=True)
class Agreeing:
    """How far choices of one request agree beyond chance."""

    correlation: float
    """Intraclass, at least 0."""
    worth: float
    """What share of the attempts is left as independent ones."""
    certain: bool
    """Whether chance alone would hardly agree so (F test, one in a thousand)."""


def agreeing(problem: ArrayLike, choices: ArrayLike, right: ArrayLike) -> Agreeing | None:
    """From every request its problem, how many judged choices it has, and how many are right: [R].

    Requests are compared within their problem; None where no problem has two requests, or none
    has two choices.
    """
    problems, m, c = (np.asarray(one, dtype=np.int64) for one in (problem, choices, right))
    _, place = np.unique(problems, return_inverse=True)
    total, solved = (np.bincount(place, one) for one in (m, c))
    mean = (solved / total)[place]
    between_freedom = len(m) - len(total)
    within_freedom = int((m - 1).sum())
    if between_freedom < 1 or within_freedom < 1:
        return None
    between = float((m * (c / m - mean) ** 2).sum()) / between_freedom
    within = float((c * (1.0 - c / m)).sum()) / within_freedom
    if not between + within:
        return None
    size = float(m.mean())
    correlation = max((between - within) / (between + (size - 1.0) * within), 0.0)
    chance = float(fdtrc(between_freedom, within_freedom, between / within)) if within else 0.0
    return Agreeing(correlation, 1.0 / (1.0 + (size - 1.0) * correlation), chance < 0.001)
