"""What servers refused or broke off: how often, in their own words, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from orchestrator.report.data import ReportData
from orchestrator.report.markup import page_list
from orchestrator.report.sections.base import Section
from orchestrator.report.text import visible

MOST = 5
"""Refusals of one arm that are shown to a person; documents hold all."""


def _document(report: ReportData) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm.label, "kind": one.kind, "plain": one.plain, "count": one.count,
            "said": one.said, "to_do": one.to_do,
        }
        for arm in report.arms
        for one in arm.refusals
    ]  # fmt: skip


def _lines(report: ReportData) -> list[str]:
    return [f"{arm.label}: {one.sentence()}" for arm in report.arms for one in arm.refusals[:MOST]]


def _shown(report: ReportData) -> Iterator[Text]:
    for line in _lines(report):
        yield Text(visible(line))


def _page(report: ReportData) -> str:
    return page_list("What servers refused or broke off", _lines(report))


REFUSALS = Section("refusals", _document, _shown, _page)
