"""A person's own problems: lines with tests, and verifiers of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.tasks import TaskError, TaskOptions, load_task
from verifiers.own import is_own

CHECK = """
import json, sys

def score(output: str, problem: dict) -> float:
    return 1.0 if problem["answer"] in output else problem.get("share", 0.25)

def wrong(output, problem):
    return "yes"

def fails(output, problem):
    raise ValueError("no")

def endless(output, problem):
    import os
    return os.path.exists("/etc/passwd")

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    sys.exit(0 if asked["problem"]["answer"] in asked["output"] else int(sys.argv[1]))
"""
CALLS = {"kind": "calls", "entry": "f", "cases": [{"args": [1, 10**30], "expected": 1.5}]}


def write(place: Path, *lines: Any) -> Path:
    place.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


async def judged(path: Path, name: str | None, text: str, problem: int = 0) -> Any:
    own = name is not None and is_own(name)
    task = load_task(str(path), TaskOptions(jobs=1, own_verifier=own))
    verifier = task.verifier(name)
    try:
        return await verifier.verify(text, task.problems()[problem].reference)
    finally:
        await verifier.aclose()


async def test_lines_with_tests_and_lines_with_answers(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.jsonl",
        {"id": "a", "prompt": "Add.", "answer": 4},
        {"id": "b", "prompt": "Write f.", "tests": CALLS},
        {"id": "c", "prompt": "6 x 7?", "tests": {"kind": "answer", "expected": 42}},
        {"id": "d", "prompt": "def f(a, b):\n", "tests": CALLS, "extract": "completion"},
    )
    task = load_task(str(path), TaskOptions())
    assert task.verifier().name == "tests"
    program = "```python\ndef f(a, b):\n    assert b == 10 ** 30\n    return a + 0.5\n```"
    assert (await judged(path, None, "The answer is 4.")).passed
    assert (await judged(path, None, program, 1)).passed
    assert (await judged(path, None, program.replace("0.5", "1"), 1)).kind == "failed"
    assert (await judged(path, None, "The answer is 42.", 2)).passed
    assert (await judged(path, None, "The answer is not 42.", 2)).kind != "passed"
    assert (await judged(path, None, "    return a + 0.5\n", 3)).passed


async def test_answers_are_stated_unless_another_rule_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", {"id": "a", "prompt": "?", "answer": "1/2"})
    assert (await judged(path, None, "So the answer is 1/2.")).passed
    assert (await judged(path, "exact", "So the answer is 1/2.")).kind == "failed"
    assert (await judged(path, "number", "The answer is 0.5.")).passed
    with pytest.raises(TaskError, match="has no verifier named 'nix'"):
        load_task(str(path), TaskOptions()).verifier("nix")


@pytest.mark.parametrize(
    ("name", "kind", "detail"),
    [
        ("{dir}/check.py:score", "passed", "score 1"),
        ("{dir}/check.py:wrong", "infra_error", "returned str"),
        ("{dir}/check.py:fails", "infra_error", "ValueError: no"),
        ("{dir}/check.py:endless", "failed", ""),
        ("command /usr/bin/python3 {dir}/check.py 1", "passed", ""),
        ("contains:{answer}", "passed", ""),
        ("contains:is {answer}!", "failed", ""),
        (r"regex:\bis {answer}\W*$", "passed", ""),
        (r"regex:^{answer}$", "failed", ""),
    ],
)
async def test_a_verifier_of_ones_own(tmp_path: Path, name: str, kind: str, detail: str) -> None:
    (tmp_path / "check.py").write_text(CHECK)
    path = write(tmp_path / "mine.jsonl", {"id": "a", "prompt": "?", "answer": "4.2", "share": 0.5})
    verdict = await judged(path, name.replace("{dir}", str(tmp_path)), "it is 4.2")
    assert verdict.kind == kind and detail in verdict.detail, verdict


async def test_what_is_wrong_is_told_with_score_or_exit_code(tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(CHECK)
    path = write(tmp_path / "mine.jsonl", {"id": "a", "prompt": "?", "answer": "4", "share": 0.5})
    scored = await judged(path, f"{tmp_path}/check.py:score", "it is 5")
    assert (scored.kind, scored.detail) == ("failed", "score 0.5")  # told the line's other fields
    command = f"command /usr/bin/python3 {tmp_path}/check.py"
    assert (await judged(path, f"{command} 1", "it is 5")).kind == "failed"
    assert (await judged(path, f"{command} 3", "it is 5")).kind == "infra_error"


async def test_another_function_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text(CHECK)
    path = write(tmp_path / "mine.jsonl", {"id": "a", "prompt": "?", "answer": "4"})
    task = load_task(str(path), TaskOptions())
    before = task.verifier(f"{tmp_path}/check.py:score")
    (tmp_path / "check.py").write_text(CHECK + "# changed\n")
    after = task.verifier(f"{tmp_path}/check.py:score")
    assert before.name == after.name and before.version != after.version


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere.py:f", "cannot be read"),
        ("{dir}/check.py:nix", "defines no function nix"),
        ("{dir}/broken.py:f", "is not Python"),
        ("command nowhere-at-all", "no program 'nowhere-at-all'"),
        ("command 'open", "cannot be read"),
        ("regex:(", "no regular expression"),
        ("contains:", "needs the text"),
    ],
)
def test_a_verifier_that_cannot_be_used_is_refused(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "check.py").write_text(CHECK)
    (tmp_path / "broken.py").write_text("def f(:\n")
    path = write(tmp_path / "mine.jsonl", {"id": "a", "prompt": "?", "answer": "4"})
    with pytest.raises(TaskError, match=told):
        load_task(str(path), TaskOptions()).verifier(name.replace("{dir}", str(tmp_path)))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "no field 'answer' \\(or 'tests'\\)"),
        ({"answer": 1, "tests": CALLS}, "both 'answer' and 'tests'"),
        ({"tests": {**CALLS, "tolerence": 1}}, "did you mean `tolerance`"),
        ({"tests": {"kind": "answer"}}, "need `expected`"),
        ({"tests": CALLS, "extract": "whole"}, "`extract` is 'whole'"),
        ({"tests": CALLS, "language": "cpp"}, "kind stdio"),
    ],
)
def test_broken_tests_are_told_before_anything_is_bought(
    tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    path = write(tmp_path / "mine.jsonl", {"id": "a", "prompt": "?", **fields})
    with pytest.raises(TaskError, match=told) as fault:
        load_task(str(path), TaskOptions()).problems()
    assert "line 1" in str(fault.value)
