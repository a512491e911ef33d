"""From a stored run to the rows of its report: one row per arm, numbers only.

Dollars of a point on the curve are two numbers. `usd_as_bought`: what this run had committed
(settled and uncertain) through round k. `usd_at_k`: what buying k attempts afresh costs at the
run's mean usage, with the prompt paid once per request of the run's batch size. With a Repricing
both, and all totals, are by other prices than those of the run.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from budgets.ledger import Ledger
from budgets.price import Price
from orchestrator.analysis.band import posterior_band
from orchestrator.analysis.beta import BetaPosterior
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.flops import Shape
from orchestrator.analysis.pairing import NAMES, Estimator, estimator_for
from orchestrator.analysis.survival import FAILED, PASSED, UNKNOWN, Batch, survival_curve
from orchestrator.report.compute import gpu_hours, operations, shape_for
from orchestrator.report.others import (
    OtherVerdicts,
    other_verdicts,
    said_of,
    said_of_excluded,
)
from orchestrator.report.paid import Paid
from orchestrator.report.reprice import Repriced, Repricing, reprice, unrepriced
from orchestrator.store.reader import ArmRow, RunReader, SlotCounts


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
    repriced_on: str = ""
    """The day (ISO date) by whose prices the money is counted; empty: as it was bought."""
    others: list[OtherVerdicts] = field(default_factory=list)
    """What other verifiers said of the same samples."""
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


def read_rows(
    reader: RunReader,
    shapes: Mapping[str, Shape] | None = None,
    by: Repricing | None = None,
) -> list[Row]:
    """One row per arm of a run; raises ConfigError.

    `shapes` of models that orch does not know, by name. `by`: other prices than the run's own.
    """
    ledger = Ledger.read(reader.events())
    return [_row(reader, arm, ledger, shapes or {}, by) for arm in reader.arms()]


def _row(
    reader: RunReader,
    arm: ArmRow,
    ledger: Ledger,
    shapes: Mapping[str, Shape],
    by: Repricing | None,
) -> Row:
    verifier = str(arm.spec["verifier"])
    problems = len(reader.problems(arm.problem_set))
    counts = reader.slot_counts(arm.number, problems, verifier)
    totals = ledger.totals(f"arm:{arm.number}")
    # What a dead process left open is uncertain; a reader must not count it as free.
    settled, uncertain = totals.settled, totals.uncertain + totals.reserved
    repriced, notes = None, list[str]()
    if by is not None and arm.spec.get("price") is not None:
        repriced = reprice(reader, arm, ledger, by)
        settled, uncertain, notes = repriced.settled, repriced.uncertain, repriced.notes
    elif by is not None and settled + uncertain:
        notes = [unrepriced(arm, by)]
    money = Money(reader, arm, ledger, settled + uncertain, repriced)
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
    others = other_verdicts(reader, arm, verifier, curve.ks)
    said = [said_of(one, verifier, problems) for one in others]
    return Row(
        provider=arm.provider,
        model=arm.model,
        task=_named(arm.task),
        policy=arm.policy,
        estimator=NAMES[curve.estimator],
        verifier=verifier,
        problems=problems,
        samples=int(counts.judged.sum()),
        censored=int(counts.censored.sum()),
        infra_errors=int(counts.infra.sum()),
        solved=int((counts.passed > 0).sum()),
        spent=settled,
        uncertain=uncertain,
        counts=counts,
        coverage=coverage,
        notes=[*notes, *curve.notes, *said_of_excluded(arm), *said],
        gpu_hours=gpu_hours(reader, arm, settled + uncertain),
        repriced_on=by.day if by is not None and repriced is not None else "",
        others=others,
    )


def _named(task: str) -> str:
    """A task's name; of a person's own file, the file's."""
    return Path(task).name if task.endswith(".jsonl") else task


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
    # Both come by problem and slot: one problem at a time is in memory.
    judged = Matching(reader.verdicts(arm.number, verifier))
    alike: dict[tuple[int, ...], tuple[int, ...]] = {}
    batches: list[Batch] = []
    for problem, slots in groupby(reader.slot_requests(arm.number), key=itemgetter(0)):
        found = {
            slot: PASSED if kind == "passed" else FAILED
            for _, slot, kind, _ in judged.of(problem)
            if kind != "infra_error"
        }
        for _, group in groupby(slots, key=itemgetter(2)):
            outcomes = tuple(found.get(slot, UNKNOWN) for _, slot, _ in group)
            batches.append(Batch(problem, alike.setdefault(outcomes, outcomes)))
    return batches


class Matching:
    """Rows that come by ascending problem, handed out problem by problem."""

    def __init__(self, rows: Iterator[tuple[int, int, str, str | None]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, problem: int) -> Iterator[tuple[int, int, str, str | None]]:
        """The rows of `problem`; those of lower ones are passed over."""
        while self._next is not None and self._next[0] <= problem:
            row, self._next = self._next, next(self._rows, None)
            if row[0] == problem:
                yield row


class Money:
    """What the attempts of one arm cost, as bought and afresh."""

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
        self._settled = reader.settled_over_time(f"arm:{arm.number}") if price is None else []

    def as_bought(self, k: int) -> int:
        """Committed when the last slot below k was recorded; everything at the last round."""
        if self._paid.all_below(k):
            return self._total
        if self._price is not None:
            return self._paid.cost_below(k)
        times = [at for at, _ in self._settled]
        until = bisect_right(times, self._paid.latest_below(k))
        return sum(amount for _, amount in self._settled[:until])

    def at_k(self, k: int) -> int:
        """k attempts at each problem bought afresh, in requests of the run's batch size."""
        paid = self._paid
        if self._price is None:
            return math.ceil(self._total * k * paid.problems / max(1, paid.samples))
        requests = math.ceil(k / self._n_per_request)
        return math.ceil(requests * paid.prompts + k * paid.outputs)


def held_for(ledger: Ledger) -> dict[int, int]:
    """Uncertain picodollars by the number of the request that they were reserved for."""
    held: dict[int, int] = {}
    for item in ledger.uncertain():
        if item.request.startswith("request "):
            number = int(item.request.removeprefix("request "))
            held[number] = held.get(number, 0) + item.amount
    return held
