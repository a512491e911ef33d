"""What is solved with and without problems whose tests do not always say the same.

Flaky are the issues of SWE-bench Lite that the paper names (orchestrator/tasks/flaky.py), and
problems of which a verdict changed when stored samples were judged again (`orch verify RUN --repeat
N`). The paper's table 3 and figure 9, for a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.analysis.coverage import coverage_curve
from orchestrator.report.data import ArmReport, ReportData
from orchestrator.report.markup import page_table
from orchestrator.report.sections.base import Section
from orchestrator.report.text import percent, visible
from orchestrator.tasks.flaky import named_flaky

TITLE = "Without flaky tests"
HEAD = ("arm", "k", "all problems", "without flaky ones")
SHOWN = 10


def _named(arm: ArmReport) -> list[str]:
    return sorted(named_flaky().intersection(arm.problem_ids))


def _kept(arm: ArmReport) -> list[int]:
    """The places of problems that were asked and are not flaky."""
    flaky = {*_named(arm), *arm.changed}
    return [i for i, name in enumerate(arm.problem_ids) if arm.n[i] and name not in flaky]


def rows(arm: ArmReport) -> list[dict[str, Any]]:
    """Coverage at each k of the arm's curve; empty unless attempts were planned beforehand."""
    kept = _kept(arm)
    if not arm.uniform or not kept:
        return []
    n, c = [arm.n[i] for i in kept], [arm.c[i] for i in kept]
    points = [point for point in arm.points if point.k <= min(n)]
    curve = coverage_curve(n, c, [point.k for point in points])
    return [
        {"k": point.k, "coverage": point.mean, "without_flaky": float(mean)}
        for point, mean in zip(points, curve.mean, strict=True)
    ]


def _arms(report: ReportData) -> Iterator[ArmReport]:
    """The arms that have a flaky problem."""
    return (arm for arm in report.arms if arm.changed or _named(arm))


def _document(report: ReportData) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm.label, "named": _named(arm), "changed": list(arm.changed),
            "problems": len(_kept(arm)), "solved": sum(arm.c[i] > 0 for i in _kept(arm)),
            "at": rows(arm),
        }
        for arm in _arms(report)
    ]  # fmt: skip


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _said(arm: ArmReport) -> str:
    kept, parts = _kept(arm), []
    if arm.changed:
        parts.append(f"{len(arm.changed)} changed a verdict here ({_listed([*arm.changed])})")
    if named := _named(arm):
        parts.append(f"{len(named)} are named so by the paper ({_listed(named)})")
    return (
        f"{arm.label}: of {arm.asked} problems with flaky tests "
        f"{' and '.join(parts)}; {arm.solved} are solved, without those "
        f"{sum(arm.c[i] > 0 for i in kept)} of {len(kept)}"
    )


def _cells(report: ReportData) -> list[list[str]]:
    return [
        [arm.label, f"{row['k']:,}", percent(row["coverage"]), percent(row["without_flaky"])]
        for arm in _arms(report)
        for row in rows(arm)
    ]


def _shown(report: ReportData) -> Iterator[RenderableType]:
    for arm in _arms(report):
        yield Text(visible(_said(arm)))
    cells = _cells(report)
    if not cells:
        return
    table = Table(*HEAD, title=TITLE, title_justify="left", box=box.SIMPLE)
    for row in cells:
        table.add_row(*map(visible, row))
    yield table


def _page(report: ReportData) -> str:
    said = ". ".join(_said(arm) for arm in _arms(report))
    return page_table(TITLE, said, HEAD, _cells(report))


FLAKY = Section("flaky", _document, _shown, _page)
