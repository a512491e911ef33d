"""What other verifiers said of a run's samples, beside the run's own verdicts.

`orch verify RUN --verifier OTHER` and `--repeat N` store their verdicts under names of their own.
Here each of them is a gold verifier for the run's own, the search verifier: of what the search
verifier accepted, which share is right by the gold one (precision), and which coverage is left.
"""

from __future__ import annotations

import numpy as np

from orchestrator.analysis.coverage import coverage_curve
from orchestrator.report.data import OtherVerdicts
from orchestrator.report.text import percent
from orchestrator.store.audits import AUDIT_NAME
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow
from verifiers.trust import agreement
from verifiers.verdict import Verdict

SHOWN = 5


def other_verdicts(
    reader: RunReader, arm: ArmRow, own: str, ks: list[int], *, uniform: bool
) -> list[OtherVerdicts]:
    """Every verifier with verdicts on the arm's samples but its own, by name."""
    stored = reader.verifiers(arm.number) - {own}
    names = sorted(name for name in stored if not name.startswith(AUDIT_NAME))
    if not names:
        return []
    kinds = {(problem, slot): kind for problem, slot, kind, _ in reader.verdicts(arm.number, own)}
    problems = len(reader.problems(arm.problem_set))
    found: list[OtherVerdicts] = []
    for name in names:
        counts = reader.slot_counts(arm.number, problems, name)
        pairs = (
            (Verdict(kinds[problem, slot]), Verdict(kind))  # type: ignore[arg-type]
            for problem, slot, kind, _ in reader.verdicts(arm.number, name)
            if (problem, slot) in kinds
        )
        judged, passed = counts.judged, counts.passed
        within = [k for k in ks if k <= judged.min()] if uniform else []
        means: list[float] = (
            coverage_curve(judged, passed, np.array(within)).mean.tolist() if within else []
        )
        found.append(
            OtherVerdicts(
                name, int(judged.sum()), int(passed.sum()), int((passed > 0).sum()),
                agreement(pairs), tuple(zip(within, means, strict=True)),
            )
        )  # fmt: skip
    return found


def said_of(other: OtherVerdicts, own: str, problems: int) -> str:
    """One sentence for a person."""
    sentence = (
        f"{other.verifier} accepts {other.passed:,} of {other.judged:,} samples and solves "
        f"{other.solved} of {problems} problems"
    )
    if other.coverage:
        shown = dict((other.coverage[0], other.coverage[-1]))
        sentence += (
            f" (coverage {' and '.join(f'{percent(c)} at k = {k:,}' for k, c in shown.items())})"
        )
    precision, recall = other.against_run.precision, other.against_run.recall
    if precision is not None:
        sentence += f"; of what {own} accepted, {percent(precision)} pass it"
    if recall is not None:
        sentence += f"; of what it accepts, {own} accepted {percent(recall)}"
    return sentence


def said_of_excluded(arm: ArmRow) -> list[str]:
    """A sentence on the problems that the study leaves out, if it does."""
    excluded = [str(one) for one in arm.spec.get("exclude") or ()]
    if not excluded:
        return []
    shown = ", ".join(excluded[:SHOWN]) + (", ..." if len(excluded) > SHOWN else "")
    plural = "problem is" if len(excluded) == 1 else "problems are"
    return [f"{len(excluded)} {plural} left out by the study's `exclude`: {shown}"]
