"""Programs, texts and tests of every kind that was once judged wrongly, with the right verdicts.

judged.jsonl and texts.jsonl (ways in which a program stands in an answer) have one a line, in the
format of orch judge and with `right` beside it; where the reason is open, several kinds may be.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from verifiers.boundary import looks_at_more
from verifiers.program import ProgramVerifier
from verifiers.sandbox import Limits

HERE = Path(__file__).resolve().parent
FILES = {
    name: [json.loads(line) for line in (HERE / name).read_text("utf-8").split("\n") if line]
    for name in ("judged.jsonl", "texts.jsonl", "judged_more.jsonl")
}
LINES = [line for lines in FILES.values() for line in lines]
SCHEMA = json.loads((HERE.parents[1] / "verifiers/judge.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.mark.parametrize(
    "name",
    ["judged.jsonl", "texts.jsonl", pytest.param("judged_more.jsonl", marks=pytest.mark.slow)],
)
def test_every_verdict_is_the_right_one(name: str) -> None:
    command = [sys.executable, "-m", "orchestrator", "judge", str(HERE / name)]
    done = subprocess.run(
        [*command, "--wall-s", "2"],
        capture_output=True,
        text=True,
        cwd=HERE.parents[1],
        check=False,
    )
    verdicts = {v["id"]: v for v in map(json.loads, done.stdout.splitlines())}
    assert len(verdicts) == len(FILES[name])
    wrong = {
        line["id"]: (line["right"], verdicts[line["id"]])
        for line in FILES[name]
        if verdicts[line["id"]]["verdict"] not in line["right"].split("|")
    }
    assert wrong == {}
    invalid = sum(line["right"] == "invalid" for line in FILES[name])
    lines = "1 line was" if invalid == 1 else f"{invalid} lines were"
    told = f"{lines} invalid.\n" if invalid else ""
    assert done.returncode == (1 if invalid else 0) and done.stderr == told


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["id"])
def test_the_schema_says_what_is_a_line(line: dict[str, Any]) -> None:
    sample = {key: value for key, value in line.items() if key != "right"}
    valid = VALIDATOR.is_valid(sample)
    # Which rules there are, which numbers are none, and near misses are beyond a schema.
    beyond = {"unknown rule", "invalid 6", "invalid 9"}
    assert valid or line["right"] == "invalid"
    assert not valid or line["right"] != "invalid" or line["id"] in beyond


def test_the_lines_of_the_page_are_lines() -> None:
    page = (HERE.parents[1] / "docs/judge.md").read_text()
    tests = [json.loads(text) for text in re.findall(r'^    (\{"kind".*\})$', page, re.MULTILINE)]
    assert [one["kind"] for one in tests] == ["calls", "stdio", "assert", "answer"]
    for one in tests:
        jsonschema.validate({"text": "x", "tests": one}, SCHEMA)


@pytest.mark.parametrize("size", ["input", "output"])
async def test_forty_cases_of_a_megabyte(size: str) -> None:
    long = "x" * 1_000_000 + "\n"
    case = {"input": long, "output": "1000000\n"}
    code = "print(len(input()))"
    if size == "output":
        case, code = {"input": "a\n", "output": long}, "print('x' * 1000000)"
    verifier = ProgramVerifier(limits=Limits(wall_s=20, cpu_s=20), jobs=1)
    try:
        verdict = await verifier.judge(code, {"kind": "stdio", "cases": [case] * 40})
    finally:
        await verifier.aclose()
    assert verdict.passed, verdict


async def test_nothing_is_asked_twice() -> None:
    """One chance in two at each of two cases is one in four, however often the cases are run."""
    tests = {"kind": "stdio", "cases": [{"input": "", "output": "1"}, {"input": "", "output": "1"}]}
    verifier = ProgramVerifier(limits=Limits(wall_s=20, cpu_s=20), jobs=2)
    try:
        passed = 0
        for n in range(400):
            code = f"import os\nprint(os.urandom(1)[0] % 2)  # {n}"
            passed += (await verifier.judge(code, tests)).passed
    finally:
        await verifier.aclose()
    assert 60 <= passed <= 140  # 100, and over four standard deviations to either side


@pytest.mark.parametrize(
    ("source", "entry", "more"),
    [
        ("def check(candidate):\n    assert candidate(1) == 2\n", "f", False),
        ("assert sorted(f([2, 1]), key=str) == [1, 2]\n", "f", False),
        ("import math\nassert math.isclose(f(1), 2) and f('a').upper() == 'B'\n", "f", False),
        ("assert Find_Max([1, 2]) == 2\n", "Find_Max", False),
        ("assert total([Pair(2, 3), Pair(4, 5)]) == 26\n", "total", False),
        ("try: f(0)\nexcept Bad as e: assert str(e) == 'no'\n", "f", False),
        ("assert f(1) is None and type(f(2)) == int\n", "f", False),
        ("import random\nr = random.Random(7)\nassert f(r.randint(1, 9)) > 0\n", "f", False),
        ("assert f(1).left == 2\n", "f", True),
        ("r = f(1)\nr.left = 2\n", "f", True),
        ("assert f(x) is x\n", "f", True),
        ("assert Vec(1) == Vec(1)\n", "Vec", True),
        ("s = Stack()\ns.push(1)\n", "Stack", True),
        ("assert len(Stack()) == 0\n", "Stack", True),
        ("import io\nassert f(1)\n", "f", True),
        ("import random\nrandom.seed(1)\nassert f(1)\n", "f", True),
        ("from unittest.mock import patch\nassert f(1)\n", "f", True),
        ("assert f.__doc__ == 'x'\n", "f", True),
        ("class Odd: pass\nassert f(Odd())\n", "f", True),
        ("assert isinstance(f(1), Node)\n", "f", True),
        ("async def check(candidate): assert await candidate(1)\n", "f", True),
    ],
)
def test_what_a_test_looks_at(source: str, entry: str, more: bool) -> None:
    assert bool(looks_at_more(source, entry)) is more, looks_at_more(source, entry)


async def test_a_reference_decides_where_a_test_is_judged_and_a_task_may_forbid_it() -> None:
    """The text does not show it, but what the function returns is compared by its own equality."""
    code = (
        "class P:\n    def __init__(self, x): self.x = x\n"
        "    def __eq__(self, o): return self.x == o.x\ndef f(x): return P(x)\n"
    )
    source = "def check(candidate):\n    assert candidate(1) == candidate(1)\n"
    tests = {"kind": "assert", "entry": "f", "source": source}
    cheat = "def f(x):\n    class P:\n        def __eq__(self, o): return True\n    return P()\n"
    verifier = ProgramVerifier(limits=Limits(wall_s=20, cpu_s=20), jobs=1)
    try:
        across = await verifier.judge(code, tests)
        assert across.kind == "failed" and not across.forgeable
        inside = await verifier.judge(code, {**tests, "reference": code})
        assert inside.passed and inside.forgeable
        plain = await verifier.judge(cheat, {**tests, "reference": "def f(x): return x\n"})
        assert plain.kind == "failed" and not plain.forgeable  # the candidate does not decide
        forbidden = await verifier.judge(code, {**tests, "reference": code, "forgeable": False})
        assert forbidden.kind == "failed"
    finally:
        await verifier.aclose()


@pytest.mark.parametrize("where", ["across", "inside"])
async def test_a_wall_limit_ends_a_test_that_catches_everything(where: str) -> None:
    code = "import time\ndef f(n): time.sleep(60)"
    tests = {
        "kind": "assert", "entry": "f", "forgeable": where == "inside",
        "source": "def check(candidate):\n    while True:\n        try: candidate(1)\n"
        "        except BaseException: pass\n",
    }  # fmt: skip
    verifier = ProgramVerifier(limits=Limits(wall_s=2, cpu_s=2), jobs=1)
    try:
        verdict = await verifier.judge(code, tests)
    finally:
        await verifier.aclose()
    assert verdict.kind == "timeout", verdict
