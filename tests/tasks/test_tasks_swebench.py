"""Issues of SWE-bench: what the writer makes of a row is what the official harness says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from orchestrator.tasks import TaskError, TaskOptions, load_task
from orchestrator.tasks.swebench import SPECIFIED
from verifiers.swebench import NoHarness, SweBenchVerifier, harness_version, read_logs

try:
    harness_version()
except NoHarness:
    INSTALLED = False
else:
    INSTALLED = True

needs_harness = pytest.mark.skipif(not INSTALLED, reason="the extra swebench is not installed")

SEPARABLE = "astropy/modeling/tests/test_separable.py"
VALIDATORS = "auth_tests.test_validators"


def row(instance_id: str, tests: str, **fields: object) -> dict[str, object]:
    """A row with the facts that are published of an issue, and texts of our own."""
    script = [
        "#!/bin/bash", "set -uxo pipefail", "cd /testbed", ": '>>>>> Start Test Output'", tests,
        ": '>>>>> End Test Output'", "git status",
    ]  # fmt: skip
    name = instance_id.replace("__", "_1776_")
    return {
        "instance_id": instance_id, "image": f"swebench/sweb.eval.x86_64.{name}:latest",
        "eval_type": "pass_and_fail", "eval_script": "\n".join(script) + "\n",
        "problem_statement": "An issue, in words of our own.", "patch": "the solution", **fields,
    }  # fmt: skip


ROWS = [
    row(
        "astropy__astropy-12907", f"pytest -rA {SEPARABLE}",
        repo="astropy/astropy", version="4.3", log_parser="parse_log_astropy",
        base_commit="d16bfe05a744909de4b27f5875fe0d4ed41ce607",
        FAIL_TO_PASS=json.dumps([
            f"{SEPARABLE}::test_separable[compound_model{n}-result{n}]" for n in (6, 9)
        ]),
        PASS_TO_PASS=json.dumps([f"{SEPARABLE}::test_coord_matrix"]),
    ),
    row(
        "django__django-11099", f"./tests/runtests.py --verbosity 2 {VALIDATORS}",
        repo="django/django", version="3.0", log_parser="parse_log_django",
        base_commit="d26b2424437dabeeca94d7900b37d2df4410da0c",
        # Rows of a Parquet file have lists here.
        FAIL_TO_PASS=[f"test_ascii_validator ({VALIDATORS}.UsernameValidatorsTests)"],
        PASS_TO_PASS=[],
    ),
]  # fmt: skip


def written(path: Path, rows: list[dict[str, object]]) -> TaskOptions:
    file = path / "rows.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return TaskOptions(data=file)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    task = load_task("swebench-lite", written(tmp_path, ROWS))
    return [task.source(one.id) for one in task.problems()]  # type: ignore[attr-defined]


OFFICIAL = """
import json, sys
from dataclasses import asdict
from swebench.harness.utils import make_test_spec
for line in sys.stdin:
    spec = make_test_spec(json.loads(line))
    print(json.dumps({**asdict(spec), "eval_script": spec.eval_script}))
