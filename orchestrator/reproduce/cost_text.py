"""The cost table for a person and as a document: ours beside the published figures."""

from __future__ import annotations

from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from budgets.money import usd
from orchestrator.report.collect import collect
from orchestrator.report.document import document, usd_or_none
from orchestrator.report.text import dollars, say
from orchestrator.reproduce.cost_table import CostTable, Overtaken, TableRow

SAID = (
    "Outcomes are replayed from published statistics, without replacement; which problem has "
    "which outcome was not published. Dollars follow from token bills and dated prices: they "
    "check that the published figures fit together, and are no new measurement."
)


def to_document(table: CostTable, whole_run: CostTable | None = None) -> dict[str, Any]:
    """The schema of `orch report --json`, one row per model, and what is compared beside it.

    `whole_run`: the same study with every recorded attempt, for the curve and what needs it.
    """
    curve = whole_run or table
    places = {arm.model: arm for arm in collect([table.directory]).arms}
    arms = [places[row.row.model] for row in table.rows]
    whole = document(str(table.directory), arms, whole=True)
    # Which outcome belongs to which problem is not known, so no pair of them means anything.
    whole["differences"] = []
    whole["reproduction"] = {
        "of": table.published.paper.title,
        "source": table.published.paper.source,
        "prices_of": table.published.paper.date.isoformat(),
        "remark": SAID,
        "table": [_row(table, row) for row in table.rows],
        "inputs": _inputs(table),
        "marginal_usd_per_solve": [
            {
                "k_from": part.k_from, "k_to": part.k_to, "usd": usd_or_none(part.per_solve),
                "low_usd": usd_or_none(part.low), "high_usd": usd_or_none(part.high),
            }
            for part in curve.marginals
        ],
        "overtaken": [
            {"model": one.model, "at_k": one.estimated, "separable_from_k": one.separable}
            for one in curve.overtaken
        ],
        "differences": [
            {
                "minus": name, "mean": found.mean, "low": found.low, "high": found.high,
                "separable": found.separable,
            }
            for name, found in table.differences
        ],
        "curve": [
            {"k": k, "percent": ours, "published_percent": theirs}
            for k, ours, theirs in curve.curve
        ],
    }  # fmt: skip
    return whole


def _row(table: CostTable, row: TableRow) -> dict[str, Any]:
    theirs = row.model.published
    return {
        "model": row.model.name,
        "attempts": row.point.k,
        "usd_per_attempt": usd(row.per_attempt),
        "solved_percent": 100 * row.point.mean,
        "low_percent": 100 * row.point.low_like,
        "high_percent": 100 * row.point.high_like,
        "total_usd": usd(row.spent),
        "relative": table.relative(row),
        "total_usd_today": usd_or_none(row.today),
        "published": {
            "usd_per_attempt": theirs.usd_per_attempt,
            "solved_percent": theirs.solved_percent,
            "total_usd": theirs.total_usd,
        },
    }


def _inputs(table: CostTable) -> list[dict[str, Any]]:
    found = []
    for row in table.rows:
        model = row.model
        found += [
            {"model": model.name, "input": "outcomes", "mark": model.outcomes_mark,
             "source": model.outcomes_source},
            {"model": model.name, "input": f"{model.prompt_tokens:,} prompt and "
             f"{model.output_tokens:,} completion tokens per attempt",
             "mark": model.tokens_mark, "source": model.tokens_source},
            {"model": model.name, "input": f"price of {model.priced_as}", "mark": "published",
             "source": f"its maker's price list on {table.published.paper.date}"},
        ]  # fmt: skip
    return found


