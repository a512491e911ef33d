"""How fast a whole coverage curve is, against whole binomial coefficients of big integers.

    python -m benchmarks.analysis_curve

Times `coverage_curve` on 10,000 problems x every k <= 10,000, with the peak of its memory, and
the way of comb(n-c, k)/comb(n, k) in exact integers (as some evaluators do it) on as many
problems and k as finish soon, scaled up to the same work.
"""

from __future__ import annotations

import json
import math
import resource
import time

import numpy as np

from orchestrator.analysis.coverage import coverage_curve

PROBLEMS = ATTEMPTS = 10_000


def big_integers(n: int, c: int, k: int) -> float:
    """pass@k of one problem by exact binomial coefficients."""
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def main() -> None:
    draw = np.random.default_rng(1)
    right = draw.binomial(ATTEMPTS, draw.beta(0.3, 3.0, PROBLEMS))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    curve = coverage_curve(np.full(PROBLEMS, ATTEMPTS), right)
    ours = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    pairs = [(int(c), int(k)) for c, k in zip(
        draw.choice(right, 60), draw.integers(1, ATTEMPTS + 1, 60), strict=True)]  # fmt: skip
    start = time.process_time()
    for c, k in pairs:
        big_integers(ATTEMPTS, c, k)
    theirs = (time.process_time() - start) / len(pairs) * PROBLEMS * ATTEMPTS
    print(
        json.dumps(
            {
                "problems": PROBLEMS,
                "k": len(curve.k),
                "curve_with_intervals_s": round(ours, 3),
                "peak_mib": round(peak / 1024),
                "peak_before_mib": round(before / 1024),
                "big_integers_scaled_s": round(theirs),
                "times_faster": round(theirs / ours),
            }
        )
    )


if __name__ == "__main__":
    main()
