"""From outcomes to an ArmReport: curve, fits, forecasts; and the sentences across arms.

For arms whose attempts were planned beforehand; a stored run's own rows (with its money and its
policy's estimator) come in through `collect`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.analysis.clusters import numbered
from orchestrator.analysis.compare import (
    Contrast,
    Difference,
    corrected,
    gaps_between,
    paired_contrast,
    unpaired_contrast,
)
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.forecast import ForecastRefused, forecast_coverage
from orchestrator.analysis.grid import points_to
from orchestrator.analysis.scaling import Space, fit_power_law
from orchestrator.analysis.unbiased import Integers
from orchestrator.report.data import ArmReport, CoveragePoint, FitLine, ForecastPoint


def with_curve(arm: ArmReport, ks: Sequence[int] | None = None) -> ArmReport:
    """`arm` with its coverage at `ks` (1, 2, 5, ... by default), and what those cost afresh."""
    if not arm.n or not min(arm.n):
        return replace(arm, notes=(*arm.notes, "no coverage yet: some problem has no attempt"))
    wanted = points_to(min(arm.n)) if ks is None else list(ks)
    curve = coverage_curve(arm.n, arm.c, wanted)
    columns = (curve.mean, curve.low, curve.high, curve.low_like, curve.high_like)
    points = tuple(
        CoveragePoint(
            k,
            mean,
            low,
            high,
            low_like,
            high_like,
            at_k=None if arm.fresh is None else arm.fresh.usd_at_k(k),
        )
        for k, mean, low, high, low_like, high_like in zip(
            wanted, *(column.tolist() for column in columns), strict=True
        )
    )
    notes = (*arm.notes, curve.note) if curve.note else arm.notes
    return replace(arm, points=points, notes=notes)


def with_law(arm: ArmReport, forecast_at: Sequence[int] | None = None) -> ArmReport:
    """`arm` with both fits of the power law and forecasts (at 10 and 100 n by default).

    Where a forecast was asked for and none can be made, `forecast_refused` says why.
    """
    if not arm.uniform:
        said = (
            f"the policy {arm.policy} stops at a first success, and a forecast needs attempts "
            "whose number was fixed beforehand (policy uniform)"
        )
        return replace(arm, forecast_refused=said if forecast_at else "")
    if not arm.n or not min(arm.n):
        said = "some problem has no judged attempt yet"
        return replace(arm, forecast_refused=said if forecast_at else "")
    smallest = min(arm.n)
    whole = coverage_curve(arm.n, arm.c).mean
    fits = []
    spaces: tuple[Space, Space] = ("coverage", "log")
    for space in spaces:
        try:
            law = fit_power_law(whole, space)
        except ValueError:
            # A curve at 0 or 1 throughout, or of fewer than three k, has no law.
            break
        fits.append(FitLine(law.space, law.a, law.b, law.error_mean, law.error_sd))
    if not fits and not forecast_at:
        return arm
    forecasts, refused = [], ""
    for k in forecast_at or (10 * smallest, 100 * smallest):
        try:
            found = forecast_coverage(arm.n, arm.c, k)
        except ForecastRefused as reason:
            refused = str(reason)
            break
        forecasts.append(
            ForecastPoint(k, found.mean, found.low, found.high, found.level, found.note)
        )
    return replace(arm, fits=tuple(fits), forecasts=tuple(forecasts), forecast_refused=refused)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two arms on one task, at a k that both have."""

    first: ArmReport
    second: ArmReport
    k: int
    found: Difference

    @property
    def sentence(self) -> str:
        return f"At k = {self.k:,}: {self.found.sentence(self.first.label, self.second.label)}"


def compared(arms: Sequence[ArmReport]) -> list[Compared]:
    """For each pair of arms on one task, whether their coverage differs at a k both have.

    Paired where they share their problems, else unpaired; corrected for being several pairs.
    """
    pairs: list[tuple[ArmReport, ArmReport, int, Contrast]] = []
    for i, first in enumerate(arms):
        for second in arms[i + 1 :]:
            if first.task == second.task and first.points and second.points:
                k = min(first.points[-1].k, second.points[-1].k)
                contrast = contrast_at(first, second, k, k)
                if contrast is not None:
                    pairs.append((first, second, k, contrast))
    found = corrected([contrast for *_, contrast in pairs])
    return [
        Compared(first, second, k, one)
        for (first, second, k, _), one in zip(pairs, found, strict=True)
    ]


def comparisons(arms: Sequence[ArmReport]) -> tuple[str, ...]:
    """What `compared` finds, in words."""
    return tuple(one.sentence for one in compared(arms))


def contrast_at(
    first: ArmReport, second: ArmReport, k_first: int, k_second: int
) -> Contrast | None:
    """Coverage of `first` at k_first minus `second` at k_second; None if either lacks it."""
    shared = sorted(set(first.problem_ids) & set(second.problem_ids))
    if first.uniform and second.uniform and len(shared) > 1:
        sides = [counts_of(arm, shared) for arm in (first, second)]
        if min(sides[0][0]) >= k_first and min(sides[1][0]) >= k_second:
            gaps = gaps_between(sides[0], sides[1], (k_first, k_second))
            return paired_contrast(gaps, groups_of(first, shared))
    ends = []
    for arm, k in ((first, k_first), (second, k_second)):
        point = next((point for point in arm.points if point.k == k), None)
        if point is None:
            return None
        ends.append((point.mean, point.low_like, point.high_like))
    return unpaired_contrast(ends[0], ends[1], min(first.problems, second.problems))


def counts_of(arm: ArmReport, ids: Sequence[str]) -> tuple[list[int], list[int]]:
    """Judged and right attempts of an arm at the problems named, in that order."""
    where = {name: i for i, name in enumerate(arm.problem_ids)}
    rows = [where[name] for name in ids]
    return [arm.n[i] for i in rows], [arm.c[i] for i in rows]


def groups_of(arm: ArmReport, ids: Sequence[str]) -> Integers | None:
    """The number of each named problem's group; None where these fall into no two groups, or
    every problem is its own."""
    where = dict(zip(arm.problem_ids, arm.groups, strict=False))
    names = [where.get(name, name) for name in ids]
    return numbered(names) if 1 < len(set(names)) < len(names) else None
