"""A job of Harbor's: one folder a trial, each with its result.json.

A trial is right where its verifier's reward is 1 (all of them, where none is named `reward`). One
that failed for the agent's own reasons (its time, its exit code, the length of its context) is
wrong where no verifier ran; one that failed for any other reason is nobody's attempt and does not
count. Dollars are Harbor's own figure, which is nothing for models that it does not know: then none
are told.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from budgets.money import MoneyError, picodollars
from orchestrator.reproduce.foreign import OutcomeTally, some
from orchestrator.reproduce.recorded import OutcomesError, RecordedOutcomes, read_json
from orchestrator.tasks.harbor import OWN_FAILURES
from verifiers.reported import is_right


def read(path: Path) -> list[RecordedOutcomes]:
    """One arm for each agent and model of a job's folder; raises OutcomesError."""
    results = sorted(path.glob("*/result.json"))
    if not results:
        raise OutcomesError(
            f"{path} holds no trial (no */result.json); give the folder of one of Harbor's jobs."
        )
    found: dict[Any, OutcomeTally] = {}
    unknown: set[str] = set()
    for file in results:
        trial = read_json(file)
        if not isinstance(trial, dict) or not trial.get("task_name"):
            raise OutcomesError(f"{file} is no result of a trial: it names no task.")
        agent, model = _who(trial)
        arm = f"{agent} with {model}" if model else agent
        tally = found.setdefault(arm, OutcomeTally(path.name, model or agent, arm))
        cost = _cost(trial)
        if cost is None:
            unknown.add(arm)
        tally.add(str(trial["task_name"]), _right(trial), cost)
    for arm in unknown:
        found[arm].spent = None
    return some(found, path, "every trial failed before it could be judged.")


def left_out(path: Path) -> Counter[str]:
    """How many trials of a job do not count, by why: an exception's name, or no result."""
    found: Counter[str] = Counter()
    for config in path.glob("*/config.json"):
        file = config.with_name("result.json")
        if not file.exists():
            found["no result yet"] += 1
            continue
        trial = read_json(file)
        if isinstance(trial, dict) and _right(trial) is None:
            failure = (trial.get("exception_info") or {}).get("exception_type")
            found[str(failure or "no verdict")] += 1
    return found


def _who(trial: dict[str, Any]) -> tuple[str, str]:
    info = trial.get("agent_info") or {}
    model = info.get("model_info") or {}
    return str(info.get("name") or "agent"), str(model.get("name") or "")


def _right(trial: dict[str, Any]) -> bool | None:
    rewards = (trial.get("verifier_result") or {}).get("rewards")
    failed = str((trial.get("exception_info") or {}).get("exception_type") or "")
    if failed and not OWN_FAILURES.search(failed):
        return None
    if isinstance(rewards, dict) and rewards:
        return is_right(rewards)
    return False if failed else None


def _cost(trial: dict[str, Any]) -> int | None:
    """Picodollars; None where Harbor does not know them."""
    usd = (trial.get("agent_result") or {}).get("cost_usd")
    if not usd:
        return None
    try:
        return picodollars(str(usd))
    except MoneyError:
        return None
