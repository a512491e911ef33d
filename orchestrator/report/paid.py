"""What the attempts of a stored arm cost, as bought and afresh.

A run of a million attempts is reported in the memory of its rounds and problems. Money is whole
picodollars, means are fractions of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np

from budgets.ledger import Ledger
from budgets.price import Price
from budgets.usage import Usage
from orchestrator.analysis.cost import Fresh, usd_as_bought
from orchestrator.report.reprice import Repriced
from orchestrator.store.accounts import ArmMoney
from orchestrator.store.columns import Int64s, added_up
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow, Bought
from orchestrator.store.schema import arm_scope

OUTPUT = Usage.__struct_fields__.index("output_tokens")


class ArmCosts:
    """What the attempts of one arm cost."""

    def __init__(
        self, reader: RunReader, arm: ArmRow, ledger: Ledger, total: int, bought: Bought,
        paid: ArmMoney, repriced: Repriced | None = None,
    ) -> None:  # fmt: skip
        """`bought`: the arm's answered requests, in the order of their reservation."""
        self._total = total
        price = arm.spec.get("price")
        self._price = None if price is None else Price.from_dict(price)
        held = held_for(ledger)
        if repriced is not None:
            bought, held, self._price = repriced.bought, repriced.held, repriced.price
        self._n_per_request = int(arm.spec["n_per_request"])
        self._requests = RequestCosts(bought, self._price, held, batch=bool(arm.spec.get("batch")))
        # A server paid by the hour has settlements of its own; requests settle for nothing.
        self._settled = _over_time(reader, arm.number, paid) if price is None else []

    def as_bought(self, ks: Sequence[int]) -> list[int]:
        """Committed when the last slot below each k was recorded; everything at the last round."""
        requests = self._requests
        if self._price is not None:
            costs = usd_as_bought(requests.firsts, requests.costs, ks)
        else:
            times = [at for at, _ in self._settled]
            sums = [0, *accumulate(amount for _, amount in self._settled)]
            costs = [sums[bisect_right(times, requests.latest_below(k))] for k in ks]
        whole = max(requests.firsts, default=-1) + 1
        return [self._total if k >= whole else cost for k, cost in zip(ks, costs, strict=True)]

    def fresh(self) -> Fresh:
        """Attempts at every problem bought afresh, in requests of the run's batch size."""
        requests = self._requests
        if self._price is None:
            each = Fraction(self._total * requests.problems, max(1, requests.samples))
            return Fresh(0, 0, each, self._n_per_request)
        return Fresh(*requests.means(), self._n_per_request)


class RequestCosts:
    """What an arm's answered requests cost, by round, and their means."""

    def __init__(
        self,
        bought: Bought,
        price: Price | None,
        held: Mapping[int, int],
        *,
        batch: bool = False,
    ) -> None:
        """`held`: picodollars that are uncertain, by request. `batch`: at the batch price."""
        self._bought, self._price, self._batch = bought, price, batch
        firsts, rounds = np.unique(bought.first_slot, return_inverse=True)
        uncertain = np.array([held.get(one, 0) for one in bought.request.tolist()], np.int64)
        self.firsts: list[int] = firsts.tolist()
        """The first slots of the rounds, and with each what its requests cost: `costs`."""
        self.costs = [
            settled + open_
            for settled, open_ in zip(
                added_up(rounds, np.maximum(bought.cost, 0), len(firsts)),
                added_up(rounds, uncertain, len(firsts)),
                strict=True,
            )
        ]
        latest = np.zeros(len(firsts))
        np.maximum.at(latest, rounds, bought.recorded_at)
        self._latest: list[float] = np.maximum.accumulate(latest).tolist()
        self.samples = int(bought.n.sum())
        self.problems = len(np.unique(bought.problem))
        """Problems with an answered request."""

    def latest_below(self, k: int) -> float:
        """Unix time by which every request whose first slot lies below k was recorded; 0: none."""
        below = bisect_right(self.firsts, k - 1)
        return self._latest[below - 1] if below else 0.0

    def means(self) -> tuple[Fraction, Fraction, Fraction]:
        """First prompts, later prompts, outputs: each a mean per problem, summed over problems.

        A problem that was asked once is taken to be asked again at the share of its first prompt
        at which the others were.
        """
        known = self._bought.counted
        if self._price is None or not known.any():
            return Fraction(0), Fraction(0), Fraction(0)
        problems, of = np.unique(self._bought.problem[known], return_inverse=True)
        whole, part = _priced(self._bought.tokens[known], self._price, batch=self._batch)
        prompt, number = whole - part, len(problems)
        leading = np.zeros(len(of), np.bool_)
        leading[np.unique(of, return_index=True)[1]] = True
        firsts = added_up(of[leading], prompt[leading], number)
        laters = added_up(of[~leading], prompt[~leading], number)
        asked = np.bincount(of[~leading], minlength=number).tolist()
        first = sum(firsts)
        later = _summed(laters, asked)
        asked_again = sum(one for one, times in zip(firsts, asked, strict=True) if times)
        if asked_again:
            later = later * first / asked_again
        elif not any(asked):
            later = Fraction(first)
        choices = added_up(of, self._bought.n[known], number)
        return Fraction(first), later, _summed(added_up(of, part, number), choices)


def _over_time(reader: RunReader, arm: int, paid: ArmMoney) -> list[tuple[float, int]]:
    """When an arm's server was paid, and how much of it is the arm's."""
    found = reader.settled_over_time(arm_scope(arm))
    if paid.server:
        whole = reader.settled_over_time(paid.server)
        found += [(at, int(amount * paid.share)) for at, amount in whole]
    return sorted(found)


def _priced(tokens: Int64s, price: Price, *, batch: bool) -> tuple[Int64s, Int64s]:
    """Of requests by their tokens, [R, 6]: the picodollars of each, and those of its output."""
    outputs = {
        one: price.cost(Usage(output_tokens=one), batch=batch)
        for one in np.unique(tokens[:, OUTPUT]).tolist()
    }
    costs = dict[tuple[int, ...], int]()
    rows = list(map(tuple, tokens.tolist()))
    for row in rows:
        if row not in costs:
            costs[row] = price.cost(Usage(*row), batch=batch)
    whole = np.array([costs[row] for row in rows], np.int64)
    part = np.array([outputs[row[OUTPUT]] for row in rows], np.int64)
    return whole, np.minimum(whole, part)


def _summed(totals: Sequence[int], counts: Sequence[int]) -> Fraction:
    """The sum of total/count; those of equal counts together, since few counts differ."""
    by_count: dict[int, int] = {}
    for total, count in zip(totals, counts, strict=True):
        if count:
            by_count[count] = by_count.get(count, 0) + total
    return sum((Fraction(total, count) for count, total in by_count.items()), Fraction(0))


def held_for(ledger: Ledger) -> dict[int, int]:
    """Uncertain picodollars by the number of the request that they were reserved for."""
    held: dict[int, int] = {}
    for item in ledger.uncertain():
        if item.request:
            held[item.request] = held.get(item.request, 0) + item.amount
    return held