def print_cost_table(
    console: Console, table: CostTable, whole_run: CostTable | None = None
) -> None:
    """The table, its inputs with their marks, and what nobody printed."""
    curve = whole_run or table
    paper = table.published.paper
    shown = Table(
        title=f"SWE-bench Lite, {paper.problems} problems, prices of {paper.date}: "
        "ours (published)",
        box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0),
    )  # fmt: skip
    for name in ("model", "$ each", "attempts", "solved %", "95 %", "total $", "relative",
                 "today"):  # fmt: skip
        # Published figures have a line of their own, so that none is cut short in 80 columns.
        side: Literal["left", "right"] = "left" if name == "model" else "right"
        shown.add_column(name, justify=side, overflow="fold")
    for row in table.rows:
        theirs = row.model.published
        relative = float(theirs.total_usd) / float(table.rows[0].model.published.total_usd)
        today = "no price" if row.today is None else dollars(row.today)
        shown.add_row(
            row.model.name,
            f"{dollars(row.per_attempt)}\n(${theirs.usd_per_attempt})",
            f"{row.point.k}",
            f"{100 * row.point.mean:.2f}\n({theirs.solved_percent:.2f})",
            f"{100 * row.point.low_like:.1f} to {100 * row.point.high_like:.1f}",
            f"{dollars(row.spent)}\n(${theirs.total_usd})",
            f"{table.relative(row):.1f}x\n({relative:.1f}x)",
            today,
        )
    console.print(shown)
    for row in table.rows:
        if row.today_note:
            say(console, f"{row.model.name} is priced today {row.today_note}.")
    say(console, SAID)
    if len(curve.curve) > 3:
        console.print(_curve(curve))
    if curve.marginals:
        console.print(_marginals(curve))
    first = table.rows[0].model.name
    for one in curve.overtaken:
        say(console, _overtaken(first, one, curve.rows[0].point.k))
    if said := _one_draw(table, curve):
        say(console, said)
    for name, found in table.differences:
        k = table.rows[0].point.k
        say(console, found.sentence(f"{first} at {k} attempts", f"{name} at one"))
    say(console, "Inputs:")
    for item in _inputs(table):
        source = " ".join(item["source"].split())
        say(console, f"  {item['mark']:9}  {item['model']}, {item['input']}: {source}")


def _overtaken(first: str, one: Overtaken, most: int) -> str:
    if one.separable is None:
        said = f"{first} is not separable from one attempt of {one.model} up to k = {most}"
    else:
        said = f"{first} covers more than one attempt of {one.model} from k = {one.separable} on"
    if one.estimated is not None:
        said += f"; its estimate is higher from k = {one.estimated} on"
    return f"{said}."


def _one_draw(table: CostTable, curve: CostTable) -> str:
    """Why the table's row and the curve differ at the same k."""
    row = table.rows[0]
    same = [ours for k, ours, _ in curve.curve if k == row.point.k]
    if curve is table or not same:
        return ""
    recorded = row.model.recorded
    return (
        f"The table's {100 * row.point.mean:.2f} % of {row.model.name} is one draw of "
        f"{row.point.k} of its {recorded} recorded attempts; all {recorded} give "
        f"{same[0]:.2f} % at k = {row.point.k}."
    )


def _curve(table: CostTable) -> Table:
    shown = Table(title=f"Coverage of {table.rows[0].model.name}", box=box.SIMPLE_HEAD,
                  title_justify="left")  # fmt: skip
    for name in ("k", "ours %", "published %"):
        shown.add_column(name, justify="right")
    for k, ours, theirs in table.curve:
        shown.add_row(f"{k:,}", f"{ours:.2f}", f"{theirs:.2f}")
    return shown


def _marginals(table: CostTable) -> Table:
    shown = Table(title="Dollars per further solved problem", box=box.SIMPLE_HEAD,
                  title_justify="left")  # fmt: skip
    for name in ("from k", "to k", "per solve", "95 % interval"):
        shown.add_column(name, justify="right")
    for part in table.marginals:
        high = "no bound" if part.high is None else dollars(part.high)
        shown.add_row(
            str(part.k_from), str(part.k_to),
            "-" if part.per_solve is None else dollars(part.per_solve),
            "-" if part.low is None else f"{dollars(part.low)} to {high}",
        )  # fmt: skip
    return shown
