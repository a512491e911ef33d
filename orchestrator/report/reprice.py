"""What a stored run would have cost by other prices: usage is stored raw, so this is exact.

An answer is priced by its stored usage, at the time of day at which it came (a batch at the
dearest, as when it was bought), by the rates of the day asked about. An uncertain request is
held at the worst case by those rates where its own worst case can be told from what is stored.
What has no usage keeps its dollars, and a note says how many: time of a server paid by the hour,
and what a person cleared up by the provider's bill.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from budgets.bounds import prompt_token_bound
from budgets.ledger import Ledger
from budgets.money import usd
from budgets.price import Price
from budgets.price_book import PriceBook, Unpriced
from budgets.price_file import PriceFileError
from budgets.totals import Uncertain
from orchestrator.errors import ConfigError
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow, Bought, PlannedRequest
from orchestrator.store.schema import arm_scope


@dataclass(frozen=True, slots=True)
class Repricing:
    """By which prices to count: a catalogue, and the day on which it is asked."""

    book: PriceBook
    on: datetime

    @property
    def day(self) -> str:
        return f"{self.on:%Y-%m-%d}"

    def sentence(self) -> str:
        """What a reader must know of every dollar shown."""
        return (
            f"repriced from stored usage at the prices of {self.day} "
            f"(price snapshot {self.book.snapshot}); this is not what was paid"
        )


def repricing(on: str | None, file: Path | None) -> Repricing:
    """The prices of a day (ISO date; today where None) with `file` over them.

    Raises ConfigError.
    """
    try:
        moment = datetime.now(UTC) if on is None else datetime.fromisoformat(on)
    except ValueError:
        raise ConfigError(f"--prices-on is {on!r}; give a date such as 2024-07-31.") from None
    try:
        book = PriceBook.load(file)
    except PriceFileError as error:
        raise ConfigError(f"{error}.") from None
    return Repricing(book, moment if moment.tzinfo else moment.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Repriced:
    """One arm's money by other prices, in picodollars."""

    bought: Bought
    """With the new cost of each answer that has usage."""
    held: dict[int, int]
    """Uncertain money by request."""
    settled: int
    uncertain: int
    price: Price
    notes: list[str]


def unrepriced(arm: ArmRow, repriced: Repricing) -> str:
    """Why the dollars of an arm priced by time stay as they are."""
    return (
        f"not repriced: the server of {arm.model} was paid by the hour, and what an hour costs has "
        f"no dated price; its dollars are those of the run, not of {repriced.day}"
    )


def reprice(
    reader: RunReader, arm: ArmRow, ledger: Ledger, bought: Bought, by: Repricing
) -> Repriced:
    """One arm, which was priced per token, by other prices; raises ConfigError if unpriced."""
    try:
        new = by.book.find(arm.model, arm.provider, by.on)
    except Unpriced as error:
        raise ConfigError(f"{reader.directory} cannot be repriced: {error}.") from None
    old, batch = Price.from_dict(arm.spec["price"]), bool(arm.spec.get("batch"))
    scope = arm_scope(arm.number)
    kept = reader.settled_without_usage(scope)
    bought = _bought(bought, new, batch)
    settled = kept + sum(bought.cost[bought.counted].tolist())
    worst = _Worst(reader, arm, old, new, batch)
    uncertain, held, as_held = 0, dict[int, int](), 0
    for item in ledger.uncertain():
        if scope in item.scopes:
            amount = worst.of(item)
            as_held += item.amount if amount is None else 0
            amount = item.amount if amount is None else amount
            uncertain += amount
            if item.request:
                held[item.request] = held.get(item.request, 0) + amount
    # Under way, or left by a dead process: as it was reserved.
    still = ledger.totals(scope).reserved
    notes = [by.sentence(), _source(new)]
    if kept or as_held or still:
        notes.append(
            f"${usd(kept + as_held + still)} of it has no usage to reprice and is counted as it was"
        )
    return Repriced(bought, held, settled, uncertain + still, new, notes)


def _bought(bought: Bought, price: Price, batch: bool) -> Bought:
    costs = bought.cost.copy()
    for at in np.flatnonzero(bought.counted).tolist():
        usage = bought.usage(at)
        assert usage is not None
        when = None if batch else datetime.fromtimestamp(float(bought.recorded_at[at]), UTC)
        costs[at] = price.cost(usage, at=when, batch=batch)
    return replace(bought, cost=costs)


def _source(price: Price) -> str:
    since = "" if price.valid_from else ", which names no day from which it holds"
    return f"price of {price.model}: {price.source}{since}"


class _Worst:
    """The worst case of uncertain requests by new prices, from the amounts that were held."""

    def __init__(self, reader: RunReader, arm: ArmRow, old: Price, new: Price, batch: bool) -> None:
        self._reader, self._arm, self._old, self._new, self._batch = reader, arm, old, new, batch
        self._exact = reader.prompt_tokens(arm.number)
        self._planned: dict[int, PlannedRequest] = {}
        self._bounds: list[int] = []

    def of(self, item: Uncertain) -> int | None:
        """By the new price; None where what was held is no worst case by the stored one."""
        if not item.request:
            return None
        if not self._planned:
            self._planned = {planned.request: planned for planned in self._reader.requests()}
            self._bounds = _bounds(self._reader, self._arm)
        planned = self._planned[item.request]
        for tokens in (self._exact.get(planned.problem, 0), self._bounds[planned.problem]):
            for write in (False, True):
                if self._at(self._old, tokens, planned.n, write) == item.amount:
                    return self._at(self._new, tokens, planned.n, write)
        return None

    def _at(self, price: Price, tokens: int, n: int, write: bool) -> int:
        return price.worst(
            prompt_tokens=tokens,
            output_tokens=int(self._arm.spec["max_tokens"]),
            n=n,
            batch=self._batch,
            cache_write=write,
        )


def _bounds(reader: RunReader, arm: ArmRow) -> list[int]:
    """The prompt bound of each problem, as it was reserved before an answer told the tokens."""
    asked = [row.problem for row in reader.problems(arm.problem_set)]
    return [prompt_token_bound(one.texts, len(one.messages or ())) for one in asked]
