"""How the arms compare at a k that both have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from orchestrator.report.data import ReportData
from orchestrator.report.describe import compared
from orchestrator.report.markup import page_list
from orchestrator.report.sections.base import Section
from orchestrator.report.text import visible


def _document(report: ReportData) -> list[dict[str, Any]]:
    return [
        {
            "first": one.first.label, "second": one.second.label, "k": one.k,
            "mean": one.found.mean, "low": one.found.low, "high": one.found.high,
            "problems": one.found.problems, "paired": one.found.paired,
            "separable": one.found.separable, "sentence": one.sentence,
        }
        for one in compared(report.arms)
    ]  # fmt: skip


def _shown(report: ReportData) -> Iterator[Text]:
    for sentence in report.sentences:
        yield Text(visible(sentence))


def _page(report: ReportData) -> str:
    return page_list("How the arms compare", report.sentences)


DIFFERENCES = Section("differences", _document, _shown, _page)
