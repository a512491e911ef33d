"""Simulated coverage of both intervals on problem sets of known truth, as a Markdown table.

    python -m benchmarks.analysis_intervals [REPLICATES [FIRST LAST]]

Every replicate draws a fresh set of 128 problems and its counts. `these` asks whether the
interval for these problems holds that very set's coverage, `fixed` the same for one set kept
throughout, `like` whether the other interval holds the coverage of the whole population. A star
marks cells where orch itself says, in at least half of the replicates, not to trust the interval.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from orchestrator.analysis.coverage import coverage_curve

PROBLEMS = 128


@dataclass(frozen=True)
class Population:
    """Success rates to draw problems from, with their true coverage."""

    name: str
    draw: Callable[[np.random.Generator], NDArray[np.float64]]
    coverage: Callable[[int], float]


def beta(a: float, b: float, never: float = 0.0) -> Population:
    """Rates from Beta(a, b), but a share `never` of problems cannot be solved."""

    def draw(generator: np.random.Generator) -> NDArray[np.float64]:
        rates = generator.beta(a, b, PROBLEMS)
        return np.where(generator.random(PROBLEMS) < never, 0.0, rates)

    name = f"Beta({a:g}, {b:g})" + (f", {never:.0%} never" if never else "")
    return Population(
        name, draw, lambda k: float((1 - never) * -np.expm1(betaln(a, b + k) - betaln(a, b)))
    )


def groups(*parts: tuple[float, float]) -> Population:
    """Rates in a few groups: (share, rate) each."""
    shares, rates = (np.array(part) for part in zip(*parts, strict=True))
    name = ", ".join(f"{share:.0%} at {rate:g}" for share, rate in parts)
    return Population(
        name,
        lambda generator: generator.choice(rates, PROBLEMS, p=shares),
        lambda k: float(shares @ (1.0 - (1.0 - rates) ** k)),
    )


POPULATIONS = (
    beta(0.1, 5),
    beta(0.3, 3),
    beta(0.5, 50),
    beta(0.2, 0.2),
    beta(1, 1),
    beta(2, 8),
    beta(5, 1),
    beta(0.5, 10, never=0.4),
    beta(1, 1, never=0.7),
    groups((1.0, 0.02)),
    groups((0.5, 0.3), (0.5, 0.001)),
    groups((0.05, 0.5), (0.95, 0.001)),
    groups((0.9, 0.95), (0.1, 0.02)),
)
SIZES = {5: (1, 2, 5), 20: (1, 5, 10, 20), 100: (1, 10, 50, 70, 100), 1000: (1, 30, 500, 1000)}


@dataclass(frozen=True)
class Cell:
    """Simulated coverage at one (population, n, k)."""

    population: str
    n: int
    k: int
    truth: float
    these: float
    fixed: float
    like: float
    width: float
    width_like: float
    flagged: float
    """Share of replicates in which the note says not to trust the interval for these problems."""
    flagged_like: float


def simulate(
    populations: Sequence[Population],
    sizes: dict[int, tuple[int, ...]],
    replicates: int,
    seed: int,
    *,
    first: int = 0,
    last: int | None = None,
) -> Iterator[Cell]:
    """The cells of populations first..last-1 whose truth lies between 1 and 99 %."""
    for number, population in list(enumerate(populations))[first:last]:
        for n, every_k in sizes.items():
            ks = [k for k in every_k if 0.01 <= population.coverage(k) <= 0.99]
            if ks:
                yield from _cells(population, n, ks, replicates, seed + 1000 * number + n)


def _cells(
    population: Population, n: int, ks: list[int], replicates: int, seed: int
) -> Iterator[Cell]:
    generator = np.random.default_rng(seed)
    power = np.array(ks)[:, None]
    truth = np.array([population.coverage(k) for k in ks])
    kept = population.draw(generator)
    kept_truth = (1.0 - (1.0 - kept) ** power).mean(axis=1)
    hits, widths, flags = (np.zeros((rows, len(ks))) for rows in (3, 2, 2))
    for _ in range(replicates):
        rates = population.draw(generator)
        curve = coverage_curve(np.full(PROBLEMS, n), generator.binomial(n, rates), ks)
        own = (1.0 - (1.0 - rates) ** power).mean(axis=1)
        hits[0] += (curve.low <= own) & (own <= curve.high)
        hits[2] += (curve.low_like <= truth) & (truth <= curve.high_like)
        flags += ~curve.trusted, ~curve.trusted_like
        widths += curve.high - curve.low, curve.high_like - curve.low_like
        again = coverage_curve(np.full(PROBLEMS, n), generator.binomial(n, kept), ks)
        hits[1] += (again.low <= kept_truth) & (kept_truth <= again.high)
    hits, widths, flags = hits / replicates, widths / replicates, flags / replicates
    for i, k in enumerate(ks):
        yield Cell(population.name, n, k, truth[i], *hits[:, i], *widths[:, i], *flags[:, i])


def main() -> None:
    replicates = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    # A slice of the populations, so that several processes can share the work.
    first, last = (int(part) for part in sys.argv[2:4]) if len(sys.argv) > 3 else (0, None)
    print("| rates | n | k | truth % | these | one fixed set | like these | width | width like |")
    print("|---|---|---|---|---|---|---|---|---|")
    cells = []
    for cell in simulate(POPULATIONS, SIZES, replicates, seed=1, first=first, last=last):
        cells.append(cell)
        own, other = ("*" if share >= 0.5 else "" for share in (cell.flagged, cell.flagged_like))
        print(
            f"| {cell.population} | {cell.n} | {cell.k} | {100 * cell.truth:.1f} "
            f"| {cell.these:.3f}{own} | {cell.fixed:.3f}{own} | {cell.like:.3f}{other} "
            f"| {100 * cell.width:.1f} | {100 * cell.width_like:.1f} |",
            flush=True,
        )
    for line in summary(cells):
        print(line)


def summary(cells: Sequence[Cell]) -> Iterator[str]:
    """Cells that are outside, those whose note warns (in most replicates) counted apart."""
    for name, flag in (("these", "flagged"), ("fixed", "flagged"), ("like", "flagged_like")):
        for said, warned in (("trusted", False), ("flagged", True)):
            chosen = [cell for cell in cells if bool(getattr(cell, flag) >= 0.5) == warned]
            values = np.array([getattr(cell, name) for cell in chosen])
            if not len(values):
                continue
            low, high = int((values < 0.92).sum()), int((values > 0.98).sum())
            yield (
                f"{name}, {said}: mean {values.mean():.3f}, least {values.min():.3f}, most "
                f"{values.max():.3f}; of {len(values)} cells {low} below 0.92, {high} above 0.98"
            )


if __name__ == "__main__":
    main()
