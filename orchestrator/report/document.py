"""The report as a JSON document and as a table for a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from budgets.money import usd
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
