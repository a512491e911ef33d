"""orch budget: Where a run's money is; `resolve` clears up what is uncertain."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option, out_option

if TYPE_CHECKING:
    from budgets.ledger import Ledger
    from budgets.totals import Uncertain
    from orchestrator.audit.bill import BillRow
    from orchestrator.store.store import RunStore

SHOWN = 20


class ShowOrResolve(click.Group):
    """`orch budget RUN` shows; `orch budget resolve RUN` resolves."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=ShowOrResolve)
def budget() -> None:
    """What a run settled, holds as uncertain, has reserved, and has left.

    `orch budget RUN` shows it; `orch budget resolve RUN` settles what is uncertain against the
    provider's own bill; `orch budget accept RUN` lets a run go on after a bill above its bound.
    """


@budget.command()
@click.argument("run")
@out_option
@click.option("--all", "everything", is_flag=True, help="Every uncertain request, not only 20.")
@json_option
def show(run: str, out: Path, everything: bool, as_json: bool) -> None:
    """Settled, uncertain (why, and which requests), reserved and free money of RUN."""
    from budgets.ledger import Ledger
    from orchestrator.store.reader import RunReader, find_run

    directory = find_run(run, out)
    with closing(RunReader(directory)) as reader:
        ledger = Ledger.read(reader.events())
    if as_json:
        click.echo(json.dumps(_document(directory, ledger), indent=2))
        return
    for line in _lines(directory, ledger, None if everything else SHOWN):
        click.echo(line)


@budget.command()
@click.argument("run")
@out_option
@click.option(
    "--from",
    "export",
    type=click.Path(path_type=Path),
    metavar="EXPORT.csv",
    help="The provider's own export: a cost per row, better with request ids.",
)
@click.option("--usd", metavar="X", help="The provider's whole bill for this run, in dollars.")
@click.option(
    "--scope",
    default="run",
    show_default=True,
    help="Only this part of the run, such as arm:0, if the bill is only for that.",
)
@click.option(
    "--above-bound",
    is_flag=True,
    help="Charge the bill even where it is above every declared bound.",
)
def resolve(
    run: str, out: Path, export: Path | None, usd: str | None, scope: str, above_bound: bool
) -> None:
    """Settle the uncertain requests of RUN by the provider's own bill; kept in the journal."""
    from orchestrator.audit.bill import BillRow, read_export
    from orchestrator.errors import ConfigError
    from orchestrator.plan.dollars import amount
    from orchestrator.store.reader import find_run

    if (export is None) == (usd is None):
        raise ConfigError("Give the provider's bill either with --from EXPORT.csv or with --usd X.")
    directory = find_run(run, out)
    if export is not None:
        rows, source = read_export(export), export.name
    else:
        rows = [BillRow("", amount(usd or "", "--usd", zero=True))]
        source = f"--usd {usd}"
    for line in asyncio.run(_resolve(directory, rows, scope, source, above_bound)):
        click.echo(line)


@budget.command()
@click.argument("run")
@out_option
@click.option("--why", required=True, help="What was found out about the bill; kept in the run.")
def accept(run: str, out: Path, why: str) -> None:
    """Let RUN send again after a bill above its bound; put its price or limit right first."""
    from orchestrator.store.reader import find_run

    click.echo(asyncio.run(_accept(find_run(run, out), why)))


@asynccontextmanager
async def _opened(directory: Path) -> AsyncIterator[tuple[RunStore, Ledger]]:
    """The run's store and ledger for writing, held by this process alone."""
    from budgets.clock import mark
    from budgets.ledger import Ledger
    from budgets.meter import count_gaps
    from orchestrator.store.held import held_store

    async with held_store(directory) as store:
        ledger = Ledger.open(store, {})
        count_gaps(ledger, time.time(), mark())
        yield store, ledger
        await store.durable()


async def _accept(directory: Path, why: str) -> str:
    async with _opened(directory) as (_, ledger):
        fault = ledger.fault
        ledger.accept_fault(why)
    if fault is None:
        return f"{directory} has no fault; there is nothing to accept."
    return f"Accepted: {fault}. Go on with: orch run --resume {directory}"


