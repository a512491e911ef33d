"""From a stored run to the rows of its report: one row per arm, numbers only.

Dollars of a point on the curve are two numbers. `usd_as_bought`: what this run had committed
(settled and uncertain) through round k. `usd_at_k`: what buying k attempts afresh costs at the
run's mean usage, with the prompt paid once per request of the run's batch size.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from budgets.ledger import Ledger
from budgets.prices import Price
from budgets.usage import Usage
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.store.reader import ArmRow, Bought, RunReader, SlotCounts


@dataclass(frozen=True, slots=True)
class Point:
    """Coverage at one k: shares between 0 and 1, money in picodollars."""

    k: int
    mean: float
    low: float
    high: float
    low_like: float
    high_like: float
    usd_as_bought: int
    usd_at_k: int


@dataclass(frozen=True, slots=True)
class Row:
    """All that a report says of one arm. Money in picodollars."""

    provider: str
    model: str
    task: str
    policy: str
    estimator: str
    verifier: str
    problems: int
    samples: int
    censored: int
    infra_errors: int
    solved: int
    spent: int
    uncertain: int
    counts: SlotCounts
    coverage: list[Point]
    notes: list[str] = field(default_factory=list)

    @property
    def usd_per_solved(self) -> int | None:
        """Settled and uncertain money over distinct problems solved, rounded up."""
        return -(-(self.spent + self.uncertain) // self.solved) if self.solved else None


def points_to(most: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... up to `most`, and `most` itself."""
    found: list[int] = []
    step = 1
    while step <= most:
        found += [k for k in (step, 2 * step, 5 * step) if k <= most]
        step *= 10
    return found if not most or found[-1] == most else [*found, most]


def read_rows(reader: RunReader) -> list[Row]:
    """One row per arm of a run."""
    ledger = Ledger.read(reader.events())
    return [_row(reader, arm, ledger) for arm in reader.arms()]


def _row(reader: RunReader, arm: ArmRow, ledger: Ledger) -> Row:
    verifier = str(arm.spec["verifier"])
    problems = len(reader.problems(arm.task))
    counts = reader.slot_counts(arm.number, problems, verifier)
    totals = ledger.totals(f"arm:{arm.number}")
    # What a dead process left open is uncertain; a reader must not count it as free.
    uncertain = totals.uncertain + totals.reserved
    most = int(counts.judged.min())
    notes = []
    if not most:
        notes.append("no coverage yet: some problem has no judged attempt")
    elif most < arm.samples:
        notes.append(
            f"coverage is reported up to k = {most}, the fewest judged attempts of any problem"
        )
    ks = points_to(most)
    coverage: list[Point] = []
    if ks:
        money = Money(reader, arm, ledger, totals.settled + uncertain)
        curve = coverage_curve(counts.judged, counts.passed, np.array(ks))
        low, high = _bounds(counts, ks, curve.low, curve.high)
        if curve.note:
            notes.append(curve.note)
        coverage = [
            Point(
                k, float(curve.mean[i]), float(low[i]), float(high[i]),
                float(curve.low_like[i]), float(curve.high_like[i]),
                money.as_bought(k), money.at_k(k),
            )
            for i, k in enumerate(ks)
        ]  # fmt: skip
    return Row(
        provider=arm.provider,
        model=arm.model,
        task=arm.task,
        policy=arm.policy,
        estimator="unbiased pass@k",
        verifier=verifier,
        problems=problems,
        samples=int(counts.judged.sum()),
        censored=int(counts.censored.sum()),
        infra_errors=int(counts.infra.sum()),
        solved=int((counts.passed > 0).sum()),
        spent=totals.settled,
        uncertain=uncertain,
        counts=counts,
        coverage=coverage,
        notes=notes,
    )


def _bounds(
    counts: SlotCounts, ks: Sequence[int], low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slots without a verdict widen the interval downwards: there they count as wrong."""
    unknown = counts.censored + counts.infra
    if not unknown.any():
        return low, high
    pessimistic = coverage_curve(counts.judged + unknown, counts.passed, np.array(ks))
    return np.minimum(low, pessimistic.low), high


class Money:
    """What the attempts of one arm cost, as bought and afresh."""

    def __init__(self, reader: RunReader, arm: ArmRow, ledger: Ledger, total: int) -> None:
        self._total = total
        self._bought = reader.bought(arm.number)
        price = arm.spec.get("price")
        self._price = None if price is None else Price.from_dict(price)
        self._batch = int(arm.spec["n_per_request"])
        held = {item.request: item.amount for item in ledger.uncertain()}
        self._held = {n: held.get(f"request {n}", 0) for n in (b.request for b in self._bought)}
        self._settled = reader.settled_over_time(f"arm:{arm.number}")
        self._samples = sum(bought.n for bought in self._bought)
        self._problems = len({bought.problem for bought in self._bought})
        self._prompts, self._outputs = (
            (0.0, 0.0) if self._price is None else mean_costs(self._bought, self._price)
        )

    def as_bought(self, k: int) -> int:
        """Committed when the last slot below k was recorded; everything at the last round."""
        rounds = [bought for bought in self._bought if bought.first_slot < k]
        if len(rounds) == len(self._bought):
            return self._total
        if self._price is not None:
            return sum((b.cost or 0) + self._held[b.request] for b in rounds)
        last = max(bought.recorded_at for bought in rounds)
        times = [at for at, _ in self._settled]
        return sum(amount for _, amount in self._settled[: bisect_right(times, last)])

    def at_k(self, k: int) -> int:
        """k attempts at each problem bought afresh, in requests of the run's batch size."""
        if self._price is None:
            return math.ceil(self._total * k * self._problems / max(1, self._samples))
        requests = math.ceil(k / self._batch)
        return math.ceil(requests * self._prompts + k * self._outputs)


def mean_costs(bought: Sequence[Bought], price: Price) -> tuple[float, float]:
    """Picodollars over all problems: of one prompt each, and of one sample's output each."""
    prompts: dict[int, list[int]] = {}
    outputs: dict[int, list[int]] = {}
    for item in bought:
        if item.usage is None:
            continue
        output = Usage(output_tokens=item.usage.output_tokens)
        whole = price.cost(item.usage)
        part = min(whole, price.cost(output))
        prompts.setdefault(item.problem, []).append(whole - part)
        outputs.setdefault(item.problem, []).extend([part // item.n] * item.n)
    return (
        sum(sum(costs) / len(costs) for costs in prompts.values()),
        sum(sum(costs) / len(costs) for costs in outputs.values()),
    )
