"""lm-evaluation-harness's `samples_TASK_TIME.jsonl`, as `--log_samples` writes it.

One line a document and filter. A metric whose value is 0 or 1 (or true or false) is the verdict:
the first of exact_match, acc, pass@1, pass_at_1 that the line has, or the one that is named. Where
a document was sampled several times (`repeats`) the metric must be a list, one value a response.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.reproduce.foreign import OutcomeTally, json_lines, some, text_of
from orchestrator.reproduce.recorded import OutcomesError, RecordedOutcomes

METRICS = ("exact_match", "acc", "pass@1", "pass_at_1")


def read(path: Path, metric: str = "") -> list[RecordedOutcomes]:
    """One arm a filter; raises OutcomesError."""
    task = path.stem.removeprefix("samples_")
    cut = task.rfind("_20")
    task = task[:cut] if cut > 0 else task
    model = path.parent.name or path.stem
    found: dict[str, OutcomeTally] = {}
    for where, row in json_lines(path):
        kept = str(row.get("filter") or "none")
        name = model if kept == "none" else f"{model}, {kept}"
        tally = found.setdefault(kept, OutcomeTally(task, model, name))
        problem = text_of(where, row, "doc_id")
        for value in _values(where, row, metric):
            tally.add(problem, value)
    return some(found, path, "give a samples_TASK_TIME.jsonl of --log_samples.")


def _values(where: str, row: dict[str, Any], metric: str) -> list[bool]:
    chosen = [metric] if metric else [name for name in METRICS if name in row]
    if not chosen or chosen[0] not in row:
        known = ", ".join(map(str, row.get("metrics") or ())) or "none"
        raise OutcomesError(
            f"{where} has no metric {metric or 'that tells right from wrong'!r}; it has {known}: "
            "name one with --metric."
        )
    said = row[chosen[0]]
    values = said if isinstance(said, list) else [said]
    responses = row.get("resps")
    drawn = len(responses[0]) if responses and isinstance(responses[0], list) else 1
    if drawn > 1 and len(values) != drawn:
        raise OutcomesError(
            f"{where}: {drawn} responses have {len(values)} value of {chosen[0]}, so it is not "
            "known which are right; log each repeat by itself."
        )
    if not all(value in (0, 1) for value in values):
        raise OutcomesError(f"{where}: {chosen[0]} is {said!r}; only 0 and 1 can be counted.")
    return [bool(value) for value in values]
