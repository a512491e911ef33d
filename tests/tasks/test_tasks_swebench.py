"""Issues of SWE-bench: what the writer makes of a row is what the official harness says of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.cli.reproduce import LIVE
from orchestrator.tasks import TaskError, TaskOptions, load_task
from orchestrator.tasks.swebench import SPECIFIED
from tests.forks import run_forked
from verifiers.swebench import NoHarness, SweBenchVerifier, harness_version, read_logs

try:
    harness_version()
except NoHarness:
    INSTALLED = False
else:
    INSTALLED = True

needs_harness = pytest.mark.skipif(not INSTALLED, reason="the extra swebench is not installed")

ROOT = Path(__file__).resolve().parents[2]
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
from swebench.harness.run_evaluation import GIT_APPLY_CMDS
from swebench.harness.utils import make_test_spec
from swebench.types import TestSpec

def said(spec):
    names = [name for name in dir(spec) if not name.startswith("_")]
    return {name: value for name in names if not callable(value := getattr(spec, name))}

for line, path in zip(sys.stdin, sys.argv[1:]):
    ours = TestSpec(**json.loads(open(path).read()))
    print(json.dumps([said(make_test_spec(json.loads(line))), said(ours), GIT_APPLY_CMDS]))
"""
PACKAGE = "import swebench; print(swebench.__path__[0])"


@needs_harness
def test_a_task_says_what_the_harness_says(folders: list[Path]) -> None:
    """Every field of the official specification, stored or worked out, and what judges by it."""
    specs = [str(folder / "tests" / "spec.json") for folder in folders]
    told = subprocess.run(
        [sys.executable, "-c", OFFICIAL, *specs],
        input="".join(json.dumps(one) + "\n" for one in ROWS),
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    package = Path(subprocess.run(
        [sys.executable, "-c", PACKAGE], capture_output=True, text=True, check=True
    ).stdout.strip())  # fmt: skip
    for folder, line, published in zip(folders, told.stdout.splitlines(), ROWS, strict=True):
        official, ours, ways = json.loads(line)
        assert ours == official and len(official) >= 11
        assert (folder / "tests" / "eval.sh").read_text() == official["eval_script"]
        for name in ("FAIL_TO_PASS", "PASS_TO_PASS"):
            listed = published[name]
            assert official[name] == (json.loads(listed) if isinstance(listed, str) else listed)
        script = (folder / "tests" / "test.sh").read_text()
        assert [way for way in ways if f"'{way}'" not in script] == []
        copy = folder / "tests" / "harness" / "swebench"
        same = [path for path in copy.rglob("*.py") if path.name not in ("__init__.py", "utils.py")]
        assert len(same) > 10
        for path in same:
            assert path.read_bytes() == (package / path.relative_to(copy)).read_bytes()
        dockerfile = (folder / "environment" / "Dockerfile").read_text()
        assert dockerfile.startswith(f"FROM {official['image']}\nWORKDIR /testbed\n")
        settings = tomllib.loads((folder / "task.toml").read_text())
        assert settings["verifier"]["environment_mode"] == "separate"
        assert settings["metadata"] == {
            name: published[name] for name in ("instance_id", "repo", "base_commit", "version")
        }
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


def moved(script: str, place: Path) -> str:
    """A script of a task with the container's folders below `place`."""
    return re.sub(r"(?<![\w/.])/(testbed|patch-start|patch|tests|logs)\b", rf"{place}/\1", script)


@needs_harness
def test_a_change_is_collected_and_judged_by_the_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a changed work tree through its patch to a reward, in a real shell with real git."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    test = "if grep -q right value; then echo PASSED t::a; else echo FAILED t::a; false; fi"
    small = {**row("a__b-1", test), "FAIL_TO_PASS": ["t::a"], "PASS_TO_PASS": []}
    task = load_task("swebench-lite", written(tmp_path, [{**ROWS[0], **small}]))
    folder: Path = task.source("a__b-1")  # type: ignore[attr-defined]
    collect = tomllib.loads((folder / "task.toml").read_text())["verifier"]["collect"][0]["command"]

    def shell(script: str, place: Path) -> None:
        subprocess.run(["bash", "-c", moved(script, place)], cwd=place, check=True, timeout=60)

    def image(place: Path) -> None:
        (place / "testbed").mkdir(parents=True)
        (place / "testbed" / "value").write_text("wrong\n")
        shell("cd /testbed && git init -q . && git add -A && git -c user.name=a -c user.email=a@b "
              "commit -qm start && git rev-parse HEAD > /patch-start", place)  # fmt: skip

    for number, (work, reward) in enumerate([
        ("echo right > /testbed/value; cd /testbed; "
         "git -c user.name=a -c user.email=a@b commit -qam mine; echo more > new", "1"),
        ("echo other > /testbed/value", "0"),
        ("true", "0"),
    ]):  # fmt: skip
        agent, judge = tmp_path / f"agent{number}", tmp_path / f"judge{number}"
        image(agent)
        shell(work, agent)
        shell(collect, agent)
        image(judge)
        shutil.copytree(folder / "tests", judge / "tests")
        shutil.copytree(agent / "patch", judge / "patch")
        eval_script = judge / "tests" / "eval.sh"
        eval_script.write_text(moved(eval_script.read_text(), judge))
        shell((folder / "tests" / "test.sh").read_text().replace(
            "/opt/miniconda3/bin/python3", sys.executable), judge)  # fmt: skip
        assert (judge / "logs" / "verifier" / "reward.txt").read_text().strip() == reward


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


@needs_harness
def test_stored_patches_are_not_judged_where_docker_does_not_answer(tmp_path: Path) -> None:
    """One sentence instead of a failure of ours for every patch."""
    data = written(tmp_path, ROWS[:1]).data
    ended = run_forked(
        ["orchestrator", "verify", "--self-check", "swebench-lite",
         f"--data={data}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT),
             "DOCKER_HOST": "unix:///nowhere/docker.sock"},
    )  # fmt: skip
    assert ended.returncode == 2, ended.stdout
    assert "DOCKER_HOST" in ended.stderr and "Traceback" not in ended.stderr


# The paper's table 1, priced.


NAMES = ("deepseek-chat", "gpt-4o-2024-08-06", "claude-sonnet-4-5")


class Models(BaseHTTPRequestHandler):
    """A server that has the study's three models and sells nothing."""

    def do_GET(self) -> None:
        body = json.dumps({"object": "list", "data": [{"id": one} for one in NAMES]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@needs_harness
def test_the_cost_table_is_priced_without_docker_or_a_call(tmp_path: Path) -> None:
    data = written(tmp_path, ROWS).data
    prices = tmp_path / "prices.toml"
    prices.write_text("".join(
        f'[models."{one}"]\ninput = "3"\noutput = "15"\n' for one in NAMES
    ))  # fmt: skip
    with ThreadingHTTPServer(("127.0.0.1", 0), Models) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ended = run_forked(
            ["orchestrator", "run", str(ROOT / LIVE), "--dry-run",
             "--provider=compatible", f"--base-url=http://127.0.0.1:{server.server_port}/v1",
             f"--data={data}", f"--prices={prices}", "--json"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT),
                 "OPENAI_API_KEY": "sk-none", "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        )  # fmt: skip
        server.shutdown()
    assert ended.returncode == 0, ended.stderr
    told = [(arm["samples"], arm["worst_usd"]) for arm in json.loads(ended.stdout)["arms"]]
    assert told == [(10, "0.50"), (2, "1.00"), (2, "1.00")]
    assert not (tmp_path / "runs").exists()
