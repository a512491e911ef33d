"""Coverage of one stored arm by the estimator that fits how its attempts were chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from orchestrator.analysis.band import posterior_band
from orchestrator.analysis.beta import BetaPosterior
from orchestrator.analysis.clusters import numbered
from orchestrator.analysis.coverage import coverage_curve
from orchestrator.analysis.grid import points_to
from orchestrator.analysis.pairing import Estimator, WrongEstimator, fitting
from orchestrator.analysis.survival import FAILED, PASSED, UNKNOWN, DrawOutcomes, survival_curve
from orchestrator.analysis.unbiased import Floats, Integers
from orchestrator.errors import ConfigError
from orchestrator.report.text import percent
from orchestrator.schedule import estimators_of
from orchestrator.store.packing import Vote
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow, SlotCounts

Shares = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Coverage at some k by the estimator that fits the arm's policy."""

    estimator: Estimator
    ks: list[int]
    shares: list[Shares]
    """mean, low, high, low_like, high_like at each k."""
    notes: list[str]

    @property
    def uniform(self) -> bool:
        return self.estimator == "unbiased"


def estimate(
    reader: RunReader,
    arm: ArmRow,
    counts: SlotCounts,
    verifier: str,
    groups: Sequence[str] = (),
) -> Curve:
    """The curve of a stored arm, with notes where there is none or it deserves less trust.

    `groups`: the group of each problem, where they have some.
    """
    solved = counts.passed > 0
    depth = counts.planned[~solved]
    step = int(arm.spec["n_per_request"])
    contiguous = not len(depth) or int(depth.max() - depth.min()) <= step
    try:
        estimator = fitting(_estimators(arm), contiguous=contiguous)
    except WrongEstimator as error:
        said = f"no coverage: of the policy {arm.policy}, {error}; its counts stand below"
        return Curve("model", [], [], [said])
    if estimator == "unbiased":
        return _unbiased(arm, counts, groups)
    batches = slot_batches(reader, arm, verifier)
    if not batches:
        return Curve(estimator, [], [], ["no coverage yet"])
    return _model(counts) if estimator == "model" else _survival(arm, counts, batches)


def _estimators(arm: ArmRow) -> tuple[str, ...]:
    """What the arm's policy named when it bought; runs of old do not say, and ask it now."""
    if "estimators" in arm.spec:
        return tuple(arm.spec["estimators"])
    try:
        return estimators_of(arm.policy)
    except ConfigError as error:
        raise WrongEstimator(str(error).rstrip(".")) from None


def _unbiased(arm: ArmRow, counts: SlotCounts, groups: Sequence[str]) -> Curve:
    """Attempts that were planned beforehand: pass@k up to the fewest of any problem.

    Where money did not reach every problem, over those that were asked; the lower bound counts
    the others as unsolved.
    """
    asked = counts.judged > 0
    share = float(asked.mean())
    if not share:
        return Curve("unbiased", [], [], ["no coverage yet: no attempt is judged"])
    judged, passed = counts.judged[asked], counts.passed[asked]
    most = int(judged.min())
    notes = []
    if share == 1.0 and most < arm.samples:
        notes.append(
            f"coverage is reported up to k = {most}, the fewest judged attempts of any problem"
        )
    ks = points_to(most)
    level, looks = _level(arm)
    notes += looks
    together, said = _together([name for name, was in zip(groups, asked, strict=False) if was])
    notes += said
    curve = coverage_curve(judged, passed, np.array(ks), level=level, groups=together)
    low, low_like = curve.low, curve.low_like
    unknown = (counts.censored + counts.infra)[asked]
    if unknown.any():
        # Slots without a verdict widen the interval downwards: there they count as wrong.
        wrong = coverage_curve(judged + unknown, passed, np.array(ks), level=level, groups=together)
        low, low_like = np.minimum(low, wrong.low), np.minimum(low_like, wrong.low_like)
    if share < 1.0:
        low, low_like = share * low, share * low_like
        refused = int((counts.infra[~asked] > 0).sum())
        notes.insert(0, _partly(curve.mean[-1], ks[-1], int(asked.sum()), len(asked), refused))
    if curve.note:
        notes.append(curve.note)
    table = np.stack([curve.mean, low, curve.high, low_like, curve.high_like], axis=1)
    return Curve("unbiased", ks, _shares(table), notes)


