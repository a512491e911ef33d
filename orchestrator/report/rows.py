"""From a stored run to the rows of its report: one row per arm, numbers only.

Dollars of a point on the curve are two numbers. `usd_as_bought`: what this run had committed
(settled and uncertain) through round k. `usd_at_k`: what buying k attempts afresh costs at the
run's mean usage, with the prompt paid once per request of the run's batch size.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from budgets.ledger import Ledger
from budgets.prices import Price
from budgets.usage import Usage
from orchestrator.analysis.band import posterior_band
from orchestrator.analysis.beta import BetaPosterior
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.flops import Shape
from orchestrator.analysis.pairing import NAMES, Estimator, estimator_for
from orchestrator.analysis.survival import FAILED, PASSED, UNKNOWN, Batch, survival_curve
from orchestrator.report.compute import gpu_hours, operations, shape_for
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
    flops: float | None = None
    """Operations of k attempts at every problem; None where they are not known."""


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
    gpu_hours: float | None = None

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


def read_rows(reader: RunReader, shapes: Mapping[str, Shape] | None = None) -> list[Row]:
    """One row per arm of a run; `shapes` of models that orch does not know, by name."""
    ledger = Ledger.read(reader.events())
    return [_row(reader, arm, ledger, shapes or {}) for arm in reader.arms()]


def _row(reader: RunReader, arm: ArmRow, ledger: Ledger, shapes: Mapping[str, Shape]) -> Row:
    verifier = str(arm.spec["verifier"])
    problems = len(reader.problems(arm.problem_set))
    counts = reader.slot_counts(arm.number, problems, verifier)
    totals = ledger.totals(f"arm:{arm.number}")
    # What a dead process left open is uncertain; a reader must not count it as free.
    uncertain = totals.uncertain + totals.reserved
    money = Money(reader, arm, ledger, totals.settled + uncertain)
    if arm.policy == "uniform":
        curve = _unbiased(arm, counts)
    else:
        curve = _first_success(reader, arm, counts, verifier)
    shape = shape_for(arm.model, shapes) if curve.afresh else None
    work = operations(reader, arm, problems, shape, curve.ks)
    coverage = []
    for k, flops, (mean, low, high, low_like, high_like) in zip(
        curve.ks, work, curve.shares, strict=True
    ):
        bought = money.as_bought(k)
        afresh = money.at_k(k) if curve.afresh else bought
        coverage.append(Point(k, mean, low, high, low_like, high_like, bought, afresh, flops))
    return Row(
        provider=arm.provider,
        model=arm.model,
        task=arm.task,
        policy=arm.policy,
        estimator=NAMES[curve.estimator],
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
        notes=curve.notes,
        gpu_hours=gpu_hours(reader, arm, totals.settled + uncertain),
    )


@dataclass(frozen=True, slots=True)
class _Curve:
    """Coverage at some k by the estimator that fits the arm's policy."""

    estimator: Estimator
    ks: list[int]
    shares: list[list[float]]
    """mean, low, high, low_like, high_like at each k."""
    notes: list[str]
    afresh: bool
    """Whether buying k afresh differs from what was bought (uniform draws only)."""


def _unbiased(arm: ArmRow, counts: SlotCounts) -> _Curve:
    """Attempts that were planned beforehand: pass@k up to the fewest of any problem."""
    most = int(counts.judged.min())
    notes = []
    if not most:
        notes.append("no coverage yet: some problem has no judged attempt")
    elif most < arm.samples:
        notes.append(
            f"coverage is reported up to k = {most}, the fewest judged attempts of any problem"
        )
    ks = points_to(most)
    if not ks:
        return _Curve("unbiased", [], [], notes, True)
    curve = coverage_curve(counts.judged, counts.passed, np.array(ks))
    low = curve.low
    unknown = counts.censored + counts.infra
    if unknown.any():
        # Slots without a verdict widen the interval downwards: there they count as wrong.
        wrong = coverage_curve(counts.judged + unknown, counts.passed, np.array(ks))
        low = np.minimum(low, wrong.low)
    if curve.note:
        notes.append(curve.note)
    table = np.stack([curve.mean, low, curve.high, curve.low_like, curve.high_like], axis=1)
    return _Curve("unbiased", ks, table.tolist(), notes, True)


