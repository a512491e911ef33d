"""Table 1 of Large Language Monkeys, by running the pipeline over replayed models.

What goes in are recorded outcomes and token bills, each marked published, derived or inferred;
what comes out (solved shares, dollars, ratios) is computed by the run. Published figures are
only set beside ours. Outcomes are replayed from published statistics, and dollars are a check
that bills, prices and totals fit together, not new evidence.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from budgets.price_book import PriceBook, Unpriced
from budgets.usage import Usage
from orchestrator.analysis.compare import Difference, unpaired_difference
from orchestrator.analysis.cost import CostPoint, Marginal, marginal, overtaken_at
from orchestrator.analysis.coverage import coverage_curve, mean_coverage
from orchestrator.report.arms import read_arms
from orchestrator.report.data import ArmReport, CoveragePoint
from orchestrator.reproduce.published import Published, PublishedModel, load_published
from orchestrator.reproduce.replaying import Replayed, run_replay, serving, write_inputs
from orchestrator.store.reader import RunReader

STEPS = (1, 2, 5, 10, 20, 50, 100, 250)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One model: what came out of the run, and what it cost."""

    model: PublishedModel
    row: ArmReport
    point: CoveragePoint
    """Coverage after all its attempts."""
    per_attempt: int
    """Picodollars of one attempt, from the ledger."""
    today: int | None
    """Picodollars of the same attempts at today's prices; None where nobody sells it."""
    today_note: str

    @property
    def spent(self) -> int:
        return self.row.spent + self.row.uncertain


@dataclass(frozen=True, slots=True)
class Overtaken:
    """From which k on the cheapest model covers more than one attempt of a dearer one."""

    model: str
    estimated: int | None
    """Where its estimate passes; None: nowhere on its curve."""
    separable: int | None
    """From where on the two can be told apart."""


@dataclass(frozen=True, slots=True)
class CostTable:
    """The reproduced table, and what follows from it."""

    published: Published
    rows: tuple[TableRow, ...]
    directory: Path
    differences: tuple[tuple[str, Difference], ...]
    """Our cheapest model's coverage minus each dearer one's."""
    marginals: tuple[Marginal, ...]
    """Picodollars per further solve of the cheapest model; empty for a run of few attempts."""
    overtaken: tuple[Overtaken, ...]
    """Where the cheapest model's curve passes each dearer one."""
    curve: tuple[tuple[int, float, float], ...]
    """k, our coverage and the published one, in percent."""

    def relative(self, row: TableRow) -> float:
        """Its total over the cheapest model's."""
        return row.spent / self.rows[0].spent


def replayed(published: Published, attempts: int | None) -> list[Replayed]:
    """The models to run; `attempts` overrides the first one's number of attempts per problem."""
    book = PriceBook.load()
    models = [
        Replayed(
            name=model.name,
            right=model.right(),
            recorded=model.recorded,
            attempts=model.attempts,
            prompt_tokens=model.prompt_tokens,
            output_tokens=model.output_tokens,
            price=book.find(model.priced_as, model.priced_at, published.paper.moment),
        )
        for model in published.models
    ]
    if attempts is not None:
        models[0] = replace(models[0], attempts=attempts)
    return models


def reproduce_cost_table(
    directory: Path, *, attempts: int | None = None, seed: int = 0
) -> CostTable:
    """Run the study in `directory` and read the table from what it stored."""
    published = load_published()
    models = replayed(published, attempts)
    inputs = directory / "inputs"
    recordings = write_inputs(models, inputs, seed)
    with serving(models, recordings, seed) as urls:
        asyncio.run(run_replay(models, urls, inputs, directory / "run", seed))
    return read_cost_table(directory / "run", published)


def read_cost_table(run: Path, published: Published | None = None) -> CostTable:
    """The table of a run that reproduce_cost_table stored."""
    published = published or load_published()
    with closing(RunReader(run)) as reader:
        found = {arm.model: arm for arm in read_arms(reader)}
    rows = tuple(_row(model, found[model.name]) for model in published.models)
    first = rows[0]
    points = _every_k(first)
    return CostTable(
        published=published,
        rows=rows,
        directory=run,
        differences=tuple((row.model.name, _difference(first, row)) for row in rows[1:]),
        marginals=_marginals(first),
        overtaken=tuple(_overtaken(first, points, row) for row in rows[1:]),
        curve=tuple(
            (point.k, 100 * point.mean, published.curve.percent[str(point.k)])
            for point in first.row.points
            if str(point.k) in published.curve.percent
        ),
    )


def _row(model: PublishedModel, row: ArmReport) -> TableRow:
    per_attempt = Fraction(row.spent + row.uncertain, row.samples)
    today, note = _today(model, row.samples)
    return TableRow(model, row, row.points[-1], int(-(-per_attempt // 1)), today, note)


def _today(model: PublishedModel, samples: int) -> tuple[int | None, str]:
    """The same attempts at today's prices; raises nothing: a model may no longer be sold."""
    # At noon: some prices differ by the hour.
    noon = datetime.combine(datetime.now(UTC).date(), time(12), UTC)
    try:
        price = PriceBook.load().find(model.today_as, model.priced_at, noon)
    except Unpriced:
        return None, f"{model.today_as} has no price today"
    usage = Usage(input_tokens=model.prompt_tokens, output_tokens=model.output_tokens)
    renamed = "" if model.today_as == model.priced_as else f"as {model.today_as}"
    return price.cost(usage, at=noon) * samples, renamed


def _every_k(first: TableRow) -> list[CostPoint]:
    """The cheapest model's coverage and cost at every k, not only at the reported ones."""
    ks = range(1, min(first.row.n) + 1)
    means = mean_coverage(first.row.n, first.row.c, list(ks)).tolist()
    each = first.per_attempt * first.row.problems
    return [
        CostPoint(first.model.name, k, k * each, mean) for k, mean in zip(ks, means, strict=True)
    ]


def _single(row: TableRow) -> CostPoint:
    return CostPoint(row.model.name, row.point.k, row.spent, row.point.mean)


def _difference(first: TableRow, other: TableRow) -> Difference:
    """Unpaired: which of the 300 problems each model solved was not published."""
    ours, theirs = (
        (row.point.mean, row.point.low_like, row.point.high_like) for row in (first, other)
    )
    return unpaired_difference(ours, theirs, first.row.problems)


def _overtaken(first: TableRow, points: list[CostPoint], other: TableRow) -> Overtaken:
    passed = overtaken_at(points, _single(other))
    curve = coverage_curve(first.row.n, first.row.c)
    dear = (other.point.mean, other.point.low_like, other.point.high_like)
    apart = [
        unpaired_difference((mean, low, high), dear, first.row.problems).low > 0.0
        for mean, low, high in zip(
            curve.mean.tolist(), curve.low_like.tolist(), curve.high_like.tolist(), strict=True
        )
    ]
    # From the last k on at which they cannot be told apart.
    last = max((k for k, one in enumerate(apart, start=1) if not one), default=0)
    return Overtaken(
        other.model.name,
        None if passed is None else passed.k,
        last + 1 if last < len(apart) else None,
    )


def _marginals(first: TableRow) -> tuple[Marginal, ...]:
    points = {point.k: point for point in first.row.points}
    ks = [k for k in STEPS if k in points]
    return tuple(
        marginal(first.row.n, first.row.c, a, b, (points[b].at_k or 0) - (points[a].at_k or 0))
        for a, b in pairwise(ks)
    )