def _together(groups: Sequence[str]) -> tuple[Integers | None, list[str]]:
    """The number of each problem's group, where some hold several problems, and a note on that."""
    numbers = numbered(groups)
    found = len(set(groups))
    if found == len(groups) or found < 2:
        return None, []
    return numbers, [
        f"its {len(groups)} problems fall into {found} groups, and intervals for problems like "
        "these are for groups like these"
    ]


def _level(arm: ArmRow) -> tuple[float, list[str]]:
    """The level of the arm's intervals, and why it is not 95 %."""
    target = float(arm.spec.get("target_coverage") or 0.0)
    if not target:
        return 0.95, []
    looks = len(points_to(arm.samples))
    return 1.0 - 0.05 / looks, [
        f"the run was to stop at a coverage of {percent(target)}, so its intervals are widened for "
        f"the {looks} looks at it"
    ]


def _partly(mean: float, k: int, asked: int, problems: int, refused: int) -> str:
    reached = f"the money reached {asked} of {problems} problems"
    if refused:
        reached = f"{asked} of {problems} problems were answered ({refused} could not be asked)"
    return (
        f"{reached}, and the table is of those; at k = {k} "
        f"coverage of all {problems} lies between {percent(mean * asked / problems)} (those never "
        f"asked count as unsolved) and {percent(mean)} (they are left out)"
    )


def _model(counts: SlotCounts) -> Curve:
    """Attempts in any order: the beta-binomial model."""
    failures = counts.judged - counts.passed
    posterior = BetaPosterior.from_first_successes(failures, counts.passed > 0)
    ks = points_to(int(counts.planned.max()))
    low, high = posterior_band(posterior, np.array(ks))
    rows = np.stack([posterior.coverage(np.array(ks)), low, high, low, high], axis=1)
    note = "problems were attempted unequally often: coverage is by the beta-binomial model"
    return Curve("model", ks, _shares(rows), [note])


def _survival(arm: ArmRow, counts: SlotCounts, batches: list[DrawOutcomes]) -> Curve:
    """Attempts that stopped at a first success: survival by dispatch index."""
    level, said = _level(arm)
    curve = survival_curve(len(counts.passed), batches, level=level)
    ks = points_to(len(curve.k))
    if not ks:
        return Curve("survival", [], [], ["no coverage yet: no first attempt has a verdict"])
    at = np.array(ks) - 1
    low, high = (
        np.minimum(curve.low, curve.mean_low)[at],
        np.maximum(curve.high, curve.mean_high)[at],
    )
    rows = np.stack([curve.mean[at], low, high, low, high], axis=1)
    notes = said
    if curve.complete < ks[-1]:
        notes.append(f"above k = {curve.complete} not every unsolved problem was followed")
    return Curve("survival", ks, _shares(rows), notes)


def _shares(table: Floats) -> list[Shares]:
    return [(a, b, c, d, e) for a, b, c, d, e in table.tolist()]


def slot_batches(reader: RunReader, arm: ArmRow, verifier: str) -> list[DrawOutcomes]:
    """Every problem's slots in dispatch order, those of one request together."""
    # Both come by problem and slot: one problem at a time is in memory.
    judged = Matching(reader.verdicts(arm.number, verifier))
    alike: dict[tuple[int, ...], tuple[int, ...]] = {}
    batches: list[DrawOutcomes] = []
    for problem, slots in groupby(reader.slot_requests(arm.number), key=itemgetter(0)):
        found = {
            slot: PASSED if kind == "passed" else FAILED
            for _, slot, kind, _ in judged.of(problem)
            if kind != "infra_error"
        }
        for _, group in groupby(slots, key=itemgetter(2)):
            outcomes = tuple(found.get(slot, UNKNOWN) for _, slot, _ in group)
            batches.append(DrawOutcomes(problem, alike.setdefault(outcomes, outcomes)))
    return batches


class Matching:
    """Rows that come by ascending problem, handed out problem by problem."""

    def __init__(self, rows: Iterator[tuple[int, int, str, Vote]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, problem: int) -> Iterator[tuple[int, int, str, Vote]]:
        """The rows of `problem`; those of lower ones are passed over."""
        while self._next is not None and self._next[0] <= problem:
            row, self._next = self._next, next(self._rows, None)
            if row[0] == problem:
                yield row
