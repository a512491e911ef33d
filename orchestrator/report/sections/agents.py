"""What agents did: calls, tokens and time of an attempt, and how many were cut short."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.report.data import AgentWork, ReportData, Spread
from orchestrator.report.markup import page_table
from orchestrator.report.sections.base import Section
from orchestrator.report.text import span, visible

TITLE = "What agents did"
HEAD = ("arm", "attempts", "calls", "input tokens", "output tokens", "time")
SAID = "Numbers of one attempt: the median of all, and the most."
SHOWN = 100
"""Characters of an agent's command that are shown."""


def _works(report: ReportData) -> Iterator[tuple[str, AgentWork]]:
    return ((arm.label, arm.agents) for arm in report.arms if arm.agents is not None)


def _document(report: ReportData) -> list[dict[str, Any]]:
    return [{"arm": label, **asdict(work)} for label, work in _works(report)]


def _said(label: str, work: AgentWork) -> str:
    """Which agent it is, where it runs, and what kept attempts from their end."""
    command = work.command if len(work.command) <= SHOWN else f"{work.command[: SHOWN - 3]}..."
    where = f" in {work.image}" if work.image else ""
    short = [f"{count:,} met the cap of the {scope}" for scope, count in work.cut.items()]
    for count, what in (
        (work.timed_out, "ran out of time"),
        (work.own_failures, "ended with an exit code other than 0"),
        (work.begun_anew, "had to be begun anew"),
    ):
        short += [f"{count:,} {what}"] if count else []
    return f"{label}: the agent is {command}{where}; " + (
        ", ".join(short) or "every attempt came to its own end"
    )


def _cells(report: ReportData) -> list[list[str]]:
    def counted(spread: Spread) -> str:
        return f"{spread.median:,.0f}, at most {spread.most:,.0f}"

    return [
        [
            label, f"{work.attempts:,}", counted(work.calls), counted(work.input_tokens),
            counted(work.output_tokens),
            f"{span(work.seconds.median)}, at most {span(work.seconds.most)}",
        ]
        for label, work in _works(report)
    ]  # fmt: skip


def _shown(report: ReportData) -> Iterator[RenderableType]:
    cells = _cells(report)
    if not cells:
        return
    for label, work in _works(report):
        yield Text(visible(_said(label, work)))
    table = Table(*HEAD, title=TITLE, caption=SAID, title_justify="left", box=box.SIMPLE)
    for row in cells:
        table.add_row(*map(visible, row))
    yield table


def _page(report: ReportData) -> str:
    said = ". ".join(_said(label, work) for label, work in _works(report))
    return page_table(TITLE, f"{said}. {SAID}", HEAD, _cells(report))


AGENTS = Section("agents", _document, _shown, _page)
