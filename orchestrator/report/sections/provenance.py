"""Where every number comes from: when, what answered, how it was asked, by which prices and cap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from orchestrator.report.data import ArmReport, ReportData
from orchestrator.report.markup import page_table
from orchestrator.report.sections.base import Section
from orchestrator.report.text import visible

HEAD = ("arm", "bought", "answered as", "asked with", "prices", "verifier", "failures", "orch")
SAID = "Where the numbers come from."


def facts(arm: ArmReport) -> dict[str, str]:
    """What is known of an arm's origin, by the columns of HEAD."""
    known = arm.settings
    # Of an agent's calls only the length is ours.
    chosen = ("temperature", "top_p", "max_tokens", "n_per_request", "seed")
    asked = [
        f"{name.replace('_', ' ')} {known[name]}"
        for name in (("max_tokens",) if arm.agents else chosen)
        if known.get(name) is not None
    ]
    version = known.get("verifier_version")
    return {
        "arm": arm.label,
        "bought": str(known.get("bought") or "not recorded"),
        "answered as": ", ".join(known.get("answered_as") or ()) or "not recorded",
        "asked with": ", ".join(asked) or "not recorded",
        "prices": _prices(arm),
        "verifier": f"{arm.verifier} {version}" if version else arm.verifier or "not recorded",
        "failures": ", ".join(f"{n} {kind}" for kind, n in (known.get("failures") or {}).items())
        or "none",
        "orch": str(known.get("orch") or "not recorded"),
    }


def _prices(arm: ArmReport) -> str:
    if arm.repriced_on:
        return f"of {arm.repriced_on}, not what was paid"
    said = str(arm.settings.get("price_source") or "not recorded")
    cap = arm.settings.get("budget_usd")
    return f"{said}; cap ${cap}" if cap else f"{said}; no cap" if arm.paid else said


def _document(report: ReportData) -> list[dict[str, Any]]:
    return [{**arm.settings, **facts(arm)} for arm in report.arms]


def _shown(report: ReportData) -> Iterator[Text]:
    for arm in report.arms:
        known = facts(arm)
        said = "; ".join(f"{name} {known[name]}" for name in HEAD[1:] if known[name] != "none")
        yield Text(visible(f"{known['arm']}: {said}.").replace("\n", " "), style="dim")


def _page(report: ReportData) -> str:
    rows = [[facts(arm)[name] for name in HEAD] for arm in report.arms]
    return page_table("Provenance", SAID, HEAD, rows)


PROVENANCE = Section("provenance", _document, _shown, _page)
