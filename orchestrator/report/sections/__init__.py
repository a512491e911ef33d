"""What a report says across its arms, one file a section.

A section is told once: to the JSON document under its key, to the terminal as lines or tables,
to the page as markup (escaped by the section itself). A new one is its file and a place in
SECTIONS, in the order in which a person reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from orchestrator.report.data import ReportData


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a report, empty where it has nothing to say."""

    key: str
    document: Callable[[ReportData], Any]
    """Plain data for JSON, money as decimal strings of dollars."""
    shown: Callable[[ReportData], Iterable[RenderableType]]
    """For a terminal."""
    page: Callable[[ReportData], str]
    """For the page, as HTML."""
    leads: bool = False
    """Whether it stands before the arms' own tables."""


def sections() -> tuple[Section, ...]:
    """Every section, in order."""
    from orchestrator.report.sections.audit import AUDIT
    from orchestrator.report.sections.differences import DIFFERENCES
    from orchestrator.report.sections.equal import EQUAL
    from orchestrator.report.sections.refusals import REFUSALS
    from orchestrator.report.sections.split import SPLIT

    return (EQUAL, AUDIT, DIFFERENCES, REFUSALS, SPLIT)
