"""The report as tables for other programs: CSV, Markdown and LaTeX, one row per arm and k.

Names come from models and files of others: in CSV a cell that a spreadsheet would take for a
formula is prefixed, in Markdown and LaTeX what has a meaning there is escaped.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from budgets.money import usd
from orchestrator.report.data import CoveragePoint, ReportData
from orchestrator.report.text import alike, percent, visible

COLUMNS = (
    "provider", "model", "task", "policy", "estimator", "verifier", "problems", "samples",
    "censored", "infra_errors", "solved", "k", "coverage", "low", "high", "low_like",
    "high_like", "usd_as_bought", "usd_at_k", "flops", "spent_usd", "uncertain_usd",
    "usd_per_solved", "repriced_on",
)  # fmt: skip


def to_csv(report: ReportData) -> str:
    """All columns, money as exact dollars, shares between 0 and 1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for arm in report.arms:
        names = (arm.provider, arm.model, arm.task, arm.policy, arm.estimated_by, arm.verifier)
        who = [_plain(name) for name in names]
        counted = [arm.problems, arm.samples, arm.censored, arm.infra_errors, arm.solved]
        money = ["", "", ""]
        if arm.paid:
            money = [usd(arm.spent), usd(arm.uncertain), _exact(arm.usd_per_solved)]
        for point in arm.points:
            row = [*who, *counted, point.k, *_numbers(point), *money, arm.repriced_on]
            writer.writerow(row)
    return out.getvalue()


def _numbers(point: CoveragePoint) -> list[str]:
    shares = (point.mean, point.low, point.high, point.low_like, point.high_like)
    flops = "" if point.flops is None else repr(point.flops)
    return [*map(repr, shares), _exact(point.as_bought), _exact(point.at_k), flops]


def to_markdown(report: ReportData) -> str:
    """A readable table: coverage with both intervals, and both prices."""
    lines = [_bar(HEAD), _bar(["---", "---", *["--:"] * (len(HEAD) - 2)])]
    lines += [_bar([_markdown(cell) for cell in row]) for row in _rows(report)]
    said = [_markdown(visible(line)) for line in _repriced(report)]
    return "\n".join(lines + ["", *said] * bool(said)) + "\n"


def to_latex(report: ReportData) -> str:
    """A booktabs tabular of the same rows; needs \\usepackage{booktabs}."""
    lines = [
        *(f"% {visible(line)}".replace("\n", " ") for line in _repriced(report)),
        r"\begin{tabular}{ll" + "r" * (len(HEAD) - 2) + "}",
        r"\toprule",
        " & ".join(map(_latex, HEAD)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_latex, row)) + r" \\" for row in _rows(report)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _repriced(report: ReportData) -> list[str]:
    """What a reader must know of dollars that were not paid."""
    return [f"{arm.label}: {arm.notes[0]}" for arm in report.arms if arm.repriced_on]


HEAD = ("model", "task", "k", "coverage", "these problems", "problems like these", "as bought",
        "k afresh")  # fmt: skip


def _rows(report: ReportData) -> list[list[str]]:
    points = [point for arm in report.arms for point in arm.points]
    dollars = alike(one for point in points for one in (point.as_bought or 0, point.at_k or 0))
    return [
        [
            visible(arm.label),
            visible(arm.task),
            f"{point.k:,}",
            percent(point.mean),
            f"{percent(point.low)} to {percent(point.high)}",
            f"{percent(point.low_like)} to {percent(point.high_like)}",
            "" if point.as_bought is None else dollars(point.as_bought),
            "" if point.at_k is None else dollars(point.at_k),
        ]
        for arm in report.arms
        for point in arm.points
    ]


def _plain(cell: str) -> str:
    """Text that neither a terminal nor a spreadsheet obeys."""
    text = visible(cell).replace("\n", " ")
    return f"'{text}" if text[:1] in "=+-@" else text


def _exact(pico: int | None) -> str:
    return "" if pico is None else usd(pico)


def _bar(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown(cell: str) -> str:
    cell = cell.replace("\n", " ")
    for special in "\\`*_[]<>|$#":
        cell = cell.replace(special, "\\" + special)
    return cell


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def _latex(cell: str) -> str:
    return "".join(_LATEX.get(char, char) for char in cell.replace("\n", " "))
