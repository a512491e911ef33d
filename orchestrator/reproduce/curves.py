"""The paper's coverage curves and fits, from imported outcomes, beside what it printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from orchestrator.analysis.cost import Fresh
from orchestrator.report.data import ArmReport, ReportData
from orchestrator.report.describe import comparisons, with_curve, with_law
from orchestrator.reproduce.derived import with_operations
from orchestrator.reproduce.recorded import RecordedOutcomes


@dataclass(frozen=True, slots=True)
class PrintedFit:
    """A fit as the paper prints it: exp(a k^b), natural logarithm; its error where printed."""

    a: float
    b: float
    error_mean: float | None = None
    error_sd: float | None = None
    version: str = "v3, figure 5"


PRINTED: dict[tuple[str, str], PrintedFit] = {
    ("math", "llama38binstruct"): PrintedFit(-1.33, -0.43, 0.003, 0.0027),
    ("math", "llama370binstruct"): PrintedFit(-0.75, -0.46, 0.0056, 0.0036),
    ("codecontests", "llama38binstruct"): PrintedFit(-3.88, -0.11, 0.002, 0.0015),
    ("codecontests", "llama370binstruct"): PrintedFit(-2.52, -0.11, 0.0056, 0.0027),
    ("math", "pythia70m"): PrintedFit(-7.59, -0.18, 0.0052, 0.0071),
    ("math", "pythia12b"): PrintedFit(-3.92, -0.35, 0.0189, 0.0118),
    ("math", "gemma2b"): PrintedFit(-2.45, -0.38, 0.0218, 0.014),
    ("minif2fmath", "llama38binstruct"): PrintedFit(-1.33, -0.08, 0.0297, 0.0157),
    ("math", "llama38b"): PrintedFit(-1.98, -0.39, version="v1"),
    ("math", "gemma7b"): PrintedFit(-1.68, -0.42, version="v1"),
    ("math", "pythia160m"): PrintedFit(-6.42, -0.27, version="v1"),
    ("math", "pythia410m"): PrintedFit(-5.39, -0.28, version="v1"),
    ("math", "pythia1b"): PrintedFit(-5.09, -0.29, version="v1"),
    ("math", "pythia14b"): PrintedFit(-4.65, -0.32, version="v1"),
    ("math", "pythia28b"): PrintedFit(-4.10, -0.33, version="v1"),
    ("math", "pythia69b"): PrintedFit(-4.21, -0.34, version="v1"),
    ("codecontests", "gemma2b"): PrintedFit(-8.54, -0.14, version="v1"),
    ("codecontests", "gemma7b"): PrintedFit(-4.54, -0.13, version="v1"),
    ("minif2fmath", "llama370binstruct"): PrintedFit(-1.36, -0.09, version="v1"),
    ("gsm8k", "llama38binstruct"): PrintedFit(-0.28, -0.80, version="v1"),
    ("gsm8k", "llama370binstruct"): PrintedFit(-0.05, -0.36, version="v1"),
}
"""Parameters printed in arXiv 2407.21787; those of v1 are converted from base 10."""


def printed_fit(arm: ArmReport) -> PrintedFit | None:
    """What the paper prints for this task and model, None where it prints nothing."""
    task, model = _bare(arm.task), _bare(arm.model)
    return PRINTED.get(({"minif2f": "minif2fmath"}.get(task, task), model))


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().removeprefix("meta-"))


def coverage_report(
    outcomes: Sequence[RecordedOutcomes], forecast_at: Sequence[int] = ()
) -> ReportData:
    """Curves with intervals, fits and forecasts of imported outcomes."""
    arms = [
        with_operations(with_law(
            with_curve(
                ArmReport(
                    provider="imported", paid=one.spent is not None, model=one.model, task=one.task,
                    problem_ids=one.problem_ids, n=one.n, c=one.c, spent=one.spent or 0,
                    fresh=_fresh(one), name=_name(one, outcomes),
                )
            ),
            forecast_at or None,
        ))
        for one in outcomes
    ]  # fmt: skip
    return ReportData("Coverage of imported outcomes", tuple(arms), comparisons(arms))


def _name(one: RecordedOutcomes, among: Sequence[RecordedOutcomes]) -> str:
    name = one.name or one.model
    return f"{name}, {one.task}" if _many_tasks(among) else name


def _fresh(one: RecordedOutcomes) -> Fresh | None:
    """What attempts cost afresh: as much as those that were recorded did on average."""
    if one.spent is None or not sum(one.n):
        return None
    return Fresh(0, 0, Fraction(one.spent * len(one.n), sum(one.n)), 1)


def _many_tasks(outcomes: Sequence[RecordedOutcomes]) -> bool:
    return len({one.task for one in outcomes}) > 1
