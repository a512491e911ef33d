"""What counts as a stated answer, what it denotes, and that nothing else is accepted.

stated.jsonl and adversary.jsonl hold outputs by kind, each with its reference and right verdict;
those of the second were decided before anything was run. The lottery
tickets are cheap texts that hold the answer without stating it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lottery import GOLDS, HONEST, TICKETS

from verifiers.answer import ModernAnswer
from verifiers.sandbox import Limits
from verifiers.stated import StatedAnswer
from verifiers.stated.clauses import NotStated, clause
from verifiers.stated.cut import solution
from verifiers.stated.find import stated
from verifiers.stated.forms import Value
from verifiers.stated.number import value
from verifiers.stated.tokens import NotWhole
from verifiers.stated.whole import read

CASES: list[dict[str, str]] = [
    json.loads(line)
    for name in ("stated.jsonl", "adversary.jsonl", "readers.jsonl")
    for line in Path(__file__).with_name(name).read_text("utf-8").splitlines()
]
Rule = ModernAnswer | StatedAnswer
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def modern() -> AsyncIterator[ModernAnswer]:
    verifier = ModernAnswer(limits=Limits(wall_s=10, cpu_s=8, memory_mb=512, output_mb=4))
    yield verifier
    await verifier.aclose()


async def accepted(rule: Rule, pairs: list[tuple[str, str]]) -> list[bool]:
    """Per pair of a gold and an output, whether it passes."""
    verdicts = await asyncio.gather(*(rule.verify(text, {"answer": gold}) for gold, text in pairs))
    assert not [one for one in verdicts if one.kind in ("infra_error", "crashed", "timeout")]
    return [verdict.passed for verdict in verdicts]


def told(pairs: list[tuple[str, str]], wrong: list[bool]) -> list[tuple[str, str]]:
    return [pair for pair, is_wrong in zip(pairs, wrong, strict=True) if is_wrong]


async def test_every_kind_of_output_gets_its_right_verdict(modern: ModernAnswer) -> None:
    pairs = [(case["gold"], case["output"]) for case in CASES]
    right = [case["right"] == "accept" for case in CASES]
    assert len(set(pairs)) == len(pairs) > 3_500 and 500 < sum(right) < len(right) - 500
    passed = await accepted(modern, pairs)
    assert told(pairs, [a != b for a, b in zip(passed, right, strict=True)]) == []


async def test_the_rule_of_the_base_install_accepts_no_wrong_one_and_most_right_ones() -> None:
    pairs = [(case["gold"], case["output"]) for case in CASES]
    right = [case["right"] == "accept" for case in CASES]
    passed = await accepted(StatedAnswer(), pairs)
    assert told(pairs, [a and not b for a, b in zip(passed, right, strict=True)]) == []
    # What needs algebra is left to the other rule.
    assert sum(passed) > 0.85 * sum(right)


@pytest.mark.parametrize("rule", ["stated", "math-verify"])
async def test_no_lottery_ticket_wins(modern: ModernAnswer, rule: str) -> None:
    verifier = modern if rule == "math-verify" else StatedAnswer()
    tickets = [(gold, text.replace("GOLD", gold)) for gold in GOLDS for text in TICKETS]
    assert len(set(GOLDS)) == 100 and len(tickets) == 3_000
    assert told(tickets, await accepted(verifier, tickets)) == []
    honest = [(gold, text.replace("GOLD", gold)) for gold in GOLDS for text in HONEST]
    missed = told(honest, [not one for one in await accepted(verifier, honest)])
    # A number that is called out, or a factorial: in doubt it is no answer.
    assert missed == [("5!", "#### 5!")]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{5} #### 6\nThe answer is 7. <answer>8</answer>", "5"),
        ("#### 6\nThe answer is 7. <answer>8</answer>", "6"),
        ("The answer is 7. <answer>8</answer>", "7"),
        ("<answer>8</answer>\n9", "8"),
        ("so\n$9$", "$9$"),
        ("\\boxed{1}, \\boxed{2} and $\\boxed{3}$.", "1, 2, 3"),
        ("\\boxed{4} \\text{ million}", "4 million"),
        ("#### 5 because it is", "5"),
        ("**Answer**\n\n$$\n7\n$$", "7"),
    ],
)
async def test_the_marks_in_their_order_of_precedence(text: str, answer: str) -> None:
    assert stated(text) == answer


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "states no final answer"),
        ("so there are 5", "states no final answer"),
        ("\\boxed{5", "a box that is not closed"),
        ("\\boxed{}", "an empty box"),
        ("-\\boxed{5}", "a box after '-'"),
        ("#### 5\n#### 6", "several answers by '####'"),
        ("The answer is 5. The answer is 6.", "several answers by 'answer is'"),
        ("The answer is 5. Or 6.", "taken back at once"),
        ("1\n2\n3", "a list of values"),
    ],
)
async def test_why_nothing_is_stated_is_told(text: str, reason: str) -> None:
    with pytest.raises(NotStated, match=reason):
        stated(text)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("5 because 2+3=5", "5"),
        ("5, since it is", "5"),
        ("$5$. I hope it is correct.", "$5$"),
        ("3.5 meters. Then", "3.5 meters"),
        ("$x. y$ and", "$x. y$ and"),
        ("2:30 p.m. today", "2:30 pm today"),
        ("5 (dollars)", "5"),
        ("5 (about half)", "5 (about half)"),
        ("5, not 6", "5"),
        ("5 or 6", "5 or 6"),
    ],
)
async def test_where_the_answer_in_a_sentence_ends(line: str, answer: str) -> None:
    assert clause(line) == answer


async def test_thinking_and_what_runs_on_are_no_part_of_the_solution() -> None:
    assert solution("<think>4</think>5") == "5"
    assert solution("a <think>4") == "a "
    assert solution("#### 5\n\nQuestion: 6\n#### 7") == "#### 5\n\n"
    assert solution("Question: 6\n#### 7") == "Question: 6\n#### 7"
    assert solution("The answer is 5.<|eot_id|>6") == "The answer is 5."


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("1/3", "1/3"), ("7 3/8", "59/8"), ("0.\\overline{12}", "4/33"), ("3^{2^3}", "6561"),
        ("\\frac12+.5", "1"), ("-2^2", "-4"), ("2^-1", "1/2"), ("\\sqrt[3]{27}", "3"),
        ("1,234.5", "2469/2"), ("10!/8!", "90"), ("|-3|", "3"), ("1/2/2", "1/4"),
        ("4 \\text{ thousand}", "4000"), ("2(3+4)", "14"), ("\\binom52", "10"),
    ],
)  # fmt: skip
async def test_numbers_are_exact(text: str, exact: str) -> None:
    answer = read(text)
    assert isinstance(answer, Value) and str(value(answer.tree)) == exact


@pytest.mark.parametrize("text", ["9^{9^{9^9}}", "1000000!", "10^{10^6}", "2^{2^{2^{2^{2}}}}!"])
async def test_numbers_that_grow_without_end_have_no_value_and_take_no_time(text: str) -> None:
    answer = read(text)
    assert isinstance(answer, Value) and value(answer.tree) is None


HOSTILE: list[str] = [
    "\\boxed{" * 100_000,
    "\\boxed{" + "{" * 700_000,
    "answer" + " " * 700_000,
    "answer is" + " " * 700_000 + "x",
    "answer is $" + ". " * 350_000,
    "answer is 5 " * 60_000,
    "1" * 700_000 + "x",
    "$" * 700_001,
    "\\boxed{1}," * 70_000,
    "#### 1\n" * 100_000,
    "#### 1\n\nword word word word\n" * 30_000,
    "Final Answer: The final answer is" * 20_000,
    "\\text{" * 100_000,
    "<answer>" * 90_000,
    "<think>" * 90_000 + "</think>" * 90_000,
    "The answer is 5.\n\nHow many? " * 25_000,
    "\n \n" * 250_000,
    "\\[" * 350_000,
    ("\\boxed{1}" + "\n*" * 90 + "x") * 3_000,
    ("\\boxed{1}" + " 1." * 60 + "x") * 3_000,
    "The answer is 5.\n" + "a\n \nb" * 100_000,
    ("The answer is 5" + " ," * 580 + "x\n") * 500,
    "The answer is 5" + " (" * 350_000,
]


async def test_searching_hostile_outputs_takes_a_time_in_proportion() -> None:
    # Quadratic time at this length would be hours.
    for text in HOSTILE:
        try:
            stated(text)
        except NotStated:
            pass


@pytest.mark.parametrize(
    "text",
    [
        *("(" * 500, "{" * 500, "-" * 999, "((((((" * 150, "x" * 999, "\\frac" * 190),
        *("1," * 490, "|" * 900, "a=" * 450, "\\sqrt" * 190, "1/" * 490 + "1", "5 " * 490),
        *("\\text{" * 100, "\\left" * 190, "$" * 900, "\\begin{pmatrix}" * 60, "1&" * 400),
        *("\x00", "\ud800", "٤٢\u202e", "\\{" * 400, "(1,2)" * 190, "x_" * 400, "!" * 900),
        *("^" * 900, "\\" * 900, ":" * 900, "%" * 900),
    ],
)  # fmt: skip
async def test_whatever_is_read_reads_whole_or_is_no_answer(text: str) -> None:
    reading: Any
    for hostile in (text, text + "5", "5" + text):
        try:
            reading = read(hostile)
        except NotWhole:
            continue
        assert reading is not None
