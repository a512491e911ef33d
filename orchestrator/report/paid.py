"""What the attempts of a stored arm cost, as bought and afresh.

A run of a million attempts is reported in the memory of its rounds and problems. Money is whole
picodollars, means are fractions of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate

from budgets.ledger import Ledger
from budgets.price import Price
from budgets.usage import Usage
from orchestrator.analysis.cost import Fresh, usd_as_bought
from orchestrator.report.reprice import Repriced
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow, Bought
from orchestrator.store.schema import arm_scope


class Money:
    """What the attempts of one arm cost."""

    def __init__(
        self, reader: RunReader, arm: ArmRow, ledger: Ledger, total: int,
        repriced: Repriced | None = None,
    ) -> None:  # fmt: skip
        self._total = total
        price = arm.spec.get("price")
        self._price = None if price is None else Price.from_dict(price)
        bought, held = reader.bought(arm.number), held_for(ledger)
        if repriced is not None:
            bought, held, self._price = repriced.bought, repriced.held, repriced.price
        self._n_per_request = int(arm.spec["n_per_request"])
        self._paid = Paid(bought, self._price, held, batch=bool(arm.spec.get("batch")))
        # A server paid by the hour has settlements of its own; requests settle for nothing.
        self._settled = reader.settled_over_time(arm_scope(arm.number)) if price is None else []

    def as_bought(self, ks: Sequence[int]) -> list[int]:
        """Committed when the last slot below each k was recorded; everything at the last round."""
        paid = self._paid
        if self._price is not None:
            costs = usd_as_bought(paid.firsts, paid.costs, ks)
        else:
            times = [at for at, _ in self._settled]
            sums = [0, *accumulate(amount for _, amount in self._settled)]
            costs = [sums[bisect_right(times, paid.latest_below(k))] for k in ks]
        whole = max(paid.firsts, default=-1) + 1
        return [self._total if k >= whole else cost for k, cost in zip(ks, costs, strict=True)]

    def fresh(self) -> Fresh:
        """Attempts at every problem bought afresh, in requests of the run's batch size."""
        paid = self._paid
        if self._price is None:
            each = Fraction(self._total * paid.problems, max(1, paid.samples))
            return Fresh(0, 0, each, self._n_per_request)
        return Fresh(*paid.means(), self._n_per_request)


class Paid:
    """Sums over an arm's answered requests."""

    def __init__(
        self,
        bought: Iterable[Bought],
        price: Price | None,
        held: Mapping[int, int],
        *,
        batch: bool = False,
    ) -> None:
        """`held`: picodollars that are uncertain, by request. `batch`: at the batch price."""
        costs: dict[int, int] = {}
        latest: dict[int, float] = {}
        means = _Means(price, batch)
        problems: set[int] = set()
        self.samples = 0
        for item in bought:
            first = item.first_slot
            costs[first] = costs.get(first, 0) + (item.cost or 0) + held.get(item.request, 0)
            latest[first] = max(latest.get(first, 0.0), item.recorded_at)
            self.samples += item.n
            problems.add(item.problem)
            means.add(item)
        self.problems = len(problems)
        """Problems with an answered request."""
        self.firsts = sorted(costs)
        """The first slots of the rounds, and with each what its requests cost: `costs`."""
        self.costs = [costs[first] for first in self.firsts]
        self._latest = list(accumulate((latest[first] for first in self.firsts), max))
        self.means = means.totals

    def latest_below(self, k: int) -> float:
        """Unix time by which every request whose first slot lies below k was recorded; 0: none."""
        below = bisect_right(self.firsts, k - 1)
        return self._latest[below - 1] if below else 0.0


class _Means:
    """Mean cost of a problem's first prompt, of its later ones, and of a sample's output."""

    def __init__(self, price: Price | None, batch: bool) -> None:
        self._price = price
        self._first: dict[int, int] = {}
        self._later: dict[int, list[int]] = {}
        self._outputs: dict[int, list[int]] = {}
        if price is not None:
            # Most requests of a run use the same numbers of tokens.
            self._cost = lru_cache(4096)(lambda usage: price.cost(usage, batch=batch))

    def add(self, item: Bought) -> None:
        """One answered request; they come in the order of their reservation."""
        if item.usage is None or self._price is None:
            return
        whole = self._cost(item.usage)
        part = min(whole, self._cost(Usage(output_tokens=item.usage.output_tokens)))
        if item.problem not in self._first:
            self._first[item.problem] = whole - part
        else:
            later = self._later.setdefault(item.problem, [0, 0])
            later[0] += whole - part
            later[1] += 1
        output = self._outputs.setdefault(item.problem, [0, 0])
        output[0] += part
        output[1] += item.n

    def totals(self) -> tuple[Fraction, Fraction, Fraction]:
        """First prompts, later prompts, outputs: each a mean per problem, summed over problems.

        A problem that was asked once is taken to be asked again at the share of its first prompt
        at which the others were.
        """
        first = sum(self._first.values())
        later, asked_again = _summed(self._later), sum(map(self._first.__getitem__, self._later))
        if asked_again:
            later = later * first / asked_again
        elif not self._later:
            later = Fraction(first)
        return Fraction(first), later, _summed(self._outputs)


def _summed(means: Mapping[int, Sequence[int]]) -> Fraction:
    """The sum of total/count; those of equal counts together, since few counts differ."""
    by_count: dict[int, int] = {}
    for total, count in means.values():
        by_count[count] = by_count.get(count, 0) + total
    return sum((Fraction(total, count) for count, total in by_count.items()), Fraction(0))


def held_for(ledger: Ledger) -> dict[int, int]:
    """Uncertain picodollars by the number of the request that they were reserved for."""
    held: dict[int, int] = {}
    for item in ledger.uncertain():
        if item.request:
            held[item.request] = held.get(item.request, 0) + item.amount
    return held
