"""From stored runs to one ReportData: each arm's row, law, forecasts and majority vote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from orchestrator.analysis.flops import ModelShape
from orchestrator.analysis.grid import points_to
from orchestrator.analysis.selection import Judged, SelectionCurve, over_problems
from orchestrator.plan.names import told_apart
from orchestrator.report.arms import read_arms
from orchestrator.report.data import ArmReport, ReportData, SelectionSeries
from orchestrator.report.describe import comparisons, with_law
from orchestrator.report.reading import with_reading
from orchestrator.report.reprice import Repricing
from orchestrator.store.columns import votes
from orchestrator.store.packing import Vote
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow


def collect(
    directories: Sequence[Path],
    forecast_at: Sequence[int] = (),
    shapes: Mapping[str, ModelShape] | None = None,
) -> ReportData:
    """One report over every arm of the runs; raises ConfigError for what is not a run."""
    arms: list[ArmReport] = []
    for directory in directories:
        with closing(RunReader(directory)) as reader:
            arms += collect_run(reader, forecast_at, shapes)
    return together(arms)


def load(directory: Path | str) -> ReportData:
    """The report of one run, as data; raises ConfigError for what is not a run."""
    return collect([Path(directory)])


def collect_run(
    reader: RunReader,
    forecast_at: Sequence[int] = (),
    shapes: Mapping[str, ModelShape] | None = None,
    by: Repricing | None = None,
    *,
    reading: bool = False,
) -> list[ArmReport]:
    """Every arm of one run, with all that a report says of it; raises ConfigError.

    `reading`: with the few samples of each problem that the page shows.
    """
    found = []
    for stored, arm in zip(reader.arms(), read_arms(reader, shapes, by), strict=True):
        whole = with_law(_with_selection(reader, stored, arm), forecast_at or None)
        found.append(with_reading(reader, stored, whole) if reading else whole)
    return found


def together(arms: Sequence[ArmReport]) -> ReportData:
    """One report over arms of any origin, each with a name of its own."""
    arms = _told_apart(arms)
    names = ", ".join(dict.fromkeys(arm.task for arm in arms))
    days = ", ".join(dict.fromkeys(arm.repriced_on for arm in arms if arm.repriced_on))
    title = f"Coverage per dollar: {names}" + (f", at the prices of {days}" if days else "")
    return ReportData(title, tuple(arms), comparisons(arms))


def _with_selection(reader: RunReader, stored: ArmRow, arm: ArmReport) -> ArmReport:
    """Majority vote over the verdicts' answers, and what each stored reward model chooses.

    None of it where the policy or the verifier does not allow it; notes say what rewards lack.
    """
    if not arm.uniform or not arm.points:
        return arm
    scored_by = reader.rewards(stored.number)
    if not scored_by:
        return replace(arm, selection=_majority_alone(reader, stored, arm))
    pool = _Pool(arm.problems)
    for problem, slot, kind, answer in reader.verdicts(stored.number, arm.verifier):
        if kind != "infra_error":
            pool.add(problem, slot, answer, kind == "passed")
    if not pool.smallest:
        return arm
    ks = points_to(pool.smallest)
    series, notes = list[SelectionSeries](), list[str]()
    if pool.answered:
        series.append(_series("majority", over_problems(pool.judged(), ks, "majority")))
    for scorer, rewards in scored_by.items():
        model = _short(scorer, scored_by)
        missing = pool.without(rewards)
        if missing:
            notes.append(
                f"{missing:,} of {pool.size:,} judged samples have no reward of {model} yet: "
                "score them with orch verify RUN --reward-model URL"
            )
            continue
        scored = pool.judged(rewards)
        series.append(_series(f"best of k by {model}", over_problems(scored, ks, "best-of-n")))
        if pool.answered:
            weighted = over_problems(scored, ks, "weighted")
            series.append(_series(f"vote weighted by {model}", weighted))
        notes.append(f"the time of {model}, which scored the samples, is in none of the dollars")
    return replace(arm, selection=tuple(series), notes=(*arm.notes, *notes))


def _majority_alone(
    reader: RunReader, stored: ArmRow, arm: ArmReport
) -> tuple[SelectionSeries, ...]:
    """Majority vote, from votes that the database counts: there may be millions of samples."""
    counted = votes(reader, stored.number, arm.verifier)
    problems, answered = list[Judged](), False
    for _, group in groupby(counted, key=itemgetter(0)):
        rows = list(group)
        classes = np.array([-1 if one[1] is None else at for at, one in enumerate(rows)])
        given = np.array([one[2] for one in rows])
        right = np.array([one[3] for one in rows])
        pairs = np.ravel(np.column_stack((right, given - right)))
        correct = np.repeat(np.tile([True, False], len(rows)), pairs)
        problems.append(Judged(np.repeat(classes, given), correct))
        answered = answered or bool((classes >= 0).any())
    if len(problems) < arm.problems or not answered:
        return ()
    ks = points_to(min(len(one.answer) for one in problems))
    return (_series("majority", over_problems(problems, ks, "majority")),)


def _short(scorer: str, among: Iterable[str]) -> str:
    """A reward model by its name alone, where it scored in one way only."""
    name = scorer.partition(" (")[0]
    return name if sum(other.partition(" (")[0] == name for other in among) == 1 else scorer


def _series(name: str, curve: SelectionCurve) -> SelectionSeries:
    return SelectionSeries(name, tuple(curve.k.tolist()), tuple(curve.precision.tolist()))


class _Pool:
    """The judged samples of every problem of one arm."""

    def __init__(self, problems: int) -> None:
        self._slots: list[list[int]] = [[] for _ in range(problems)]
        self._answers: list[list[Vote]] = [[] for _ in range(problems)]
        self._right: list[list[bool]] = [[] for _ in range(problems)]

    def add(self, problem: int, slot: int, answer: Vote, right: bool) -> None:
        self._slots[problem].append(slot)
        self._answers[problem].append(answer)
        self._right[problem].append(right)

    @property
    def smallest(self) -> int:
        return min(len(slots) for slots in self._slots)

    @property
    def size(self) -> int:
        return sum(len(slots) for slots in self._slots)

    @property
    def answered(self) -> bool:
        """Whether the verifier names answers at all."""
        return any(answer is not None for answers in self._answers for answer in answers)

    def without(self, rewards: Mapping[tuple[int, int], float | None]) -> int:
        """How many judged samples nobody asked the reward model about."""
        return sum(
            (problem, slot) not in rewards
            for problem, slots in enumerate(self._slots)
            for slot in slots
        )

    def judged(self, rewards: Mapping[tuple[int, int], float | None] | None = None) -> list[Judged]:
        """Ready to be selected from.

        A sample that the reward model could not read ranks below every other and has no vote.
        """
        if rewards is None:
            pairs = zip(self._answers, self._right, strict=True)
            return [Judged(_classes(given), np.array(right, np.bool_)) for given, right in pairs]
        found = []
        for problem, slots in enumerate(self._slots):
            scores = [rewards[problem, slot] for slot in slots]
            read = [score for score in scores if score is not None]
            lowest = min(read, default=0.0) - 1.0
            answers = [
                None if score is None else answer
                for score, answer in zip(scores, self._answers[problem], strict=True)
            ]
            ranked = np.array([lowest if score is None else score for score in scores])
            found.append(
                Judged(_classes(answers), np.array(self._right[problem], np.bool_), ranked)
            )
        return found


def _classes(answers: Sequence[Vote]) -> np.ndarray:
    """A number for each distinct answer, -1 where none was parsed."""
    numbers: dict[Vote, int] = {}
    return np.array(
        [-1 if one is None else numbers.setdefault(one, len(numbers)) for one in answers],
        dtype=np.int64,
    )


def _told_apart(arms: Sequence[ArmReport]) -> list[ArmReport]:
    """Every arm with a name of its own."""
    known = [
        {**arm.settings, "name": arm.name, "model": arm.model, "task": arm.task,
         "policy": arm.policy, "provider": arm.provider}
        for arm in arms
    ]  # fmt: skip
    names = told_apart(known)
    return [replace(arm, name=name) for arm, name in zip(arms, names, strict=True)]
