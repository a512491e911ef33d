"""Tasks in Harbor's layout: with a work tree, with a container alone, and by a registry's name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.errors import ConfigError
from orchestrator.plan.agents import check_judged
from orchestrator.plan.study import whole_paths
from orchestrator.tasks import TaskError, TaskOptions, load_task
from verifiers.patch import PatchVerifier
from verifiers.reported import ReportedVerifier

BUNDLED = Path(__file__).resolve().parents[2] / "examples" / "agent_tasks"


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED, tmp_path / "tasks"))


def without_tree(task: Path) -> None:
    (task / "environment" / "repo").rename(task / "environment" / "files")


def test_harbor_tasks_with_a_work_tree_are_patches(tasks: Path) -> None:
    task = load_task(f"harbor:{tasks}")
    assert isinstance(task.verifier(), PatchVerifier)
    check_judged(None, task)
    with pytest.raises(TaskError, match="patch"):
        task.verifier("harbor")


def test_harbor_tasks_with_a_container_alone_are_harbors_to_judge(tasks: Path) -> None:
    without_tree(tasks / "ranges")
    task = load_task(f"harbor:{tasks}")
    assert isinstance(task.verifier(), ReportedVerifier)
    assert len(task.problems()) == 3
    with pytest.raises(ConfigError, match=r"no environment/repo.*give --agent harbor:NAME"):
        check_judged(None, task)
    before = {one.id: one.digest for one in task.problems()}
    (tasks / "ranges" / "tests" / "hidden_ranges.py").write_text("print()")
    (tasks / "quoting" / "solution" / "patch.diff").write_text("")
    after = {one.id: one.digest for one in load_task(f"harbor:{tasks}").problems()}
    assert {name for name in before if before[name] != after[name]} == {"ranges"}
    shutil.rmtree(tasks)
    assert isinstance(load_task(f"harbor:{tasks}").verifier("harbor"), ReportedVerifier)


def test_harbor_tasks_without_anything_to_work_in_are_refused(tasks: Path) -> None:
    without_tree(tasks / "ranges")
    (tasks / "ranges" / "environment" / "Dockerfile").unlink()
    with pytest.raises(TaskError, match=r"ranges has neither environment/repo nor .*Dockerfile"):
        load_task(f"harbor:{tasks}").problems()
    settings = '[environment]\ndocker_image = "localhost/one"\n'
    (tasks / "ranges" / "task.toml").write_text(settings)
    assert len(load_task(f"harbor:{tasks}").problems()) == 3


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        ({"rewards": {"reward": 1.0}}, "passed"),
        ({"rewards": {"reward": 0.99}}, "failed"),
        ({"rewards": {"reward": 1, "style": 0}}, "passed"),
        ({"rewards": {"tests": 1, "style": 0}}, "failed"),
        ({"rewards": {"tests": 1, "style": 1}}, "passed"),
        ({"rewards": {"reward": True}}, "failed"),
        ({"rewards": {"reward": "1"}}, "failed"),
        ({"rewards": {}, "failure": "VerifierTimeoutError"}, "timeout"),
        ({"rewards": None, "failure": "RewardFileNotFoundError"}, "failed"),
        ({"rewards": None, "failure": "VerifierOutputParseError"}, "failed"),
        ({"rewards": None, "failure": "EnvironmentStartTimeoutError"}, "infra_error"),
        ({"rewards": None}, "infra_error"),
    ],
)
async def test_what_harbor_reports_is_a_verdict(report: dict[str, object], kind: str) -> None:
    verdict = await ReportedVerifier().verify(json.dumps({"trial": "t", **report}), {})
    assert verdict.kind == kind


async def test_a_reward_that_its_agent_could_have_forged_says_so() -> None:
    for fresh in (True, False):
        report = json.dumps({"trial": "t", "rewards": {"reward": 1}, "fresh": fresh})
        assert (await ReportedVerifier().verify(report, {})).forgeable is not fresh


async def test_neither_rule_judges_what_the_other_must(tasks: Path) -> None:
    without_tree(tasks / "ranges")
    reference = load_task(f"harbor:{tasks}").problems()[0].reference
    verdict = await PatchVerifier().verify('{"rewards": {"reward": 1}}', reference)
    assert verdict.kind == "infra_error" and "verifier harbor" in verdict.detail
    assert (await ReportedVerifier().verify("", reference)).kind == "no_answer"


def registry(path: Path, words: str) -> str:
    """A program that answers as an interpreter with Harbor does, and downloads what it is told."""
    path.write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo 0.26.0 && exit 0\n{words}\n')
    path.chmod(0o755)
    return str(path)


def test_a_data_set_of_harbors_registry_is_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = (
        f'[ "$4" = own/set@1.0 ] && mkdir -p "$6" && cp -r "{BUNDLED}" "$6/set" && echo x >> log'
    )
    monkeypatch.chdir(tmp_path)
    options = TaskOptions(harbor_python=registry(tmp_path / "python", words))
    for _ in range(2):
        task = load_task("harbor:own/set@1.0", options)
        assert [one.id for one in task.problems()] == ["durations", "quoting", "ranges"]
        assert task.name == "harbor:own/set@1.0"
    assert (tmp_path / "log").read_text() == "x\n"


def test_a_registry_that_cannot_be_reached_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    python = registry(tmp_path / "python", "echo \"Error: Dataset 'set' not found\"; exit 1")
    task = load_task("harbor:set@2", TaskOptions(harbor_python=python))
    with pytest.raises(TaskError, match=r"could not get set@2 .*not found\. .*harbor:PATH"):
        task.problems()
    assert not list((tmp_path / "cache").rglob("set*"))
    with pytest.raises(TaskError, match=r"There is no folder .*NAME@VERSION"):
        load_task("harbor:set").problems()


def test_the_name_of_a_data_set_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine@1").mkdir()
    document = {
        "study": {},
        "arms": [{"task": f"harbor:{name}"} for name in ("a@1", "b", "mine@1")],
    }
    whole_paths(document, None)
    places = [arm["task"].removeprefix("harbor:") for arm in document["arms"]]  # type: ignore[attr-defined]
    assert places == ["a@1", str(tmp_path / "b"), str(tmp_path / "mine@1")]
