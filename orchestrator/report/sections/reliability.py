"""How often several attempts are right together: pass^k and G-Pass@k.

For people who must take the first answer, not the best. A terminal shows it only where all notes
are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.reliability import g_pass_at_k, pass_hat_k
from orchestrator.report.data import ArmReport, ReportData
from orchestrator.report.describe import groups_of
from orchestrator.report.markup import page_table
from orchestrator.report.sections.base import Section
from orchestrator.report.text import percent, visible

TAUS = (0.25, 0.5, 0.75)
TITLE = "Right together"
READ = (
    "pass^k: all of k attempts are right. G-Pass@k: at least that share of k attempts is. "
    "Means over problems; intervals are 95 %, for these problems and for problems like these."
)
HEAD = ("arm", "k", "pass^k", "these problems", "problems like these", "a quarter", "half",
        "three quarters")  # fmt: skip


def rows(arm: ArmReport) -> list[dict[str, Any]]:
    """One for each k of the arm's curve; empty unless attempts were planned beforehand."""
    asked = [i for i, n in enumerate(arm.n) if n]
    if not arm.uniform or not arm.points or not asked:
        return []
    n, c = [arm.n[i] for i in asked], [arm.c[i] for i in asked]
    ks = [point.k for point in arm.points]
    ids = [arm.problem_ids[i] for i in asked] if arm.problem_ids else []
    # All of k attempts are right where none of them is wrong.
    wrong = [judged - right for judged, right in zip(n, c, strict=True)]
    curve = coverage_curve(n, wrong, ks, groups=groups_of(arm, ids))
    bounds = (curve.high, curve.low, curve.high_like, curve.low_like)
    names = ("low", "high", "low_like", "high_like")
    return [
        {
            "k": k,
            "pass_hat_k": float(pass_hat_k(n, c, k).mean()),
            **{name: float(1.0 - one[at]) for name, one in zip(names, bounds, strict=True)},
            "g_pass_at_k": {str(tau): float(g_pass_at_k(n, c, k, tau).mean()) for tau in TAUS},
        }
        for at, k in enumerate(ks)
    ]


def _document(report: ReportData) -> list[dict[str, Any]]:
    return [{"arm": arm.label, "at": found} for arm in report.arms if (found := rows(arm))]


def _cells(report: ReportData) -> list[list[str]]:
    return [
        [
            arm.label, f"{row['k']:,}", percent(row["pass_hat_k"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
            f"{percent(row['low_like'])} to {percent(row['high_like'])}",
            *(percent(share) for share in row["g_pass_at_k"].values()),
        ]
        for arm in report.arms
        for row in rows(arm)
    ]  # fmt: skip


def _shown(report: ReportData) -> Iterator[RenderableType]:
    cells = _cells(report)
    if cells:
        table = Table(title=TITLE, box=box.SIMPLE_HEAD, title_justify="left",
                      caption=Text(READ), caption_justify="left")  # fmt: skip
        for number, name in enumerate(HEAD):
            table.add_column(name, justify="right" if number else "left")
        for row in cells:
            table.add_row(*(Text(visible(cell)) for cell in row))
        yield table


def _page(report: ReportData) -> str:
    return page_table(TITLE, READ, HEAD, _cells(report))


RELIABILITY = Section("reliability", _document, _shown, _page, aside=True)
