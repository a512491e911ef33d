"""What it is worth that the bounds of a curve never fall: widths and coverage before and after.

    python -m benchmarks.analysis_monotone [REPLICATES [PROBLEMS]]

Curves of 30 problems (or PROBLEMS) are drawn from the populations of analysis_intervals. `before`
is the interval of each k by itself, `after` the curve's, in which each k takes what the others say.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.analysis_intervals import POPULATIONS
from orchestrator.analysis.coverage import _each, coverage_curve
from orchestrator.analysis.grid import points_to

ATTEMPTS = (5, 20, 100)


def main() -> None:
    replicates = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    problems = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    rows = {name: np.zeros(4) for name in ("these", "like")}
    cells = 0
    draw = np.random.default_rng(1)
    for population in POPULATIONS:
        for n in ATTEMPTS:
            ks = np.array(points_to(n))
            truth = np.array([population.coverage(int(k)) for k in ks])
            inside = (truth >= 0.01) & (truth <= 0.99)
            for _ in range(replicates):
                rates = population.draw(draw)[:problems]
                right = draw.binomial(n, rates)
                own = (1.0 - (1.0 - rates) ** ks[:, None]).mean(axis=1)
                before = _each(np.full(problems, n), right, ks, n, 0.95)
                after = coverage_curve([n] * problems, right, ks)
                for name, ends, held in (
                    ("these", ("low", "high"), own),
                    ("like", ("low_like", "high_like"), truth),
                ):
                    for place, curve in ((0, before), (2, after)):
                        low, high = (getattr(curve, end)[inside] for end in ends)
                        rows[name][place] += (high - low).sum()
                        rows[name][place + 1] += (
                            (low <= held[inside] + 1e-12) & (held[inside] <= high + 1e-12)
                        ).sum()
                cells += int(inside.sum())
    print(f"{problems} problems, {replicates} replicates, {cells:,} intervals of each kind")
    print("| interval | width before | after | holds before | after |\n|---|---|---|---|---|")
    for name, sums in rows.items():
        wide, held, wide_after, held_after = sums / cells
        print(f"| {name} | {100 * wide:.1f} | {100 * wide_after:.1f} | {held:.3f} "
              f"| {held_after:.3f} |")  # fmt: skip


if __name__ == "__main__":
    main()
