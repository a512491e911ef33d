"""What an arm's answered requests came to: read once, kept by round and by problem.

A run of a million attempts is reported in the memory of its rounds and problems. Money is whole
picodollars; means are binary floats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import accumulate

from budgets.price import Price
from budgets.usage import Usage
from orchestrator.store.reader import Bought


class Paid:
    """Sums over answered requests."""

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
        self._firsts = sorted(costs)
        self._costs = [0, *accumulate(costs[first] for first in self._firsts)]
        self._latest = [0.0, *accumulate((latest[first] for first in self._firsts), max)]
        self.prompts, self.outputs = means.totals()
        """Picodollars over all problems: of one prompt each, and of one sample's output each."""

    def all_below(self, k: int) -> bool:
        """Whether every request's first slot lies below k."""
        return not self._firsts or self._firsts[-1] < k

    def cost_below(self, k: int) -> int:
        """Picodollars of all requests whose first slot lies below k."""
        return self._costs[bisect_left(self._firsts, k)]

    def latest_below(self, k: int) -> float:
        """Unix time at which the last of them was recorded; 0 where there is none."""
        return self._latest[bisect_left(self._firsts, k)]


class _Means:
    """Mean cost of a prompt and of a sample's output, per problem."""

    def __init__(self, price: Price | None, batch: bool) -> None:
        self._price = price
        self._prompts: dict[int, list[int]] = {}
        self._outputs: dict[int, list[int]] = {}
        if price is not None:
            # Most requests of a run use the same numbers of tokens.
            self._cost = lru_cache(4096)(lambda usage: price.cost(usage, batch=batch))

    def add(self, item: Bought) -> None:
        if item.usage is None or self._price is None:
            return
        whole = self._cost(item.usage)
        part = min(whole, self._cost(Usage(output_tokens=item.usage.output_tokens)))
        prompt = self._prompts.setdefault(item.problem, [0, 0])
        output = self._outputs.setdefault(item.problem, [0, 0])
        prompt[0] += whole - part
        prompt[1] += 1
        output[0] += part // item.n * item.n
        output[1] += item.n

    def totals(self) -> tuple[float, float]:
        return (
            sum(total / count for total, count in self._prompts.values()),
            sum(total / count for total, count in self._outputs.values()),
        )
