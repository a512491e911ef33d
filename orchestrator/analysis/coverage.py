"""Coverage: the share of problems that at least one of k attempts solves, and how sure it is.

`coverage_curve` is for attempts whose number was fixed beforehand (policy `uniform`); its two
intervals answer two questions, explained in `intervals`. `mean_coverage` is the point estimate
alone, cheap enough for a live view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orchestrator.analysis.clusters import widening
from orchestrator.analysis.grid import points_to
from orchestrator.analysis.intervals import moments_of, problems_like_these, these_problems
from orchestrator.analysis.unbiased import (
    Floats,
    Integers,
    counts,
    failing_at,
    mean_coverage,
    pass_at_k,
    whole,
)

__all__ = ["CoverageCurve", "coverage_curve", "mean_coverage", "pass_at_k"]


Flags = NDArray[np.bool_]

FEWEST_EVENTS = 3.0
"""Fewer chance events than this make no interval for these problems."""
LEAST_SEEN = 0.25
"""Least share of the variance between problems that must come from problems that were seen."""


@dataclass(frozen=True, slots=True)
class CoverageCurve:
    """Coverage against attempts per problem, shapes all [K]."""

    k: NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    """Interval for these problems."""
    low_like: Floats
    high_like: Floats
    """Interval for problems like these."""
    note: str
    """In plain words where the intervals deserve less trust; empty where they deserve it."""
    level: float
    trusted: Flags
    trusted_like: Flags
    """Whether each interval can be trusted to its level, at each k; `note` says why where not."""


def coverage_curve(
    n: ArrayLike,
    c: ArrayLike,
    ks: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    level: float = 0.95,
    groups: Integers | None = None,
) -> CoverageCurve:
    """The curve for c right among n attempts at each problem (both [P]), n fixed beforehand.

    `ks` None means every k up to the smallest n. `groups`: the number of each problem's group,
    where problems come in groups; the interval for problems like these is then of groups like
    these. Raises ValueError where a k exceeds the
    smallest n or the counts make no sense.
    """
    attempts, right = counts(n, c), whole("c", c)
    smallest = int(attempts.min())
    wanted = np.arange(1, smallest + 1) if ks is None else np.atleast_1d(whole("k", np.asarray(ks)))
    if smallest == 0:
        raise ValueError(
            f"problem {int(np.argmin(attempts))} has no attempts yet, so there is no coverage "
            "over all problems; wait for the first round to end"
        )
    if wanted.size == 0 or wanted.min() < 1 or wanted.max() > smallest:
        raise ValueError(
            f"k must lie between 1 and {smallest}, the smallest number of attempts at any of "
            f"the {len(attempts)} problems"
        )
    # Coverage does not fall as k rises, so neither do its bounds: each takes what the grid's other
    # k say of it, whichever k are asked for.
    every = np.unique(np.concatenate([wanted, points_to(smallest)]))
    curve = _each(attempts, right, every, smallest, level)
    if groups is not None:
        curve = _grouped(curve, 1.0 - failing_at(attempts, right, every), groups, level)
    grid, at = np.isin(every, points_to(smallest)), np.searchsorted(every, wanted)
    low, high = _monotone(curve.low, curve.high, grid)
    low_like, high_like = _monotone(curve.low_like, curve.high_like, grid)
    # This set is no less known than another of its kind: the interval that can be trusted bounds
    # the other.
    trusted = ~(curve.extreme | curve.alike)
    low = np.where(trusted, np.maximum(low, low_like), low)
    high = np.where(trusted, np.minimum(high, high_like), high)
    low_like, high_like = np.minimum(low_like, low), np.maximum(high_like, high)
    extreme, few, alike_all = curve.extreme[at], curve.few[at], curve.alike[at]
    return CoverageCurve(
        wanted, curve.mean[at], low[at], high[at], low_like[at], high_like[at],
        _note(wanted, extreme, few, alike_all, smallest, len(attempts)), level,
        trusted=~few & (smallest > 1), trusted_like=~extreme & ~alike_all,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Pointwise:
    """Every k by itself, shapes [K]."""

    mean: Floats
    low: Floats
    high: Floats
    low_like: Floats
    high_like: Floats
    extreme: Flags
    few: Flags
    alike: Flags


def _each(
    attempts: Integers, right: Integers, ks: Integers, smallest: int, level: float
) -> _Pointwise:
    kinds, alike = np.unique(np.stack([attempts, right]), axis=1, return_counts=True)
    moments = moments_of(kinds[0], kinds[1], alike.astype(np.float64), ks)
    total = float(len(attempts))
    mean = np.maximum(1.0 - moments.first / total, 0.0)
    unit = ks * np.mean(1.0 / attempts)
    low, high, events = these_problems(moments, mean, unit, total, level, smallest)
    low_like, high_like, seen = problems_like_these(moments, mean, total, level)
    return _Pointwise(
        mean, low, high, low_like, high_like,
        (mean < 0.01) | (mean > 0.99), events < FEWEST_EVENTS, seen < LEAST_SEEN,
    )  # fmt: skip


def _grouped(curve: _Pointwise, each: Floats, groups: Integers, level: float) -> _Pointwise:
    """The same with the interval for problems like these as wide as their groups make it."""
    wider = widening(each, groups, level)
    return replace(
        curve,
        low_like=np.maximum(curve.mean - wider * (curve.mean - curve.low_like), 0.0),
        high_like=np.minimum(curve.mean + wider * (curve.high_like - curve.mean), 1.0),
    )


def _monotone(low: Floats, high: Floats, grid: Flags) -> tuple[Floats, Floats]:
    """Bounds that do not fall: the grid's k bound each other, and those between them."""
    floor = np.maximum.accumulate(np.where(grid, low, 0.0))
    above = np.minimum.accumulate(np.where(grid, floor, 1.0)[::-1])[::-1]
    ceiling = np.minimum.accumulate(np.where(grid, high, 1.0)[::-1])[::-1]
    below = np.maximum.accumulate(np.where(grid, ceiling, 0.0))
    low, high = np.clip(low, floor, above), np.clip(high, below, ceiling)
    return np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]


def _note(
    ks: Integers, extreme: Flags, few: Flags, alike: Flags, smallest: int, problems: int
) -> str:
    """Where the intervals deserve less trust, in plain words; empty where they deserve it."""
    said = []
    if smallest == 1:
        said.append(
            "With one attempt at a problem nothing tells luck from difficulty: the interval for "
            "these problems is the widest possible."
        )
    if extreme.any():
        said.append(
            f"At k = {_span(ks[extreme])} coverage is below 1 % or above 99 %: a rare kind of "
            f"problem may be absent from these {problems}, so the interval for problems like "
            "these cannot be trusted there."
        )
    if few.any():
        said.append(
            f"At k = {_span(ks[few])} fewer than three chance events decide the result: the "
            "interval for these problems is rough there, and rather too wide."
        )
    if (few & extreme).any():
        said.append(f"At k = {_span(ks[few & extreme])} neither interval is trustworthy.")
    if (alike & ~extreme).any():
        said.append(
            f"At k = {_span(ks[alike & ~extreme])} the problems are so alike that the interval "
            "for problems like these mostly allows for kinds that are absent: it is too wide if "
            "there are none."
        )
    return " ".join(said)


def _span(ks: Integers) -> str:
    return str(ks[0]) if len(ks) == 1 else f"{ks.min()} to {ks.max()}"