"""


@needs_harness
def test_a_task_says_what_the_harness_says(folders: list[Path]) -> None:
    told = subprocess.run(
        [sys.executable, "-c", OFFICIAL], input="".join(json.dumps(one) + "\n" for one in ROWS),
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    for folder, line, published in zip(folders, told.stdout.splitlines(), ROWS, strict=True):
        official = json.loads(line)
        script = official.pop("eval_script")
        assert json.loads((folder / "tests" / "spec.json").read_text()) == official
        assert (folder / "tests" / "eval.sh").read_text() == script
        dockerfile = (folder / "environment" / "Dockerfile").read_text()
        assert dockerfile.startswith(f"FROM {official['image']}\nWORKDIR /testbed\n")
        settings = tomllib.loads((folder / "task.toml").read_text())
        assert settings["verifier"]["environment_mode"] == "separate"
        assert settings["metadata"]["base_commit"] == published["base_commit"]
        assert "the solution" not in "".join(
            path.read_text() for path in folder.rglob("*") if path.is_file()
        )


def graded(folder: Path, place: Path, log: str) -> str | None:
    """The reward of a log by what the folder holds, where the package is not to be had."""
    place.mkdir()
    (place / "test_output.txt").write_text(log)
    subprocess.run(
        [sys.executable, "-I", "-S", str(folder / "tests" / "grade.py"), str(place)],
        check=True, capture_output=True, timeout=60, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    reward = place / "reward.txt"
    return reward.read_text() if reward.exists() else None


@needs_harness
def test_the_folder_grades_alone(folders: list[Path], tmp_path: Path) -> None:
    def log(*results: str, status: int = 0) -> str:
        shown = "\n".join(results)
        return (
            f">>>>> Start Test Output\n{shown}\n>>>>> End Test Output\n"
            f">>>>> Test Exit Code: {status}\n"
        )

    tests = [*json.loads(str(ROWS[0]["FAIL_TO_PASS"])), f"{SEPARABLE}::test_coord_matrix"]
    right = [f"PASSED {one}" for one in tests]
    first, second = folders
    assert graded(first, tmp_path / "right", log(*right)) == "1"
    assert graded(first, tmp_path / "wrong", log(f"FAILED {tests[0]}", *right[1:], status=1)) == "0"
    assert graded(first, tmp_path / "missing", log(*right[1:])) == "0"
    assert graded(first, tmp_path / "forged", log(*right, status=1)) == "0"
    assert graded(first, tmp_path / "infra", "Cannot connect to the Docker daemon\n") is None
    ok = f"test_ascii_validator ({VALIDATORS}.UsernameValidatorsTests) ... ok"
    assert graded(second, tmp_path / "django", log(ok)) == "1"


@needs_harness
def test_what_is_wrong_with_rows_is_said(tmp_path: Path) -> None:
    def problems(*rows: dict[str, object]) -> None:
        load_task("swebench-verified", written(tmp_path, list(rows))).problems()

    older = {name: value for name, value in ROWS[0].items() if name not in SPECIFIED}
    with pytest.raises(TaskError, match="not an older copy"):
        problems(older)
    with pytest.raises(TaskError, match="stands there twice"):
        problems(ROWS[0], ROWS[0])
    with pytest.raises(TaskError, match="unknown log parser"):
        problems({**ROWS[0], "log_parser": "parse_log_nothing"})
    with pytest.raises(TaskError, match="must list names of tests"):
        problems({**ROWS[0], "FAIL_TO_PASS": "all of them"})
    with pytest.raises(TaskError, match="cannot name a folder"):
        problems({**ROWS[0], "instance_id": "../../elsewhere"})


@pytest.mark.skipif(INSTALLED, reason="the extra swebench is installed")
def test_without_the_harness_its_install_command(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="pip install 'swebench"):
        load_task("swebench-lite", written(tmp_path, ROWS)).problems()


# What the harness leaves, as a verdict.


def report(place: Path, **told: object) -> tuple[str, str]:
    place.joinpath("report.json").write_text(json.dumps({"i": told}))
    return read_logs(place, "i", "")


def test_the_harness_is_believed(tmp_path: Path) -> None:
    assert report(tmp_path, resolved=True)[0] == "passed"
    failing = {"FAIL_TO_PASS": {"success": [], "failure": ["test_a"]}}
    kind, detail = report(
        tmp_path, resolved=False, patch_successfully_applied=True, tests_status=failing
    )
    assert (kind, detail) == ("failed", "not resolved: 1 tests fail, test_a first")
    infra = {"infra_failure": True, "infra_failure_reason": "out_of_memory"}
    assert report(tmp_path, resolved=False, **infra)[0] == "infra_error"
    assert report(tmp_path, resolved=False, infra_failure=False)[0] == "failed"


def test_no_report_is_a_failure_of_ours_unless_the_logs_say_more(tmp_path: Path) -> None:
    kind, detail = read_logs(tmp_path, "i", "first\ntoomanyrequests: no image")
    assert kind == "infra_error" and "toomanyrequests" in detail
    (tmp_path / "test_output.txt").write_text("...\n\nTimeout error: 1800 seconds exceeded.")
    assert read_logs(tmp_path, "i", "")[0] == "timeout"
    (tmp_path / "run_instance.log").write_text(">>>>> Patch Apply Failed:\nerror: x")
    assert read_logs(tmp_path, "i", "")[0] == "failed"


@needs_harness
async def test_an_empty_patch_is_not_run_and_no_docker_is_no_wrong_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    verifier = SweBenchVerifier()
    assert (await verifier.verify(" \n", {"instance": ROWS[0]})).kind == "no_answer"
    verdict = await verifier.verify("a change", {"instance": ROWS[0]})
    assert verdict.kind == "infra_error" and "Docker" in verdict.detail


def test_the_flaky_issues_are_a_file_of_facts() -> None:
    path = Path(load_task.__code__.co_filename).with_name("swebench_flaky.toml")
    facts = tomllib.loads(path.read_text())
    assert len(set(facts["issues"])) == len(facts["issues"]) == 34
    assert facts["judgements"] == 11
