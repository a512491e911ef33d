"""Simulated comparisons at equal dollars: how often the interval holds, and the decision is right.

    python -m benchmarks.analysis_equal [REPLICATES [PROBLEMS,...]]

Problems are drawn from a population, two arms make their attempts at them, an attempt's output
varies in length (lognormal, sigma 0.7), and everything is read from what was bought, k at the
budget included. `holds`: the 95 % interval of the difference at the deciding budget holds the
difference in the population at the true k of that budget. `right`, `wrong`: how often the arm that
covers more there is named, and how often the other. `false`: a difference is claimed where
there is none, for two equal arms, and for five of which any two may be claimed to differ.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from orchestrator.analysis.compare import corrected, paired_contrast
from orchestrator.analysis.equal import Buyable, deciding_budget

Rates = NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """How an arm is planted: its attempts, and the true mean cost of one."""

    n: int
    cost: float


@dataclass(frozen=True)
class Pair:
    """Two arms with their success rates on one population."""

    name: str
    draw: Callable[[np.random.Generator, int], tuple[Rates, Rates]]
    cheap: Arm
    dear: Arm


@lru_cache(1)
def _population(pair: Pair) -> tuple[Rates, Rates]:
    return pair.draw(np.random.default_rng(1), 200_000)


@lru_cache
def _truth(pair: Pair, k_cheap: int, k_dear: int) -> float:
    """The difference in the population at these attempts."""
    first, second = _population(pair)
    return float(((1.0 - second) ** k_dear - (1.0 - first) ** k_cheap).mean())


def _correlated(a: tuple[float, float], b: tuple[float, float]):
    def draw(generator: np.random.Generator, size: int) -> tuple[Rates, Rates]:
        u = generator.random(size)
        return stats.beta.ppf(u, *a), stats.beta.ppf(u, *b)

    return draw


def _apart(generator: np.random.Generator, size: int) -> tuple[Rates, Rates]:
    return generator.beta(0.4, 8.0, size), generator.beta(0.8, 1.2, size)


def _groups(generator: np.random.Generator, size: int) -> tuple[Rates, Rates]:
    hard = generator.random(size) < 0.3
    return np.where(hard, 0.0, 0.03), np.where(hard, 0.02, 0.5)


def _same(generator: np.random.Generator, size: int) -> tuple[Rates, Rates]:
    rates = generator.beta(0.5, 3.0, size)
    return rates, rates


PAIRS = (
    Pair("alike in difficulty, 50 against 1", _correlated((0.4, 8), (0.8, 1.2)),
         Arm(50, 1.0), Arm(1, 50.0)),
    Pair("alike in difficulty, 200 against 10", _correlated((0.4, 8), (0.8, 1.2)),
         Arm(200, 1.0), Arm(10, 20.0)),
    Pair("unlike, 50 against 5", _apart, Arm(50, 1.0), Arm(5, 10.0)),
    Pair("groups, 100 against 4", _groups, Arm(100, 1.0), Arm(4, 25.0)),
    Pair("easy, 20 against 2", _correlated((5, 1), (8, 0.5)), Arm(20, 1.0), Arm(2, 10.0)),
)  # fmt: skip
SIZES = (6, 10, 15, 20, 50, 128, 300)


def bought(rates: Rates, arm: Arm, draw: np.random.Generator) -> Buyable:
    """An arm's outcomes, and what an attempt was seen to cost."""
    paid = arm.cost * draw.lognormal(-0.245, 0.7, (len(rates), arm.n)).mean(axis=1)
    total, right = float(paid.sum()), draw.binomial(arm.n, rates)
    return Buyable((arm.n,) * len(rates), tuple(right.tolist()), lambda k: k * total)


def held(
    pair: Pair, problems: int, replicates: int, seed: int
) -> tuple[float, float, float, float]:
    """How often the interval holds, its mean width, and how often the arm that covers more in
    the population is named, and how often the other."""
    draw = np.random.default_rng(seed)
    hits = width = right = wrong = 0.0
    for _ in range(replicates):
        first, second = pair.draw(draw, problems)
        arms = [bought(first, pair.cheap, draw), bought(second, pair.dear, draw)]
        budget = deciding_budget(arms)
        ks = tuple(arm.affordable(budget) for arm in arms)
        truth = _truth(pair, *ks)
        gaps = arms[0].each([ks[0]])[0] - arms[1].each([ks[1]])[0]
        found = paired_contrast(gaps).at(0.95)
        hits += found.low <= truth <= found.high
        width += found.high - found.low
        right += found.separable and (found.mean > 0) == (truth > 0)
        wrong += found.separable and (found.mean > 0) != (truth > 0)
    return hits / replicates, width / replicates, right / replicates, wrong / replicates


def false_claims(arms: int, problems: int, replicates: int, seed: int) -> float:
    """How often arms of the same truth are said to differ, in any pair."""
    draw = np.random.default_rng(seed)
    claimed = 0
    for _ in range(replicates):
        rates = draw.beta(0.5, 3.0, problems)
        rows = [bought(rates, Arm(50, 1.0), draw).each([20])[0] for _ in range(arms)]
        pairs = [paired_contrast(a - b) for i, a in enumerate(rows) for b in rows[i + 1 :]]
        claimed += any(one.separable for one in corrected(pairs))
    return claimed / replicates


def main() -> None:
    replicates = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    sizes = tuple(map(int, sys.argv[2].split(","))) if len(sys.argv) > 2 else SIZES
    print("| arms | problems | holds | width | right | wrong |\n|---|---|---|---|---|---|")
    for number, pair in enumerate(PAIRS):
        for problems in sizes:
            hits, width, right, wrong = held(pair, problems, replicates, 100 * number + problems)
            print(f"| {pair.name} | {problems} | {hits:.3f} | {100 * width:.1f} | {right:.3f} "
                  f"| {wrong:.3f} |", flush=True)  # fmt: skip
    for arms in (2, 5):
        for problems in (20, 128):
            share = false_claims(arms, problems, replicates, arms)
            print(f"{arms} equal arms, {problems} problems: {share:.3f} false claims", flush=True)


if __name__ == "__main__":
    main()
