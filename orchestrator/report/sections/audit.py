"""What rests on one rule alone: the audit of what was accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from orchestrator.report.data import Audit, ReportData
from orchestrator.report.markup import page_table
from orchestrator.report.sections.base import Section
from orchestrator.report.text import visible

TITLE = "Accepted samples to look at first"


def _rows(audit: Audit) -> list[tuple[str, str, str, str]]:
    return [
        (f"{one.problem} #{one.slot}", one.why, one.expected, one.text) for one in audit.suspects
    ]


def _document(report: ReportData) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm.label, "rule": arm.audit.rule or None, "accepted": arm.audit.accepted,
            "doubted": arm.audit.doubted, "not_audited": arm.audit.waiting,
            "solved": arm.audit.solved, "fragile": arm.audit.fragile, "single": arm.audit.single,
            "lower_bound": [{"k": k, "coverage": share} for k, share in arm.audit.lower],
            "suspects": [
                {
                    "problem": one.problem, "slot": one.slot, "why": one.why,
                    "accepted_of_problem": one.accepted, "expected": one.expected,
                    "text": one.text,
                }
                for one in arm.audit.suspects
            ],
        }
        for arm in report.arms
        if arm.audit is not None
    ]  # fmt: skip


def _shown(report: ReportData) -> Iterator[Text]:
    for arm in report.arms:
        if arm.audit is None or not arm.audit.suspects:
            continue
        yield Text(visible(f"{arm.label}: accepted samples to look at first"))
        for place, why, expected, text in _rows(arm.audit):
            against = f" (expected {expected})" if expected else ""
            yield Text(visible(f"  {place}: {why}{against}: {text}"))


def _page(report: ReportData) -> str:
    rows = [row for arm in report.arms if arm.audit for row in _rows(arm.audit)]
    return page_table(TITLE, "", ("sample", "why", "expected", "its text"), rows)


AUDIT = Section("audit", _document, _shown, _page)
