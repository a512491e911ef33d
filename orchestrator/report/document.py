"""The report as a JSON document and as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from budgets.money import usd
from orchestrator.report.data import ArmReport, OtherVerdicts, ReportData
from orchestrator.report.marginal import marginal_rows
from orchestrator.report.reprice import Repricing
from orchestrator.report.sections import SECTIONS
from orchestrator.report.text import alike, dollars, percent, visible


def document(
    run: str, arms: Sequence[ArmReport], by: Repricing | None = None, *, whole: bool = False
) -> dict[str, Any]:
    """One run's arms as plain data; money as decimal strings of dollars.

    `by`: the prices by which they were counted, if not by the run's own. `whole`: with the fits,
    forecasts, selection and marginal dollars, which take longer than a run's end should.
    """
    rows = [{**_row(arm), **(_analysis(arm) if whole else {})} for arm in arms]
    found: dict[str, Any] = {"run": run, "rows": rows}
    if by is not None:
        found["repriced"] = {"on": by.day, "snapshot": by.book.snapshot}
    return found


def _row(arm: ArmReport) -> dict[str, Any]:
    return {
        "provider": arm.provider,
        "model": arm.model,
        "task": arm.task,
        "policy": arm.policy,
        "estimator": arm.estimated_by,
        "verifier": arm.verifier,
        "problems": arm.problems,
        "asked": arm.asked,
        "samples": arm.samples,
        "censored": arm.censored,
        "infra_errors": arm.infra_errors,
        "solved": arm.solved,
        "spent_usd": usd(arm.spent) if arm.paid else None,
        "uncertain_usd": usd(arm.uncertain) if arm.paid else None,
        "usd_per_solved": usd_or_none(arm.usd_per_solved) if arm.paid else None,
        "gpu_hours": arm.gpu_hours,
        "coverage": [
            {
                "k": point.k,
                "mean": point.mean,
                "low": point.low,
                "high": point.high,
                "low_like": point.low_like,
                "high_like": point.high_like,
                "usd_as_bought": usd_or_none(point.as_bought),
                "usd_at_k": usd_or_none(point.at_k),
                "flops": point.flops,
            }
            for point in arm.points
        ],
        "refusals": [
            {"kind": one.kind, "count": one.count, "said": one.said, "to_do": one.to_do}
            for one in arm.refusals
        ],
        "other_verifiers": [_other(one) for one in arm.others],
        "notes": list(arm.notes),
    }


def _analysis(arm: ArmReport) -> dict[str, Any]:
    return {
        "fits": [asdict(fit) for fit in arm.fits],
        "forecasts": [asdict(point) for point in arm.forecasts],
        "forecast_refused": arm.forecast_refused or None,
        "selection": [
            {"method": one.method, "k": list(one.ks), "precision": list(one.precision)}
            for one in arm.selection
        ],
        "marginal_usd_per_solve": marginal_rows(arm),
    }


def usd_or_none(pico: int | None) -> str | None:
    return None if pico is None else usd(pico)


def _other(other: OtherVerdicts) -> dict[str, Any]:
    return {
        "verifier": other.verifier,
        "judged": other.judged,
        "passed": other.passed,
        "solved": other.solved,
        "precision_of_run": other.against_run.precision,
        "recall_of_run": other.against_run.recall,
        "coverage": [{"k": k, "mean": mean} for k, mean in other.coverage],
    }


def add_sections(documents: Sequence[dict[str, Any]], report: ReportData) -> None:
    """Put what is said across the arms of all runs into every document."""
    said = {section.key: section.document(report) for section in SECTIONS}
    for document in documents:
        document.update(said)


MOST_NOTES = 3
"""Notes of an arm that are told a person who does not ask for all of them."""

DOLLARS = (
    "As bought: what this run cost until every problem had k attempts; requests buy several "
    "at a time, so small k cost what whole requests do. k afresh: what k new attempts at every "
    "problem would cost."
)


def print_arms(console: Console, arms: Sequence[ArmReport], *, verbose: bool = False) -> None:
    """Of each arm what it reached, a table of coverage at each k with both prices, its totals.

    Its first notes, or with `verbose` all of them.
    """
    for row in arms:
        console.print()
        if said := reached(row):
            console.print(Text(visible(said), style="bold"))
        priced = any(point.as_bought or point.at_k for point in row.points)
        shown = alike(
            amount for point in row.points for amount in (point.as_bought or 0, point.at_k or 0)
        )
        table = Table(
            title=Text(
                visible(_title(row)),
                style="table.title",
            ),
            box=box.SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
            caption=Text(_caption(row), style="table.caption"),
        )
        for name in ("k", "coverage", "95 % interval", *(("as bought", "k afresh") * priced)):
            table.add_column(name, justify="right")
        for point in row.points:
            table.add_row(
                f"{point.k:,}",
                percent(point.mean),
                f"{percent(point.low)} to {percent(point.high)}",
                *((shown(point.as_bought or 0), shown(point.at_k or 0)) if priced else ()),
            )
        console.print(table)
        for note in row.notes if verbose else row.notes[:MOST_NOTES]:
            console.print(f"  note: {visible(note)}", highlight=False, markup=False)
        if (left := len(row.notes) - MOST_NOTES) > 0 and not verbose:
            console.print(f"  {left} more notes: orch report RUN --verbose", style="dim")


def print_dollars(console: Console, arms: Sequence[ArmReport]) -> None:
    """What the two prices of a table are, below the last of them."""
    if any(point.as_bought or point.at_k for arm in arms for point in arm.points):
        console.print(Text(DOLLARS, style="dim"))


def reached(row: ArmReport) -> str:
    """What an arm reached, in a sentence; empty without coverage."""
    if not row.points:
        return ""
    first, last = row.points[0], row.points[-1]
    of = f"{row.problems} problems"
    if row.asked < row.problems:
        of = f"the {row.asked} problems asked"
    said = f"{row.label} solves {percent(last.mean)} of {of} within {_attempts(last.k)} each"
    if row.spent:
        said += f", for {dollars(row.spent)}"
    return said + (f"; one attempt solves {percent(first.mean)}." if last.k > 1 else ".")


def _attempts(k: int) -> str:
    return f"{k:,} attempts" if k > 1 else "one attempt"


def _title(row: ArmReport) -> str:
    partly = f"; {row.asked} of {row.problems} problems" if 0 < row.asked < row.problems else ""
    return f"{row.label} ({row.provider}) on {row.task}, policy {row.policy}{partly}"


def _caption(row: ArmReport) -> str:
    per_solved = row.usd_per_solved
    how = f"at the prices of {row.repriced_on}" if row.repriced_on else "spent"
    money = f"{dollars(row.spent)} {how}"
    if row.uncertain:
        money += f" and {dollars(row.uncertain)} uncertain"
    if per_solved is not None:
        money += f", {dollars(per_solved)} per solved problem"
    if row.gpu_hours is not None:
        money += f", {row.gpu_hours:.3g} GPU-hours"
    text = (
        f"{row.solved} of {row.problems} problems solved with {row.samples:,} judged samples; "
        f"{money}. Estimator: {row.estimated_by}; the interval is of "
        f"{'these problems' if row.uniform else 'problems like these'}."
    )
    if row.censored or row.infra_errors:
        text += (
            f" {row.censored} samples were cut (timed out, broken off by the server, or by a "
            f"budget) and {row.infra_errors} could not be bought or "
            "judged: the lower bound counts them as wrong."
        )
    return text
