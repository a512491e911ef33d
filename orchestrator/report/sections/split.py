"""How a budget that a person named is best split over arms on the same problems."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from orchestrator.report.data import ReportData
from orchestrator.report.markup import page_list
from orchestrator.report.money import best_split
from orchestrator.report.sections import Section
from orchestrator.report.text import visible


def _document(report: ReportData) -> str | None:
    return None if report.split is None else best_split(report.arms, report.split)


def _shown(report: ReportData) -> Iterator[Text]:
    said = _document(report)
    if said is not None:
        yield Text(visible(said))


def _page(report: ReportData) -> str:
    said = _document(report)
    return "" if said is None else page_list("The best split of a budget", (said,))


SPLIT = Section("split", _document, _shown, _page)
