"""SWE-bench predictions with the harness's report, which says what is resolved.

The predictions (JSON list, JSON object or JSONL) name instances and models; a prediction may occur
several times. The report is the harness's JSON with `resolved_ids`, beside the predictions under
the name MODEL.RUN.json or given as --report; several reports are of several runs of predictions.
What a report calls an error or a failure of the infrastructure was judged by nobody; an issue in
none of its lists is not resolved, as in reports of before such lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.reproduce.foreign import OutcomeTally, json_lines, some, text_of
from orchestrator.reproduce.recorded import OutcomesError, RecordedOutcomes, read_json


def read(path: Path, reports: Sequence[Path]) -> list[RecordedOutcomes]:
    """One arm a model; raises OutcomesError."""
    if not reports:
        raise OutcomesError(
            f"{path} holds predictions, and no verdicts; give the harness's report of each run of "
            "it with --report FILE.json."
        )
    told = [_told(report) for report in reports]
    found: dict[str, OutcomeTally] = {}
    tries: dict[tuple[str, str], int] = {}
    for where, row in _predictions(path):
        problem = text_of(where, row, "instance_id")
        model = str(row.get("model_name_or_path") or path.stem)
        number = tries.get((model, problem), 0)
        tries[model, problem] = number + 1
        if number >= len(told):
            raise OutcomesError(
                f"{where}: {problem} is predicted {number + 1} times, and there are "
                f"{len(told)} reports; give one for each."
            )
        tally = found.setdefault(model, OutcomeTally("swebench", model))
        tally.add(problem, told[number].get(problem, False))
    return some(found, path, "give a file of predictions.")


def _predictions(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return json_lines(path)
    content = read_json(path)
    rows = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise OutcomesError(f"{path} is not a list of predictions.")
    return [(f"{path}, prediction {i}", row) for i, row in enumerate(rows, start=1)]


def _told(path: Path) -> dict[str, bool | None]:
    """What a report says of an issue: resolved, or None where it was not judged."""
    content = read_json(path)
    lists = content if isinstance(content, dict) else {}
    ids = lists.get("resolved_ids")
    if not isinstance(ids, list):
        raise OutcomesError(f"{path} has no `resolved_ids`; give the harness's report.")
    told: dict[str, bool | None] = {}
    for name in ("error_ids", "infra_failure_ids"):
        for one in lists.get(name) or []:
            told[str(one)] = None
    return told | {str(one): True for one in ids}