def _first_success(reader: RunReader, arm: ArmRow, counts: SlotCounts, verifier: str) -> _Curve:
    """Attempts that stopped at a first success: survival by dispatch index, or the model."""
    batches = slot_batches(reader, arm, verifier)
    if not batches:
        return _Curve("survival", [], [], ["no coverage yet"], False)
    solved = counts.passed > 0
    depth = counts.planned[~solved]
    step = int(arm.spec["n_per_request"])
    contiguous = not len(depth) or int(depth.max() - depth.min()) <= step
    estimator = estimator_for(arm.policy, contiguous=contiguous)
    if estimator == "model":
        posterior = BetaPosterior.from_first_successes(counts.judged - counts.passed, solved)
        ks = points_to(int(counts.planned.max()))
        means = posterior.coverage(np.array(ks))
        low, high = posterior_band(posterior, np.array(ks))
        rows = np.stack([means, low, high, low, high], axis=1)
        note = "problems were attempted unequally often: coverage is by the beta-binomial model"
        return _Curve("model", ks, rows.tolist(), [note], False)
    curve = survival_curve(len(solved), batches)
    ks = points_to(int(curve.k[-1]))
    at = np.array(ks) - 1
    low, high = (
        np.minimum(curve.low, curve.mean_low)[at],
        np.maximum(curve.high, curve.mean_high)[at],
    )
    rows = np.stack([curve.mean[at], low, high, low, high], axis=1)
    notes = []
    if curve.complete < ks[-1]:
        notes.append(f"above k = {curve.complete} not every unsolved problem was followed")
    return _Curve("survival", ks, rows.tolist(), notes, False)


def slot_batches(reader: RunReader, arm: ArmRow, verifier: str) -> list[Batch]:
    """Every problem's slots in dispatch order, those of one request together."""
    verdicts = {
        (problem, slot): PASSED if kind == "passed" else FAILED
        for problem, slot, kind, _ in reader.verdicts(arm.number, verifier)
        if kind != "infra_error"
    }
    batches: list[Batch] = []
    for (problem, _), group in groupby(reader.slot_requests(arm.number), key=lambda row: row[::2]):
        outcomes = tuple(verdicts.get((problem, slot), UNKNOWN) for _, slot, _ in group)
        batches.append(Batch(problem, outcomes))
    return batches


class Money:
    """What the attempts of one arm cost, as bought and afresh."""

    def __init__(self, reader: RunReader, arm: ArmRow, ledger: Ledger, total: int) -> None:
        self._total = total
        self._bought = reader.bought(arm.number)
        price = arm.spec.get("price")
        self._price = None if price is None else Price.from_dict(price)
        batch = bool(arm.spec.get("batch"))
        self._n_per_request = int(arm.spec["n_per_request"])
        held = {item.request: item.amount for item in ledger.uncertain()}
        self._held = {n: held.get(f"request {n}", 0) for n in (b.request for b in self._bought)}
        self._settled = reader.settled_over_time(f"arm:{arm.number}")
        self._samples = sum(bought.n for bought in self._bought)
        self._problems = len({bought.problem for bought in self._bought})
        self._prompts, self._outputs = (
            (0.0, 0.0) if self._price is None else mean_costs(self._bought, self._price, batch)
        )

    def as_bought(self, k: int) -> int:
        """Committed when the last slot below k was recorded; everything at the last round."""
        rounds = [bought for bought in self._bought if bought.first_slot < k]
        if len(rounds) == len(self._bought):
            return self._total
        if self._price is not None:
            return sum((b.cost or 0) + self._held[b.request] for b in rounds)
        last = max((bought.recorded_at for bought in rounds), default=0.0)
        times = [at for at, _ in self._settled]
        return sum(amount for _, amount in self._settled[: bisect_right(times, last)])

    def at_k(self, k: int) -> int:
        """k attempts at each problem bought afresh, in requests of the run's batch size."""
        if self._price is None:
            return math.ceil(self._total * k * self._problems / max(1, self._samples))
        requests = math.ceil(k / self._n_per_request)
        return math.ceil(requests * self._prompts + k * self._outputs)


def mean_costs(bought: Sequence[Bought], price: Price, batch: bool = False) -> tuple[float, float]:
    """Picodollars over all problems: of one prompt each, and of one sample's output each."""
    prompts: dict[int, list[int]] = {}
    outputs: dict[int, list[int]] = {}
    for item in bought:
        if item.usage is None:
            continue
        output = Usage(output_tokens=item.usage.output_tokens)
        whole = price.cost(item.usage, batch=batch)
        part = min(whole, price.cost(output, batch=batch))
        prompts.setdefault(item.problem, []).append(whole - part)
        outputs.setdefault(item.problem, []).extend([part // item.n] * item.n)
    return (
        sum(sum(costs) / len(costs) for costs in prompts.values()),
        sum(sum(costs) / len(costs) for costs in outputs.values()),
    )
