"""Jobs that people ran with Harbor, read as outcomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.reproduce.foreign.harbor import read, unfinished
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


def test_harbor_trials_without_a_result_are_named(tmp_path: Path) -> None:
    for name in ("a__1", "b__2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "a__1" / "result.json").write_text("{}")
    (tmp_path / "config.json").write_text("{}")
    assert unfinished(tmp_path) == ["b__2"]
