"""Every run in a directory, cheaply: what its summary says, else what its counts say."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budgets.given import read_given
from orchestrator import errors
from orchestrator.analysis.coverage import mean_coverage
from orchestrator.errors import OrchError
from orchestrator.plan.names import stored_names
from orchestrator.store.accounts import money_of_arms, read_accounts
from orchestrator.store.reader import RunReader, runs_in
from orchestrator.store.schema import PILOT_KEY

ENDINGS = {
    errors.COMPLETE: "complete", errors.UNFILLED: "slots unfilled",
    errors.BUDGET_REACHED: "budget reached", errors.FAULT: "stopped by a fault",
    errors.INTERRUPTED: "interrupted",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListedArm:
    """One arm of a listed run; coverage is at k, the largest that all its problems reach."""

    name: str
    task: str
    k: int
    coverage: float | None
    spent: int
    """Picodollars, settled and uncertain."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run; `trouble` says why nothing more is known of it."""

    directory: Path
    at: float
    """Unix time of its last change."""
    state: str
    pilot: tuple[int, ...] = ()
    """Of a pilot, the attempts at each problem that the whole plan wants, arm by arm."""
    arms: tuple[ListedArm, ...] = ()
    trouble: str = ""


def listed(folder: Path) -> Iterator[ListedRun]:
    """The runs directly in `folder`, the newest first."""
    for run, at in runs_in(folder).items():
        try:
            yield _listed(run, at)
        except OrchError as error:
            yield ListedRun(run, at, "cannot be read", trouble=str(error))


def _listed(run: Path, at: float) -> ListedRun:
    with closing(RunReader(run)) as reader:
        pilot = tuple(json.loads(reader.meta(PILOT_KEY, "[]")))
        return ListedRun(run, at, _state(run, bool(pilot)), pilot, tuple(_arms(reader)))


def _state(run: Path, pilot: bool) -> str:
    if _held(run):
        return "going on"
    code = _summary(run).get("exit_code")
    if pilot and not code:
        # A script's pilot ends with the question whether to go on, before any summary.
        return "pilot"
    if code is None:
        return "cut off"
    return ("pilot, " if pilot else "") + ENDINGS.get(code, f"exit code {code}")


def _held(run: Path) -> bool:
    """Whether a process holds the run now."""
    try:
        with (run / "lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _summary(run: Path) -> dict[str, Any]:
    """What the last session that ended by itself left, unless more was stored since."""
    path = run / "summary.json"
    try:
        if path.stat().st_mtime + 1.0 < (run / "run.db").stat().st_mtime:
            return {}
        found = json.loads(read_given(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _arms(reader: RunReader) -> Iterator[ListedArm]:
    rows = reader.arms()
    paid = money_of_arms(reader, read_accounts(reader))
    for row, name in zip(rows, stored_names(rows), strict=True):
        problems = len(reader.problems(row.problem_set))
        counts = reader.slot_counts(row.number, problems, str(row.spec["verifier"]))
        k = int(counts.judged.min()) if problems else 0
        covered = float(mean_coverage(counts.judged, counts.passed, k)) if k else None
        if row.policy != "uniform":
            # Attempts that stopped at a success: the share that is solved.
            k, covered = int(counts.planned.max()), float((counts.passed > 0).mean())
        money = paid[row.number]
        spent = money.settled + money.uncertain + money.reserved
        yield ListedArm(name, Path(row.task).name, k, covered, spent)
