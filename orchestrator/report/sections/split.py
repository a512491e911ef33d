"""How a budget that a person named is best split over arms on the same problems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from budgets.money import usd
from orchestrator.report.data import ReportData
from orchestrator.report.marginal import ArmsSplit, best_split
from orchestrator.report.markup import page_list
from orchestrator.report.sections.base import Section
from orchestrator.report.text import visible


def _split(report: ReportData) -> ArmsSplit | None:
    return None if report.split is None else best_split(report.arms, report.split)


def _document(report: ReportData) -> dict[str, Any] | None:
    split = _split(report)
    if split is None:
        return None
    found = split.found
    return {
        "budget_usd": usd(split.budget),
        "sentence": split.sentence,
        "attempts": {}
        if found is None
        else {arm.label: k for k, arm in zip(found.attempts, split.arms, strict=True)},
        "usd": None if found is None else usd(found.cost),
        "coverage": None if found is None else found.coverage,
        "low": None if found is None else found.low,
        "high": None if found is None else found.high,
    }


def _shown(report: ReportData) -> Iterator[Text]:
    split = _split(report)
    if split is not None:
        yield Text(visible(split.sentence))


def _page(report: ReportData) -> str:
    split = _split(report)
    return "" if split is None else page_list("The best split of a budget", (split.sentence,))


SPLIT = Section("split", _document, _shown, _page)
