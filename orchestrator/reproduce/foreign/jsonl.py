"""Plain JSONL: one sample a line, as `orch export jsonl` writes it or any script may.

problem   an id (or problem_id, task_id)
verdict   "passed" or "failed" (or passed, correct: true or false); null: not judged
usd       optional: its dollars, as a decimal string or a number
arm, model, task   optional: lines that differ in them are arms of their own
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from budgets.money import MoneyError, picodollars
from orchestrator.reproduce.foreign import OutcomeTally, json_lines, some, text_of
from orchestrator.reproduce.recorded import OutcomesError, RecordedOutcomes
from verifiers.verdict import VerdictKind

UNJUDGED = ("infra_error", "censored", "unjudged")
WRONG = tuple(kind for kind in get_args(VerdictKind) if kind not in ("passed", *UNJUDGED))


def read(path: Path) -> list[RecordedOutcomes]:
    """Every arm of the file, in the order in which they come; raises OutcomesError."""
    found: dict[tuple[str, str, str], OutcomeTally] = {}
    for where, row in json_lines(path):
        model = str(row.get("model") or path.stem)
        name, task = str(row.get("arm") or model), Path(str(row.get("task") or path.stem)).name
        tally = found.setdefault((task, model, name), OutcomeTally(task, model, name))
        problem = text_of(where, row, "problem", "problem_id", "task_id")
        tally.add(problem, _right(where, row), _spent(where, row))
    return some(found, path, "give each line a verdict, or judge the texts with `orch judge`.")


def _right(where: str, row: dict[str, Any]) -> bool | None:
    for field in ("verdict", "passed", "correct"):
        if field in row:
            said = row[field]
            if said is None or said in UNJUDGED:
                return None
            if isinstance(said, bool):
                return said
            if said == "passed" or said in WRONG:
                return bool(said == "passed")
            raise OutcomesError(
                f"{where}: {field} is {said!r}; it may be passed, failed, true, false or null."
            )
    raise OutcomesError(
        f"{where} has no verdict; add one, or judge the texts first with `orch judge`."
    )


def _spent(where: str, row: dict[str, Any]) -> int | None:
    if row.get("usd") is None:
        return None
    try:
        spent = picodollars(str(row["usd"]))
    except MoneyError as error:
        raise OutcomesError(f"{where}: usd: {error}.") from None
    if spent < 0:
        raise OutcomesError(f"{where}: usd is {row['usd']}; it must not be negative.")
    return spent
