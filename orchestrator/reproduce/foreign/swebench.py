"""SWE-bench predictions with the harness's report, which says what is resolved.

The predictions (JSON list, JSON object or JSONL) name instances and models; a prediction may occur
several times, its first judged by the first report, and so on. A directory holds one file of
predictions for each attempt's number, as `orch export swebench` writes it, and one report is of
each, in the files' order; without --report, those that lie beside them under the same name.
The report is the harness's JSON with `resolved_ids`.
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
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else []
    if files and not reports:
        reports = [file.with_suffix(".json") for file in files]
    if not reports:
        raise OutcomesError(
            f"{path} holds predictions, and no verdicts; give the harness's report of each run of "
            "it with --report FILE.json."
        )
    if files and len(files) != len(reports):
        raise OutcomesError(
            f"{path} holds {len(files)} files of predictions, and there are {len(reports)} "
            "reports; give one for each, in the files' order."
        )
    told = [_told(report) for report in reports]
    found: dict[str, OutcomeTally] = {}
    if files:
        for file, verdicts in zip(files, told, strict=True):
            _add(found, file, [verdicts])
    else:
        _add(found, path, told)
    return some(found, path, "give a file of predictions.")


def _add(
    found: dict[str, OutcomeTally], path: Path, told: Sequence[dict[str, bool | None]]
) -> None:
    """Count a file's predictions: the first of an issue by the first of the reports, and so on."""
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
