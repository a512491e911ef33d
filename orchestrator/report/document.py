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
from orchestrator.report.data import ReportData
from orchestrator.report.describe import compared
from orchestrator.report.money import marginal_rows
from orchestrator.report.others import OtherVerdicts
from orchestrator.report.reprice import Repricing
from orchestrator.report.rows import Row
from orchestrator.report.text import dollars, percent, visible


def document(run: str, rows: list[Row], by: Repricing | None = None) -> dict[str, Any]:
    """The report as plain data; money as decimal strings of dollars.

    `by`: the prices by which the rows were counted, if not by the run's own.
    """
    whole: dict[str, Any] = {"run": run, "rows": [_row(row) for row in rows]}
    if by is not None:
        whole["repriced"] = {"on": by.day, "snapshot": by.book.snapshot}
    return whole


def _row(row: Row) -> dict[str, Any]:
    per_solved = row.usd_per_solved
    return {
        "provider": row.provider,
        "model": row.model,
        "task": row.task,
        "policy": row.policy,
        "estimator": row.estimator,
        "verifier": row.verifier,
        "problems": row.problems,
        "samples": row.samples,
        "censored": row.censored,
        "infra_errors": row.infra_errors,
        "solved": row.solved,
        "spent_usd": usd(row.spent),
        "uncertain_usd": usd(row.uncertain),
        "usd_per_solved": None if per_solved is None else usd(per_solved),
        "gpu_hours": row.gpu_hours,
        "coverage": [
            {
                "k": point.k,
                "mean": point.mean,
                "low": point.low,
                "high": point.high,
                "low_like": point.low_like,
                "high_like": point.high_like,
                "usd_as_bought": usd(point.usd_as_bought),
                "usd_at_k": usd(point.usd_at_k),
                "flops": point.flops,
            }
            for point in row.coverage
        ],
        "other_verifiers": [_other(one) for one in row.others],
        "notes": row.notes,
    }


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


def imported(report: ReportData, source: str) -> dict[str, Any]:
    """The same document for outcomes that others recorded: without money."""
    rows = []
    for arm in report.arms:
        names = ("provider", "model", "task", "policy", "estimator", "verifier", "problems",
                 "samples", "censored", "infra_errors", "solved")  # fmt: skip
        shares = ("k", "mean", "low", "high", "low_like", "high_like")
        rows.append(
            {
                **{name: getattr(arm, name) for name in names},
                "spent_usd": None,
                "uncertain_usd": None,
                "usd_per_solved": None,
                "gpu_hours": None,
                "coverage": [
                    {
                        **{name: getattr(point, name) for name in shares},
                        "usd_as_bought": None,
                        "usd_at_k": None,
                        "flops": None,
                    }
                    for point in arm.points
                ],
                "notes": list(arm.notes),
            }
        )
    return {"run": source, "rows": rows}


def add_analysis(
    documents: Sequence[dict[str, Any]], report: ReportData, *, compare: bool = True
) -> None:
    """Put each arm's fits, forecasts, selection and marginal dollars into its row, and the
    comparisons of arms (of all runs, if there are several) into every document.

    `report` holds the same arms in the same order. Without `compare` no arms are compared: where
    which outcome belongs to which problem is not known, no pair of them means anything.
    """
    rows = [row for document in documents for row in document["rows"]]
    for row, arm in zip(rows, report.arms, strict=True):
        row["fits"] = [asdict(fit) for fit in arm.fits]
        row["forecasts"] = [asdict(point) for point in arm.forecasts]
        row["forecast_refused"] = arm.forecast_refused or None
        row["selection"] = [
            {"method": one.method, "k": list(one.ks), "precision": list(one.precision)}
            for one in arm.selection
        ]
        row["marginal_usd_per_solve"] = marginal_rows(arm)
        row["notes"] = list(arm.notes)
    differences = [
        {
            "first": one.first.label, "second": one.second.label, "k": one.k,
            "mean": one.found.mean, "low": one.found.low, "high": one.found.high,
            "problems": one.found.problems, "paired": one.found.paired,
            "separable": one.found.separable, "sentence": one.sentence,
        }
        for one in (compared(report.arms) if compare else ())
    ]  # fmt: skip
    for document in documents:
        document["differences"] = differences


def print_report(console: Console, rows: list[Row]) -> None:
    """One table per arm: coverage at each k with both prices, and the arm's totals."""
    for row in rows:
        table = Table(
            title=Text(
                visible(f"{row.model} ({row.provider}) on {row.task}, policy {row.policy}"),
                style="table.title",
            ),
            box=box.SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
            caption=Text(_caption(row), style="table.caption"),
        )
        for name in ("k", "coverage", "95 % interval", "as bought", "k afresh"):
            table.add_column(name, justify="right")
        for point in row.coverage:
            table.add_row(
                f"{point.k:,}",
                percent(point.mean),
                f"{percent(point.low)} to {percent(point.high)}",
                dollars(point.usd_as_bought),
                dollars(point.usd_at_k),
            )
        console.print(table)
        for note in row.notes:
            console.print(f"  note: {visible(note)}", highlight=False, markup=False)


def _caption(row: Row) -> str:
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
        f"{money}. Estimator: {row.estimator}; the interval is of "
        f"{'these problems' if row.policy == 'uniform' else 'problems like these'}."
    )
    if row.censored or row.infra_errors:
        text += (
            f" {row.censored} samples timed out and {row.infra_errors} could not be bought or "
            "judged: the lower bound counts them as wrong."
        )
    return text
