"""Jobs that people ran with Harbor, read as outcomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.reproduce.foreign.harbor import left_out, read
from orchestrator.reproduce.recorded import OutcomesError


def trial(job: Path, name: str, task: str, **more: Any) -> None:
    """A result.json with the fields that Harbor 0.26 writes."""
    (job / name).mkdir(parents=True)
    result = {
        "schema_version": 1, "task_name": task, "trial_name": name,
        "agent_info": {"name": "mini-swe-agent", "model_info": {"name": "m", "provider": "p"}},
        "agent_result": {"n_input_tokens": 10, "n_output_tokens": 2, "cost_usd": 0.25},
        "verifier_result": None, "exception_info": None, **more,
    }  # fmt: skip
    (job / name / "result.json").write_text(json.dumps(result))


def rewards(value: float) -> dict[str, Any]:
    return {"verifier_result": {"rewards": {"reward": value}}}


def failed(kind: str) -> dict[str, Any]:
    return {"exception_info": {"exception_type": kind, "exception_message": "m"}}


def test_harbor_jobs_count_what_was_judged_and_what_was_the_agents_own(tmp_path: Path) -> None:
    job = tmp_path / "job"
    trial(job, "a1", "a", **rewards(1.0))
    trial(job, "a2", "a", **rewards(0.0))
    trial(job, "a3", "a", **failed("AgentTimeoutError"))
    trial(job, "a4", "a", **failed("EnvironmentStartTimeoutError"))
    trial(job, "b1", "b", **failed("AgentTimeoutError"), **rewards(1.0))
    (one,) = read(job)
    assert one.problem_ids == ("a", "b") and one.n == (3, 1) and one.c == (1, 1)
    assert one.spent == 5 * 250_000_000_000 and one.model == "m"


def test_harbor_jobs_without_dollars_tell_none(tmp_path: Path) -> None:
    trial(tmp_path, "a1", "a", **rewards(1.0), agent_result={"cost_usd": 0.0})
    trial(tmp_path, "a2", "a", **rewards(1.0))
    assert read(tmp_path)[0].spent is None


def test_harbor_jobs_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutcomesError, match="no trial"):
        read(tmp_path)
    trial(tmp_path, "a1", "a", **failed("SandboxBuildFailedError"))
    with pytest.raises(OutcomesError, match="no judged sample"):
        read(tmp_path)


def test_harbor_trials_that_do_not_count_are_told(tmp_path: Path) -> None:
    broken = {"task_name": "a", "exception_info": {"exception_type": "EnvironmentStartTimeout"}}
    wrong = {"task_name": "a", "verifier_result": {"rewards": {"reward": 0}}}
    for name, result in (("a__1", broken), ("b__2", None), ("a__3", wrong)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        if result is not None:
            (tmp_path / name / "result.json").write_text(json.dumps(result))
    assert left_out(tmp_path) == {"EnvironmentStartTimeout": 1, "no result yet": 1}
