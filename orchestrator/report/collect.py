"""From stored runs to one ReportData: each arm's row, law, forecasts and majority vote."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from orchestrator.analysis.selection import Judged, over_problems
from orchestrator.report.data import ArmReport, CoveragePoint, ReportData, SelectionSeries
from orchestrator.report.describe import comparisons, points_to, with_law
from orchestrator.report.reprice import Repricing
from orchestrator.report.rows import Row, read_rows
from orchestrator.store.reader import ArmRow, RunReader


def collect(
    directories: Sequence[Path], forecast_at: Sequence[int] = (), by: Repricing | None = None
) -> ReportData:
    """One report over every arm of the runs; raises ConfigError for what is not a run.

    `by`: other prices than the runs' own, to count the money by.
    """
    arms: list[ArmReport] = []
    for directory in directories:
        with closing(RunReader(directory)) as reader:
            rows = read_rows(reader, by)
            for stored, row in zip(reader.arms(), rows, strict=True):
                arms.append(_arm(reader, stored, row, forecast_at))
    arms = _told_apart(arms)
    names = ", ".join(dict.fromkeys(arm.task for arm in arms))
    days = ", ".join(dict.fromkeys(arm.repriced_on for arm in arms if arm.repriced_on))
    title = f"Coverage per dollar: {names}" + (f", at the prices of {days}" if days else "")
    return ReportData(title, tuple(arms), comparisons(arms))


def _arm(reader: RunReader, stored: ArmRow, row: Row, forecast_at: Sequence[int]) -> ArmReport:
    points = tuple(
        CoveragePoint(
            k=point.k, mean=point.mean, low=point.low, high=point.high, low_like=point.low_like,
            high_like=point.high_like, as_bought=point.usd_as_bought, at_k=point.usd_at_k,
        )
        for point in row.coverage
    )  # fmt: skip
    problems = reader.problems(stored.problem_set)
    arm = ArmReport(
        provider=row.provider,
        model=row.model,
        task=row.task,
        policy=row.policy,
        estimator=row.estimator,
        verifier=row.verifier,
        problem_ids=tuple(problem.id for problem in problems),
        n=tuple(row.counts.judged.tolist()),
        c=tuple(row.counts.passed.tolist()),
        censored=row.censored,
        infra_errors=row.infra_errors,
        spent=row.spent,
        uncertain=row.uncertain,
        points=points,
        selection=_majority(reader, stored, row, len(problems)),
        notes=tuple(row.notes),
        repriced_on=row.repriced_on,
    )
    return with_law(arm, forecast_at or None)


def _majority(
    reader: RunReader, stored: ArmRow, row: Row, problems: int
) -> tuple[SelectionSeries, ...]:
    """Majority vote over the verdicts' answers; none where the verifier names no answers."""
    if row.policy != "uniform" or not row.coverage:
        return ()
    answers: list[list[str | None]] = [[] for _ in range(problems)]
    right: list[list[bool]] = [[] for _ in range(problems)]
    for problem, _, kind, answer in reader.verdicts(stored.number, row.verifier):
        if kind != "infra_error":
            answers[problem].append(answer)
            right[problem].append(kind == "passed")
    if not any(answer is not None for row_of in answers for answer in row_of):
        return ()
    judged = [
        Judged(_classes(given), np.array(passed, dtype=np.bool_))
        for given, passed in zip(answers, right, strict=True)
    ]
    ks = points_to(min(len(given) for given in answers))
    curve = over_problems(judged, ks, "majority")
    return (SelectionSeries("majority", tuple(ks), tuple(curve.precision.tolist())),)


def _classes(answers: Sequence[str | None]) -> np.ndarray:
    """A number for each distinct answer, -1 where none was parsed."""
    numbers: dict[str, int] = {}
    return np.array(
        [-1 if one is None else numbers.setdefault(one, len(numbers)) for one in answers],
        dtype=np.int64,
    )


def _told_apart(arms: list[ArmReport]) -> list[ArmReport]:
    """Names for arms that share a model: the task and policy, then a number."""
    labels = [arm.model for arm in arms]
    for part in ("task", "policy", "provider"):
        if len(set(labels)) < len(labels):
            more = [str(getattr(arm, part)) for arm in arms]
            if len(set(more)) > 1:
                labels = [f"{label}, {one}" for label, one in zip(labels, more, strict=True)]
    seen: dict[str, int] = {}
    named = []
    for arm, label in zip(arms, labels, strict=True):
        seen[label] = seen.get(label, 0) + 1
        repeated = labels.count(label) > 1
        named.append(replace(arm, name=f"{label} ({seen[label]})" if repeated else label))
    return named
