"""Programs judged against tests: comparison, extraction, assert-style tests, cheating by state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import pytest_asyncio

from verifiers.compare import first_difference, same_output, same_value, show
from verifiers.extract import extract_code
from verifiers.program import BadTests, ProgramVerifier
from verifiers.sandbox import Limits

EASY = Limits(wall_s=20, cpu_s=20)


@pytest_asyncio.fixture
async def verifier() -> AsyncIterator[ProgramVerifier]:
    held = ProgramVerifier(limits=EASY, jobs=1)
    yield held
    await held.aclose()


def calls(entry: str, *cases: tuple[list[Any], Any], **more: Any) -> dict[str, Any]:
    listed = [{"args": args, "expected": expected} for args, expected in cases]
    return {"kind": "calls", "entry": entry, "cases": listed, **more}


def stdio(*cases: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"kind": "stdio", "cases": [{"input": i, "output": o} for i, o in cases], **more}


def asserting(entry: str, source: str) -> dict[str, Any]:
    return {"kind": "assert", "entry": entry, "source": source}


async def test_verdicts_of_calls(verifier: ProgramVerifier) -> None:
    tests = calls("f", ([1], 2), ([2], 3))
    kinds = {
        "def f(n): return n + 1": "passed",
        "def f(n): return n": "failed",
        "def f(n): raise KeyError": "failed",
        "def f(n): import os; os._exit(0)": "crashed",
        "def f(n): import os; os.kill(os.getpid(), 11)": "crashed",
        "def f(n): return bytearray(8 << 30)": "memory",
        "def g(n): return n + 1": "crashed",
        "def f(n) return": "crashed",
    }
    for code, kind in kinds.items():
        verdict = await verifier.judge(code, tests)
        assert verdict.kind == kind, (code, verdict)
        assert verdict.tier
    wrong = await verifier.judge("def f(n): return 2", tests)
    assert wrong.detail == "case 1: 2 instead of 3"


async def test_a_text_with_a_fence(verifier: ProgramVerifier) -> None:
    text = "First I thought\n```python\nprint(1)\n```\nbut better\n```python\nprint(input())\n```\n"
    verdict = await verifier.verify(text, {"tests": stdio(("x", "x\n"))})
    assert verdict.passed, verdict
    nothing = await verifier.verify("```java\nclass A {}\n```", {"tests": stdio(("x", "x"))})
    assert nothing.kind == "no_answer"


async def test_run_all_counts_the_failures() -> None:
    verifier = ProgramVerifier(limits=EASY, jobs=1, run_all=True)
    try:
        tests = calls("f", ([1], 1), ([2], 0), ([3], 3), ([4], 0))
        verdict = await verifier.judge("def f(n): return n", tests)
        assert verdict.kind == "failed" and "2 of 4 failed" in verdict.detail
    finally:
        await verifier.aclose()


async def test_a_checker_in_the_parent() -> None:
    verifier = ProgramVerifier(
        limits=EASY, jobs=1, checker=lambda given, _, got: int(got) ** 2 == int(given)
    )
    try:
        tests = stdio(("9", ""), ("16", ""))
        root = "print(-round(int(input()) ** 0.5))"
        assert (await verifier.judge(root, tests)).passed
        assert (await verifier.judge("print(4)", tests)).kind == "failed"
    finally:
        await verifier.aclose()


async def test_state_between_cases_neither_helps_nor_hurts(verifier: ProgramVerifier) -> None:
    tests = calls("f", ([1], 1), ([1], 1))
    hurt = "seen = []\ndef f(n):\n    seen.append(n)\n    return len(seen)"
    assert (await verifier.judge(hurt, tests)).passed  # right in a process of its own
    helped = "seen = []\ndef f(n):\n    seen.append(n)\n    return 1 if len(seen) == 2 else 0"
    assert (await verifier.judge(helped, tests)).kind == "failed"


async def test_assert_tests(verifier: ProgramVerifier) -> None:
    test = (
        "def check(candidate):\n    assert candidate(1, b=2) == 3\n"
        "    assert candidate([1], [2]) == [1, 2]\n"
    )
    assert (await verifier.judge("def add(a, b): return a + b", asserting("add", test))).passed
    wrong = await verifier.judge("def add(a, b): return a", asserting("add", test))
    assert wrong.kind == "failed" and "AssertionError (line 2" in wrong.detail
    script = "assert add(1, 2) == 3\nassert LIMIT == 10 and twice(4) == 8\n"
    code = "LIMIT = 10\ndef twice(n): return 2 * n\ndef add(a, b): return a + b"
    assert (await verifier.judge(code, asserting("add", script))).passed


async def test_assert_tests_see_exceptions_and_changed_arguments(verifier: ProgramVerifier) -> None:
    test = (
        "def check(candidate):\n"
        "    try:\n        candidate(None)\n        assert False\n"
        "    except TypeError as e:\n        assert 'told' in str(e)\n"
        "    items = [3, 1, 2]\n    candidate(items)\n    assert items == [1, 2, 3]\n"
        "    assert list(candidate((5, 4))) == [4, 5]\n"
    )
    code = (
        "def order(items):\n    if items is None: raise TypeError('told')\n"
        "    if isinstance(items, list): items.sort()\n    return (x for x in sorted(items))"
    )
    verdict = await verifier.judge(code, asserting("order", test))
    assert verdict.passed, verdict


async def test_what_cannot_cross_is_no_wrong_answer(verifier: ProgramVerifier) -> None:
    test = "class Odd:\n    pass\n\ndef check(candidate):\n    assert candidate(Odd())\n"
    tests = asserting("f", test)
    across = await verifier.judge("def f(g): return True", {**tests, "forgeable": False})
    assert across.kind == "infra_error" and "type Odd" in across.detail
    inside = await verifier.judge("def f(g): return True", tests)
    assert inside.passed and inside.forgeable


async def test_assert_tests_pass_functions_that_the_candidate_calls(
    verifier: ProgramVerifier,
) -> None:
    test = "def check(candidate):\n    assert candidate(lambda x: x + 1) == 3\n"
    right = await verifier.judge("def f(g): return g(2)", asserting("f", test))
    wrong = await verifier.judge("def f(g): return g(3)", asserting("f", test))
    assert (right.kind, wrong.kind) == ("passed", "failed")


async def test_a_test_that_never_ends_or_a_candidate_that_does_not() -> None:
    verifier = ProgramVerifier(limits=Limits(wall_s=0.5, cpu_s=0.7), jobs=1)
    try:
        slow = asserting("f", "def check(candidate):\n    candidate()\n")
        assert (await verifier.judge("def f():\n    while True: pass", slow)).kind == "timeout"
    finally:
        await verifier.aclose()


@pytest.mark.parametrize(
    "tests",
    [
        None, {}, {"kind": "x"}, {"kind": "calls", "cases": []},
        {"kind": "calls", "entry": "f", "cases": []},
        {"kind": "calls", "entry": "f", "cases": [{"args": 1, "expected": 1}]},
        {"kind": "calls", "entry": "f", "cases": [{"args": [1]}]},
        {"kind": "stdio", "cases": [{"input": "x"}]},
        {"kind": "stdio", "cases": [{"input": 1, "output": ""}]},
        {"kind": "stdio", "cases": ["x"]}, {"kind": "assert", "entry": "f"},
        {"kind": "stdio", "cases": [{"input": "", "output": ""}], "compare": "roughly"},
        {"kind": "calls", "entry": "f", "cases": [{"args": [], "expected": 1}], "tolerance": "x"},
    ],
)  # fmt: skip
async def test_bad_tests_are_named(verifier: ProgramVerifier, tests: Any) -> None:
    with pytest.raises(BadTests):
        await verifier.judge("x = 1", tests)


@pytest.mark.parametrize(
    ("got", "expected", "rule", "tolerance", "same"),
    [
        (b"1\n2\n", "1\n2", "lines", 0, True),
        (b"1 \n2\n\n", "1\n2\n", "lines", 0, True),
        (b"1\r\n2\r\n", "1\n2\n", "lines", 0, True),
        (b"1 2\n", "1\n2\n", "lines", 0, False),
        (b"1 2\n", "1\n2\n", "tokens", 0, True),
        (b" 1\n", "1\n", "lines", 0, True),
        (b"\n1\n", "1\n", "lines", 0, True),
        (b"1  2\n", "1 2\n", "lines", 0, False),
        (b"1_0\n", "10.0\n", "lines", 1e-6, False),
        (b"1\n", "1", "exact", 0, False),
        (b"0.3000001\n", "0.3\n", "lines", 1e-6, True),
        (b"0.30001\n", "0.3\n", "lines", 1e-6, False),
        (b"nan\n", "0.3\n", "lines", 1e-6, False),
        (b"inf\n", "0.3\n", "lines", 1e-6, False),
        (b"", "", "lines", 0, True),
        (b"1\n", "1\n1\n", "lines", 0, False),
        (b"\xff\n", "\ufffd\n", "lines", 0, False),
    ],
)
def test_outputs(got: bytes, expected: str, rule: str, tolerance: float, same: bool) -> None:
    assert same_output(got, expected, rule, tolerance) is same
    if not same:
        assert first_difference(got, expected)


@pytest.mark.parametrize(
    ("got", "expected", "tolerance", "same"),
    [
        ((1, 2), [1, 2], 0, True),
        ({1, 2}, [2, 1], 0, False),
        ({1, 2}, [1, 2], 0, False),
        (frozenset([1]), [1], 0, False),
        ({1}, [1, 1], 0, False),
        ({1: "a"}, {"1": "a"}, 0, True),
        ({True: 1}, {"true": 1}, 0, True),
        ({1: 1, "1": 1}, {"1": 1}, 0, False),
        (0.1 + 0.2, 0.3, 1e-9, True),
        (0.1 + 0.2, 0.3, 0, False),
        (float("nan"), float("nan"), 0, True),
        (2, 2.0, 0, True),
        (9007199254740993, 9007199254740992.0, 0, False),
        (9007199254740992.0, 9007199254740993, 0, False),
        (9007199254740993, 9007199254740992.0, 1e-9, True),
        ([2**60 + 1], [float(2**60)], 0, False),
        (Decimal("0.1"), 0.1, 0, False),
        (Decimal("0.5"), 0.5, 0, True),
        (Decimal("0.1"), 0.1, 1e-9, True),
        (Fraction(1, 3), 1 / 3, 0, False),
        (Fraction(10**400), 10**400, 0, True),
        (True, 1, 0, True),
        ("1", 1, 0, False),
        (None, False, 0, False),
        ([[1]], [[1, 2]], 0, False),
        ([0.1, [0.2]], [0.1, [0.2000001]], 1e-5, True),
        (10**400, 1.5, 1e-9, False),
        (b"a", "a", 0, False),
    ],
)
def test_values(got: Any, expected: Any, tolerance: float, same: bool) -> None:
    assert same_value(got, expected, tolerance) is same


def test_values_of_any_size_can_be_shown() -> None:
    for value in (10**10000, [10**10000], "x" * 10**6, b"\xff" * 1000, {1: [2] * 10**5}):
        assert len(show(value)) <= 210


@pytest.mark.parametrize(
    ("text", "entry", "code"),
    [
        ("print(1)", None, "print(1)"),
        ("```\na\n```", None, "a\n"),
        ("```python\na\n```\n```\nb\n```", None, "a\n"),
        ("```py\na\n", None, "a\n"),
        ("````python\n```\na\n```\n````", None, "```\na\n```\n"),
        ("~~~python\na\n~~~", None, "a\n"),
        ("```python\ndef f(): pass\n```\n```python\nf()\n```", "f", "def f(): pass\n"),
        ("```python\ndef f(): pass\n```\n```python\nf()\n```", None, "f()\n"),
        ("```json\n{}\n```", None, ""),
    ],
)
def test_programs_in_texts(text: str, entry: str | None, code: str) -> None:
    assert extract_code(text, entry=entry) == code
