"""A provider's own bill, as a person exports it, against what a run holds as uncertain.

An export is a CSV with a column of costs in dollars and, better, one of request ids. Rows whose id
a stored answer carries are matched exactly; what other rows cost belongs to the requests that have
no answer, all together. Without ids the sum of all rows is the whole bill, and what is not settled
belongs to the uncertain requests together.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from budgets.given import read_given
from budgets.ledger import Ledger
from budgets.money import MoneyError, picodollars, usd
from budgets.resolve import spread
from budgets.totals import Totals, Uncertain
from orchestrator.errors import ConfigError

COST_COLUMNS = (
    "cost_usd", "usd", "cost", "amount_usd", "amount", "total_cost", "amount_value", "usage_cost",
    "price_usd", "cost_in_usd",
)  # fmt: skip
ID_COLUMNS = ("request_id", "id", "response_id", "generation_id", "message_id")

MOST_BILL_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class BillRow:
    """One line of an export."""

    id: str
    """The provider's id of the request; "" where the export has none."""
    cost: int
    """Picodollars."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What one uncertain amount turned out to be."""

    reservation: int
    actual: int
    request: int | None
    """The planned request whose answer this is the cost of; None: there was no answer."""


def read_export(path: Path) -> list[BillRow]:
    """The rows of an export; raises ConfigError with the line and what to do."""
    try:
        text = read_given(path, MOST_BILL_BYTES).decode("utf-8-sig")
        with io.StringIO(text, newline="") as file:
            reader = csv.DictReader(file)
            columns = {_plain(name): name for name in reader.fieldnames or ()}
            cost = next((columns[name] for name in COST_COLUMNS if name in columns), None)
            if cost is None:
                raise ConfigError(
                    f"{path} has no column of costs (one of {', '.join(COST_COLUMNS)}); its columns"
                    f" are {', '.join(columns) or 'none'}. Rename the one that holds dollars."
                )
            identifier = next((columns[name] for name in ID_COLUMNS if name in columns), None)
            return [
                BillRow(
                    (row[identifier] or "").strip() if identifier else "",
                    _dollars(row[cost], f"{path}, line {number}"),
                )
                for number, row in enumerate(reader, start=2)
            ]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is not a CSV file in UTF-8: {error}.") from None


def resolutions(
    rows: Sequence[BillRow],
    uncertain: Sequence[Uncertain],
    totals: Totals,
    answered: Mapping[str, tuple[int, int]],
    *,
    cleared_before: int = 0,
    above_bound: bool = False,
) -> list[Resolution]:
    """What each uncertain amount is resolved to; raises ConfigError where the bill cannot be.

    `answered`: reservation and request of each answer, by its id at the provider. `totals` and
    `uncertain` are those of the scope that the bill is for. `cleared_before`: what earlier
    resolutions settled for requests without an answer; the bill names them still.
    """
    if not uncertain:
        raise ConfigError("Nothing of this run is uncertain; there is nothing to resolve.")
    costs = {answered[row.id]: row.cost for row in rows if row.id in answered}
    held_for = {item.reservation: item for item in uncertain}
    found = [
        Resolution(reservation, max(0, cost - held_for[reservation].paid), request)
        for (reservation, request), cost in costs.items()
        if reservation in held_for
    ]
    named = {resolution.reservation for resolution in found}
    rest = [item for item in uncertain if item.reservation not in named]
    if any(row.id for row in rows):
        left = sum(row.cost for row in rows if row.id not in answered) - cleared_before
    else:
        left = sum(row.cost for row in rows) - totals.settled
    held = sum(item.amount for item in rest)
    if left < 0:
        raise ConfigError(
            f"The bill says ${usd(left + totals.settled)}, less than the ${usd(totals.settled)} "
            "that the answers themselves reported: it is not the whole bill of this run (another "
            "key, another span of time, or not up to date yet)."
        )
    if left > held and not above_bound:
        raise ConfigError(
            f"The bill leaves ${usd(left)} for requests that could cost ${usd(held)} at most: it "
            "counts other requests too. Export only this run's key and time; if the bill is right "
            "as it is, add --above-bound, which charges it and stops the run from sending more."
        )
    if rest:
        parts = spread([max(item.amount, 1) for item in rest], left)
        found += [
            Resolution(item.reservation, part, None) for item, part in zip(rest, parts, strict=True)
        ]
    return found


def resolve(ledger: Ledger, found: Sequence[Resolution], note: str) -> None:
    """Enter the resolutions in the ledger; they commit with the journal's next group."""
    for resolution in found:
        ledger.resolve(resolution.reservation, resolution.actual, note)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _dollars(text: str | None, where: str) -> int:
    try:
        amount = picodollars((text or "0").strip().lstrip("$").replace(",", "") or "0")
    except MoneyError as error:
        raise ConfigError(f"{where}: {error}.") from None
    if amount < 0:
        raise ConfigError(f"{where}: {text} is negative; leave credits out of the export.")
    return amount