async def _resolve(
    directory: Path, rows: Sequence[BillRow], scope: str, source: str, above_bound: bool
) -> list[str]:
    from budgets.money import usd
    from orchestrator.audit.bill import resolutions
    from orchestrator.audit.bill import resolve as enter
    from orchestrator.errors import ConfigError
    from orchestrator.store.reader import RunReader

    async with _opened(directory) as (store, ledger):
        known = ledger.scopes()
        if scope not in known:
            raise ConfigError(f"--scope {scope!a} is no part of this run; it has "
                              f"{', '.join(known)}.")  # fmt: skip
        with closing(RunReader(directory)) as reader:
            answered = reader.answers_by_provider_id()
            cleared = reader.cleared_without_answer(scope)
            if any(batch.state != "lost" for batch in reader.open_batches()):
                raise ConfigError(
                    "A batch of this run may still be at its provider, and what it costs is not "
                    f"on the bill yet; fetch it first with: orch run --resume {directory}"
                )
        before = ledger.totals(scope)
        uncertain = [item for item in ledger.uncertain() if scope in item.scopes]
        found = resolutions(
            rows, uncertain, before, answered, cleared_before=cleared, above_bound=above_bound
        )
        enter(ledger, found, f"resolved by {source}")
        for item in found:
            if item.request is not None:
                store.put_cost(item.request, item.actual)
    after = ledger.totals(scope)
    lines = [
        f"{len(found)} uncertain requests held ${usd(before.uncertain)}; the bill leaves "
        f"${usd(after.settled - before.settled)} for them.",
        f"Given back: ${usd(before.uncertain - (after.settled - before.settled))}.",
    ]
    return lines + _lines(directory, ledger, SHOWN)


def _lines(directory: Path, ledger: Ledger, most: int | None) -> list[str]:
    from budgets.money import usd

    lines = [f"Run: {directory}"]
    rows = [("", "settled", "uncertain", "reserved", "cap", "free")]
    for scope in ledger.scopes():
        totals = ledger.totals(scope)
        rows.append(
            (
                scope,
                usd(totals.settled),
                usd(totals.uncertain),
                usd(totals.reserved),
                "none" if totals.cap is None else usd(totals.cap),
                "" if totals.free is None else usd(totals.free),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        first, *money = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([row[0].ljust(len(first)), *money]))
    if ledger.fault is not None:
        lines.append(f"Fault: {ledger.fault}.")
    if ledger.open_reservations:
        lines.append(
            f"{ledger.open_reservations} requests are under way, or were when the run was killed: "
            "then they become uncertain when it is resumed or resolved."
        )
    # What is priced by its server's time alone was held at nothing.
    uncertain = [item for item in ledger.uncertain() if item.amount]
    if not uncertain:
        return lines
    what = "amounts" if any(item.time for item in uncertain) else "requests"
    lines.append(f"Uncertain: {len(uncertain)} {what} that may have been billed.")
    reasons: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for item in uncertain:
        reasons[item.note] += 1
        sums[item.note] += item.amount
    for note, number in reasons.most_common(most):
        lines.append(f"  {number} x {note}: ${usd(sums[note])}")
    for item in uncertain[:most]:
        lines.append(f"    {_name(item)}: ${usd(item.amount)}")
    if most is not None and len(uncertain) > most:
        lines.append(f"    ... and {len(uncertain) - most} more (--all shows them)")
    lines.append(
        "Clear them up with the provider's own bill: orch budget resolve RUN --from EXPORT.csv, "
        "or --usd with its total for this run."
    )
    return lines


def _name(item: Uncertain) -> str:
    """What an uncertain amount was for."""
    from budgets.meter import time_of

    if item.time is not None:
        return time_of(item.time)
    return item.purpose or f"reservation {item.reservation}"


def _document(directory: Path, ledger: Ledger) -> dict[str, Any]:
    from budgets.money import usd

    scopes = []
    for scope in ledger.scopes():
        totals = ledger.totals(scope)
        scopes.append(
            {
                "scope": scope,
                "settled_usd": usd(totals.settled),
                "uncertain_usd": usd(totals.uncertain),
                "reserved_usd": usd(totals.reserved),
                "cap_usd": None if totals.cap is None else usd(totals.cap),
                "free_usd": None if totals.free is None else usd(totals.free),
            }
        )
    return {
        "run": str(directory),
        "scopes": scopes,
        "open_reservations": ledger.open_reservations,
        "fault": ledger.fault,
        "uncertain": [
            {
                "reservation": item.reservation,
                "request": item.request or None,
                "for": _name(item),
                "why": item.note,
                "usd": usd(item.amount),
                "scopes": list(item.scopes),
            }
            for item in ledger.uncertain()
        ],
    }
