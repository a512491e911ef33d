"""inspect_ai's `.eval` logs, read by inspect_ai itself where it is installed.

Each sample of each epoch is an attempt. Its verdict is the named score, else the only one: C (or
1, true) is right, I (or 0, false, P, N) is wrong; a sample that ended in an error is not judged.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from budgets.given import open_given
from budgets.money import picodollars
from orchestrator.reproduce.foreign import MOST_STREAMED_BYTES, OutcomeTally, some
from orchestrator.reproduce.recorded import OutcomesError, RecordedOutcomes

RIGHT, WRONG = ("C", 1, 1.0, True), ("I", "P", "N", 0, 0.0, False)


def read(path: Path, scorer: str = "") -> list[RecordedOutcomes]:
    """One arm; raises OutcomesError."""
    try:
        from inspect_ai.log import read_eval_log
    except ModuleNotFoundError:
        import sys

        raise OutcomesError(
            "Logs of inspect_ai are read by inspect_ai, which is not installed: "
            f"{sys.executable} -m pip install inspect_ai"
        ) from None
    try:
        open_given(path, MOST_STREAMED_BYTES).close()
        log = read_eval_log(str(path))
    except (OSError, ValueError) as error:
        raise OutcomesError(f"{path} cannot be read: {error}.") from None
    tally = OutcomeTally(str(log.eval.task), str(log.eval.model))
    for sample in log.samples or ():
        where = f"{path}, sample {sample.id}, epoch {sample.epoch}"
        judged = None if sample.error is not None else _right(where, sample.scores or {}, scorer)
        tally.add(str(sample.id), judged, _spent(sample.model_usage or {}))
    why = f" ({log.error.message.splitlines()[0][:200]})" if log.error else ""
    return some({0: tally}, path, f"its status is {log.status}{why}, and its samples lack scores.")


def _spent(usage: dict[str, Any]) -> int | None:
    """The sample's picodollars, where inspect_ai knew the prices of all models that it used."""
    costs = [getattr(one, "total_cost", None) for one in usage.values()]
    if not costs or None in costs:
        return None
    return sum(picodollars(str(Decimal(str(cost)))) for cost in costs)


def _right(where: str, scores: dict[str, Any], scorer: str) -> bool | None:
    if not scores:
        return None
    if not scorer and len(scores) > 1:
        raise OutcomesError(f"{where} has the scores {', '.join(scores)}; name one with --metric.")
    name = scorer or next(iter(scores))
    if name not in scores:
        raise OutcomesError(f"{where} has no score {name!r}; it has {', '.join(scores)}.")
    value = scores[name].value
    if value in RIGHT or value in WRONG:
        return value in RIGHT
    raise OutcomesError(f"{where}: {name} is {value!r}; only right and wrong can be counted.")
