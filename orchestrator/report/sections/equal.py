"""The decision: who covers more for the same money, in a sentence and in one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from budgets.money import usd
from orchestrator.analysis.compare import FEW
from orchestrator.report.data import ReportData
from orchestrator.report.equal import CoverageAtBudget, Equal, Line, at_equal_cost
from orchestrator.report.markup import page_table
from orchestrator.report.sections.base import Section
from orchestrator.report.text import alike, dollars, percent, visible

READ = (
    "For each budget, what every arm covers with as many attempts at each problem as it buys; "
    "intervals are 95 %, for problems like these, and corrected where several pairs are compared."
)


def decision(report: ReportData) -> list[str]:
    """The report's answer, a sentence for each task; empty for fewer than two arms."""
    return [_sentence(one, one.decision) for one in at_equal_cost(report.arms)]


def _sentence(equal: Equal, line: Line) -> str:
    named = [
        f"{arm.label} ({_attempts(one)}) {percent(one.mean)}"
        for arm, one in zip(equal.arms, line.arms, strict=True)
        if one.k
    ]
    best = equal.arms[line.best].label
    said = f"For {_cost(equal, line.budget)} per {equal.problems} problems: {', '.join(named)}"
    others = [i for i in range(len(equal.arms)) if i != line.best]
    against = [(i, found) for i in others if (found := line.against(i)) is not None]
    if len(equal.arms) == 2:
        verdict = [f"{found.points}{_verdict(found.separable, best)}" for _, found in against]
    else:
        verdict = [
            f"{best} against {equal.arms[i].label} {found.points}"
            f"{'' if found.separable else ', not separable'}"
            for i, found in against
        ]
    few = (
        f" (on fewer than {FEW} problems the interval is wider than it need be)"
        if equal.problems < FEW
        else ""
    )
    return f"{said}: {'; '.join(verdict)}{few}." if verdict else f"{said}."


def _verdict(separable: bool, best: str) -> str:
    return f", so {best} covers more" if separable else ", so they are not separable"


def _overtaken(equal: Equal) -> list[str]:
    said = []
    for one in equal.overtakings:
        if one.high == float("inf"):
            # It may never overtake, as far as both go: that is no claim for a sentence.
            continue
        first, second = equal.arms[one.first].label, equal.arms[one.second].label
        said.append(
            f"From {_cost(equal, one.budget)} on (k = {one.k:,}) {first} covers more than {second} "
            f"(95 % interval {_cost(equal, one.low)} to {_cost(equal, one.high)})."
        )
    return said


def _attempts(one: CoverageAtBudget) -> str:
    return f"k = {one.k:,}{', all it has' if one.ended else ''}"


def _cost(equal: Equal, amount: float) -> str:
    if equal.unit == "dollars":
        return dollars(round(amount))
    if equal.unit == "GPU-hours":
        return f"{amount:.3g} GPU-hours"
    return f"{amount:.3g} operations"


def _cell(one: CoverageAtBudget) -> str:
    if not one.k:
        return "-"
    return f"{percent(one.mean)} ({100 * one.low:.0f} to {100 * one.high:.0f})\n{_attempts(one)}"


def _gap(equal: Equal, line: Line) -> str:
    """The best arm against the next best."""
    others = sorted(
        (i for i in range(len(line.arms)) if i != line.best and line.arms[i].k),
        key=lambda i: -line.arms[i].mean,
    )
    found = line.against(others[0]) if others else None
    if found is None:
        return ""
    against = "" if len(equal.arms) == 2 else f" over {equal.arms[others[0]].label}"
    ahead = equal.arms[line.best].label if found.separable else "not separable"
    return f"{ahead}{against if found.separable else ''}\n{found.points}"


def _table(equal: Equal) -> tuple[list[str], list[list[str]]]:
    head = [equal.unit, *(arm.label for arm in equal.arms), "who covers more"]
    shown = alike(round(line.budget) for line in equal.lines)
    rows = [
        [
            shown(round(line.budget)) if equal.unit == "dollars" else _cost(equal, line.budget),
            *map(_cell, line.arms),
            _gap(equal, line),
        ]
        for line in equal.lines
    ]
    return head, rows


def _shown(report: ReportData) -> Iterator[RenderableType]:
    for equal in at_equal_cost(report.arms):
        yield Text(visible(_sentence(equal, equal.decision)), style="bold")
        yield from (Text(visible(said)) for said in _overtaken(equal))
        head, rows = _table(equal)
        table = Table(
            title=Text(f"At equal {equal.unit}, {visible(equal.task)}, {equal.problems} problems"),
            box=box.SIMPLE_HEAD, title_justify="left", caption=Text(READ), caption_justify="left",
        )  # fmt: skip
        for number, name in enumerate(head):
            table.add_column(
                visible(name), justify="left" if number else "right", no_wrap=not number
            )
        for row in rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        yield table


def _page(report: ReportData) -> str:
    found = []
    for equal in at_equal_cost(report.arms):
        said = " ".join([READ, *_overtaken(equal)])
        found.append(page_table(f"At equal {equal.unit}: {equal.task}", said, *_table(equal)))
    return "".join(found)


def _document(report: ReportData) -> list[dict[str, Any]]:
    return [_plain(equal) for equal in at_equal_cost(report.arms)]


def _plain(equal: Equal) -> dict[str, Any]:
    def cost(amount: float) -> str | float | None:
        if amount == float("inf"):
            return None
        return usd(round(amount)) if equal.unit == "dollars" else amount

    def line(one: Line) -> dict[str, Any]:
        return {
            "budget": cost(one.budget),
            "arms": [
                {"arm": arm.label, "k": at.k, "cost": cost(at.cost), "mean": at.mean,
                 "low_like": at.low, "high_like": at.high, "all_attempts": at.ended}
                for arm, at in zip(equal.arms, one.arms, strict=True) if at.k
            ],
            "differences": [
                {"first": equal.arms[pair.first].label, "second": equal.arms[pair.second].label,
                 "mean": pair.found.mean, "low": pair.found.low, "high": pair.found.high,
                 "separable": pair.found.separable, "paired": pair.found.paired,
                 "level": pair.found.level}
                for pair in one.pairs
            ],
        }  # fmt: skip

    return {
        "task": equal.task, "unit": equal.unit, "problems": equal.problems,
        "sentence": _sentence(equal, equal.decision),
        "decision": line(equal.decision),
        "budgets": [line(one) for one in equal.lines],
        "overtakings": [
            {"first": equal.arms[one.first].label, "second": equal.arms[one.second].label,
             "from": cost(one.budget), "k": one.k, "low": cost(one.low), "high": cost(one.high)}
            for one in equal.overtakings
        ],
    }  # fmt: skip


EQUAL = Section("equal", _document, _shown, _page, leads=True)
