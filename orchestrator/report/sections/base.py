"""What one section of a report is: told once, in data, on a terminal and on the page."""

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
    aside: bool = False
    """Whether a terminal shows it only to who asks for all notes."""
