"""Reports to render: ordinary ones, and one in which every text is hostile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from budgets.money import picodollars
from orchestrator.analysis.cost import Fresh
from orchestrator.report.data import (
    ArmReport,
    ReadProblem,
    ReadSample,
    ReportData,
    SelectionSeries,
)
from orchestrator.report.describe import comparisons, with_curve, with_law

HOSTILE = "<script>document.title='owned'</script>\x1b[31m\x1b]0;owned\x07\"'&`|$\\_{}%#^~"


def arm(model: str, seed: int, *, easy: float = 0.3, n: int = 200) -> ArmReport:
    """An arm of 60 problems with money and operations at every point."""
    draw = np.random.default_rng(seed)
    right = draw.binomial(n, draw.beta(easy, 4.0, 60))
    made = ArmReport(
        provider="compatible", model=model, task="arithmetic", verifier="exact",
        problem_ids=tuple(f"p{i}" for i in range(60)), n=(n,) * 60, c=tuple(right.tolist()),
        spent=picodollars("12.34"), uncertain=picodollars("0.01"), censored=2,
    )  # fmt: skip
    made = with_law(with_curve(made))
    fresh = Fresh(0, 0, picodollars("0.05") * seed, 1)
    points = tuple(
        replace(
            point, at_k=fresh.usd_at_k(point.k),
            as_bought=picodollars("0.06") * point.k * seed, flops=1e12 * point.k,
        )
        for point in made.points
    )  # fmt: skip
    precision = tuple(0.02 * (i + 1) for i in range(3))
    selection = (SelectionSeries("majority", (1, 10, 100), precision),)
    return replace(made, points=points, fresh=fresh, selection=selection)


def to_read(name: str) -> ReadProblem:
    """A problem to read, HOSTILE in every text of it."""
    sample = ReadSample(3, "the first that failed", "failed", HOSTILE, HOSTILE, HOSTILE, 7, HOSTILE)
    return ReadProblem(name, HOSTILE, HOSTILE, (sample,))


def ordinary() -> ReportData:
    arms = (arm("small", 1), arm("large", 2, easy=0.9))
    return ReportData("Two arms", arms, comparisons(arms), ("A note.",))


def hostile() -> ReportData:
    """HOSTILE in every text that may come from a model, a file or a name."""
    one = arm(HOSTILE, 1)
    one = replace(
        one, provider=HOSTILE, task=HOSTILE, policy=HOSTILE, verifier=HOSTILE,
        problem_ids=tuple(f"{HOSTILE}{i}" for i in range(60)), notes=(HOSTILE,),
        forecast_refused=HOSTILE,
        selection=(SelectionSeries(HOSTILE, (1, 10), (0.1, 0.2)),),
        reading=tuple(to_read(f"{HOSTILE}{i}") for i in range(60)),
    )  # fmt: skip
    # On the same problems and dearer, but better later: it is compared, and overtakes.
    other = replace(
        arm("other", 4, easy=0.9), task=HOSTILE, problem_ids=one.problem_ids, reading=one.reading
    )
    return ReportData(HOSTILE, (one, other), (HOSTILE,), (HOSTILE,))
