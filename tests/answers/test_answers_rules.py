"""Both rules on final answers: 375 pairs with the verdict that each rule is known to give.

equivalences.tsv holds per line: whether a mathematician would call the two equal, the verdict of
the paper's rule, that of the rule on math-verify, the reference, the answer. The first column is
for the record of how good the rules are; where a rule errs, its verdict stands there all the same.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from verifiers.answer import MissingPackage, ModernAnswer, PackageAnswer, PaperAnswer, _Ended
from verifiers.sandbox import Limits
from verifiers.shared_results import SharedResults
from verifiers.stated.find import stated
from verifiers.stated.rule import LONGEST_TEXT
from verifiers.verdict import Verdict

CASES = [
    line.split("\t")
    for line in Path(__file__).with_name("equivalences.tsv").read_text().splitlines()
    if not line.startswith("#")
]


def _parser() -> str:
    try:
        return version("antlr4-python3-runtime")
    except PackageNotFoundError:
        return "none"


papers_parser = pytest.mark.skipif(
    not _parser().startswith("4.11"),
    reason=f"sympy's LaTeX parser needs antlr4-python3-runtime 4.11, here is {_parser()}",
)


LIMITS = Limits(wall_s=3, cpu_s=2, memory_mb=512, output_mb=4, processes=8)
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def modern() -> AsyncIterator[ModernAnswer]:
    verifier = ModernAnswer(limits=LIMITS)
    yield verifier
    await verifier.aclose()


def output(answer: str) -> str:
    return f"So.\nFinal Answer: The final answer is ${answer}$. I hope it is correct."


async def judged(verifier: ModernAnswer | PaperAnswer, column: int) -> list[str]:
    async def one(case: list[str]) -> str:
        verdict = await verifier.verify(output(case[4]), {"answer": case[3]})
        judged = verdict.kind in ("passed", "failed", "no_answer")
        right = judged and verdict.passed == (case[column] == "pass")
        return "" if right else f"{case[3]} / {case[4]}: {verdict}"

    return [wrong for wrong in await asyncio.gather(*map(one, CASES)) if wrong]


async def test_there_are_two_hundred_cases_of_every_kind() -> None:
    assert len(CASES) >= 200 and len({(case[3], case[4]) for case in CASES}) == len(CASES)
    # Of the eight combinations, neither rule errs alone in favour of an answer.
    assert len(Counter(tuple(case[:3]) for case in CASES)) == 6


async def test_the_modern_rule(modern: ModernAnswer) -> None:
    before = modern.comparisons
    assert await judged(modern, 2) == []
    distinct = {(case[3], stated(output(case[4]))) for case in CASES}
    assert modern.comparisons - before == len(distinct) > 350


@papers_parser
async def test_the_papers_rule() -> None:
    verifier = PaperAnswer("math")
    try:
        assert await judged(verifier, 1) == []
    finally:
        await verifier.aclose()


@papers_parser
async def test_the_papers_gsm8k_rule() -> None:
    verifier = PaperAnswer("gsm8k", jobs=1)
    cases = [
        ("So 5+5=<<5+5=10>>10.\n#### 10", "10", "passed"),
        ("#### 10.", "10", "passed"),
        ("#### $1,000", "1000", "passed"),
        ("#### 10.00", "10", "passed"),
        ("#### 10\n#### 11", "10", "passed"),
        ("#### 11\n#### 10", "10", "failed"),
        ("#### -3", "-3", "passed"),
        ("#### 3", "-3", "failed"),
        ("####10", "10", "no_answer"),
        ("The answer is 10", "10", "no_answer"),
        ("#### ten", "10", "no_answer"),
        ("", "10", "no_answer"),
        ("#### " + "7" * 1_000_000, "7" * 1_000_000, "passed"),
        ("#### " + "7" * 1_000_000, "7", "failed"),
        ("#### 1\x002", "1", "passed"),
    ]
    try:
        for text, answer, kind in cases:
            assert (await verifier.verify(text, {"answer": answer})).kind == kind, text[:50]
    finally:
        await verifier.aclose()


async def test_without_its_parser_the_papers_rule_says_what_to_install() -> None:
    if _parser().startswith("4.11"):
        pytest.skip("the right parser is installed")
    with pytest.raises(MissingPackage, match=r"pip install antlr4-python3-runtime==4\.11"):
        await PaperAnswer("math").start()


async def test_integers_of_any_length_are_compared_whole(modern: ModernAnswer) -> None:
    digits = "7" * 1_000_000
    reference = {"answer": digits}
    assert (await modern.verify(f"#### {digits}", reference)).passed
    assert (await modern.verify(rf"so \boxed{{{digits}}}.", reference)).passed
    assert (await modern.verify(f"#### 0{digits}.0", reference)).passed
    assert (await modern.verify(f"#### {digits[:-1]}8", reference)).kind == "failed"
    too_long = await modern.verify(rf"\boxed{{{digits}+1}}", reference)
    assert too_long.kind == "no_answer" and "too many to be parsed" in too_long.detail
    assert len(too_long.detail) < 400
    flood = await modern.verify("x" * (LONGEST_TEXT + 1), reference)
    assert flood.kind == "no_answer" and "too many to search" in flood.detail


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "no_answer"),
        ("I think there are 5 of them and", "no_answer"),
        (r"\boxed{5", "no_answer"),
        ("The answer is 5", "passed"),
        ("ما هو؟ \u202eالجواب\u202c\n#### 5", "passed"),
        ("a\x00b\n#### 5", "passed"),
        ("#### 5\x00", "no_answer"),
        ("#### 5\x006", "no_answer"),
        ("\ud800 #### 5", "passed"),
        ("#### \ud800", "no_answer"),
    ],
)
async def test_strange_outputs_get_a_verdict(modern: ModernAnswer, text: str, kind: str) -> None:
    assert (await modern.verify(text, {"answer": "5"})).kind == kind


HOSTILE = [
    "9^{9^{9^{9}}}",
    "9^9^9^9",
    "10^{10^{10}}!",
    "__import__('os').system('touch MARK')",
    "\\text{__import__('os').system('touch MARK')}",
    "x.__class__.__mro__[-1].__subclasses__()",
    "\\operatorname{exec}(open('MARK','w'))",
    "eval(compile('1','','eval'))",
    "{" * 50 + "1" + "}" * 50,
    "\\frac{" * 40 + "1" + "}{2}" * 40,
    "\\sqrt{" * 50 + "2" + "}" * 50,
    "\\int_0^1 x^{x^{x}} dx",
    "\\sum_{i=1}^{10^{100}} i^{i}",
    "\\lim_{x\\to 0} \\frac{\\sin x^{99}}{x^{99}}",
    "1" * 900,
    "1/" * 400 + "1",
    "x" * 900,
    "(" * 59 + ")" * 59,
    "[[[[[[[[",
    "\\begin{pmatrix}" + "1&" * 200 + "1\\end{pmatrix}",
    "\\x00\\u202e",
]


async def test_hostile_answers_end_and_do_nothing(modern: ModernAnswer, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    reference = {"answer": "\\frac{1}{7}"}

    async def one(hostile: str) -> None:
        answer = hostile.replace("MARK", str(mark))
        verdict = await modern.verify(f"The answer is ${answer}$", reference)
        ends = ("failed", "no_answer", "timeout", "memory", "crashed")
        assert verdict.kind in ends, (hostile, verdict)

    await asyncio.gather(*map(one, HOSTILE))
    assert not mark.exists()
    assert (await modern.verify("The answer is $2/14$", reference)).passed


async def test_the_reference_is_never_where_text_is_parsed() -> None:
    package = PackageAnswer(limits=LIMITS, jobs=1)
    await package.start()
    assert package._box is not None
    calls: list[tuple[str, Any]] = []
    tool = package._box.tool

    async def seen(**arguments: Any) -> Any:
        calls.append((arguments["entry"], arguments["args"]))
        return await tool(**arguments)

    package._box.tool = seen  # type: ignore[method-assign,assignment]
    verdict = await package.verify(output("\\frac{2}{62}"), {"answer": "\\frac{1}{31}"})
    assert verdict.passed
    reading = [arguments for entry, arguments in calls if entry == "answer_cell:read"]
    assert reading == [[["$\\frac{1}{31}$"]], [["$\\frac{2}{62}$"]]]
    ((_, ((gold, found),)),) = [call for call in calls if call[0] == "answer_cell:compare"]
    assert all(isinstance(step, list) for tree in (*gold, *found) for step in tree)
    bent: list[Any] = [
        [],
        [[["node", 5, "Add"]]],
        [[["node", 0, "__import__"]]],
        [[["node", 1, "sympify"]]],
        [[["symbol", "x", {"nonsense": 1}]]],
        [[["integer", "0x1"], ["integer", "0x1"]]],
        [[["what"]]],
        "text",
    ]
    for tree in bent:
        # Whoever takes the reading over states any tree he likes; a bent one is a wrong answer.
        try:
            assert await package._same("compare", gold, tree, "x") is False
        except _Ended as ended:
            assert ended.verdict.kind in ("failed", "crashed")
    await package.aclose()


async def test_no_text_goes_into_the_cell_of_the_modern_rule(modern: ModernAnswer) -> None:
    await modern.start()
    assert modern._box is not None
    calls: list[Any] = []
    tool = modern._box.tool

    async def seen(**arguments: Any) -> Any:
        calls.append((arguments["entry"], arguments["args"]))
        return await tool(**arguments)

    modern._box.tool = seen  # type: ignore[method-assign,assignment]
    verdict = await modern.verify(output("2\\sqrt{x+3}"), {"answer": "\\sqrt{4x+12}"})
    modern._box.tool = tool  # type: ignore[method-assign]
    assert verdict.passed
    ((entry, ((questions, voting),)),) = calls
    assert entry == "algebra:settle" and len(questions) == 1
    leaves = list(_leaves([questions, voting]))
    assert all(isinstance(leaf, str) and len(leaf) < 12 for leaf in leaves), leaves


def _leaves(tree: Any) -> Iterator[Any]:
    for part in tree:
        if isinstance(part, list):
            yield from _leaves(part)
        else:
            yield part


async def test_ten_thousand_samples_cost_as_many_comparisons_as_distinct_answers(
    modern: ModernAnswer,
) -> None:
    answers = [f"\\frac{{{n % 300 + 1}}}{{307}}" for n in range(10_000)]
    reference = {"answer": "\\frac{10}{307}"}
    before = modern.comparisons
    verdicts = await asyncio.gather(*(modern.verify(output(one), reference) for one in answers))
    assert modern.comparisons - before == 300
    assert sum(verdict.passed for verdict in verdicts) == sum(n % 300 == 9 for n in range(10_000))
    assert len({verdict.answer for verdict in verdicts}) == 300


async def test_equal_answers_vote_together(modern: ModernAnswer) -> None:
    reference = {"answer": "7"}

    async def vote(answer: str) -> str | None:
        return (await modern.verify(output(answer), reference)).answer

    halves = [await vote(one) for one in ("\\frac{1}{2}", "0.5", "\\frac{2}{4}", "1/2", "0.50")]
    assert len(set(halves)) == 1
    sums = [await vote(one) for one in ("x+1", "1+x", "\\frac{2x+2}{2}")]
    assert len(set(sums)) == 1
    assert await vote("-5") == await vote("-5.0")
    right = [await vote(one) for one in ("7", "7.0", "\\frac{14}{2}", "x=7")]
    assert set(right) == {"7"}
    assert await vote("7.0000001") != "7"


async def test_who_gives_up_does_not_take_the_result_from_the_others() -> None:
    shared = SharedResults(size=2)
    started = asyncio.Event()
    finish = asyncio.Event()
    runs = 0

    async def compute() -> int:
        nonlocal runs
        runs += 1
        started.set()
        await finish.wait()
        return 7

    first = asyncio.create_task(shared.get("a", compute))
    second = asyncio.create_task(shared.get("a", compute))
    await started.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    finish.set()
    assert await second == 7 and runs == 1
    assert await shared.get("a", compute) == 7 and runs == 1

    async def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await shared.get("b", fail)
    assert await shared.get("b", compute) == 7
    await shared.aclose()


async def test_a_fault_of_the_cell_is_not_kept(modern: ModernAnswer) -> None:
    await modern.start()
    assert modern._box is not None
    tool = modern._box.tool

    async def broken(**arguments: Any) -> Any:
        from verifiers.sandbox import SandboxFault

        raise SandboxFault("the cell died")

    modern._box.tool = broken  # type: ignore[method-assign,assignment]
    verdict = await modern.verify(output("\\sqrt{8}"), {"answer": "2\\sqrt{2}"})
    assert verdict == Verdict("infra_error", "the cell died")
    modern._box.tool = tool  # type: ignore[method-assign]
    assert (await modern.verify(output("\\sqrt{8}"), {"answer": "2\\sqrt{2}"})).passed


async def test_nothing_of_sympy_is_imported_outside_the_cell() -> None:
    code = "import verifiers.answer, sys; sys.exit('sympy' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
