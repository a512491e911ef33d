"""Where the paper's rule finds answers, and its common form of them: text work alone."""

from __future__ import annotations

import pytest

from verifiers import answer_paper


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Final Answer: The final answer is $5$. I hope it is correct.", "$5$"),
        ("Final Answer: The final answer is $5$. I hope it is correct. x. I hope it is correct.",)
        * 1
        + ("$5$",),
        ("Final Answer: The final answer is $5$. ", "$5$"),
        ("Final Answer: The final answer is $5$.", None),
        ("Final Answer: The final answer is 5! I hope it is correct!", "5"),
        ("The final answer is $5$. I hope it is correct.", None),
        ("final answer: The final answer is $5$. I hope it is correct.", None),
        ("Final Answer: The final answer is\n$5$. I hope it is correct.", None),
        (
            "Final Answer: The final answer is $1$. I hope it is correct.\n"
            "Final Answer: The final answer is $2$. I hope it is correct.",
            "$1$",
        ),
        (
            "Final Answer: The final answer is\n"
            "Final Answer: The final answer is $2$. I hope it is correct.",
            "$2$",
        ),
        ("", None),
    ],
)
def test_the_papers_math_answer(text: str, answer: str | None) -> None:
    assert answer_paper.math_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#### 5", "5"),
        ("#### -5", "-5"),
        ("#### $5.50", "5.50"),
        ("#### 1,234,567.", "1234567"),
        ("#### 5.", "5"),
        ("#### 5..", "5."),
        ("####  5", None),
        ("#### x", None),
        ("a #### 1 b #### 2", "1"),
    ],
)
def test_the_papers_gsm8k_answer(text: str, answer: str | None) -> None:
    assert answer_paper.gsm8k_answer(text) == answer


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("so $\\boxed{5}$", "5"),
        ("$\\boxed{1}$ then $\\boxed{\\frac{1}{2}}$", "\\frac{1}{2}"),
        ("so \\fbox{7}", "7"),
        ("\\fbox{7} and \\boxed{8}", "8"),
        ("so $\\boxed 9$", "9"),
        ("so \\boxed{", None),
        ("none", None),
    ],
)
def test_the_reference_is_in_the_last_box(solution: str, answer: str | None) -> None:
    assert answer_paper.boxed(solution) == answer


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("x = 5", "5"),
        ("\\frac12", "\\frac{1}{2}"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("\\fracab", "\\frac{a}{b}"),
        ("\\sqrt2", "\\sqrt{2}"),
        ("\\sqrt{2}", "\\sqrt{2}"),
        ("the $5$ apples", "5"),
        ("\\text{Tuesday}", "Tuesday"),
        ("\\textbf{A} \\overline{B} \\boxed{C}", "ABC"),
        ("5 \\text{ cm}", "5"),
        ("5\\text{ m}^2", "5"),
        ("5\\mbox{ m}^2", "5"),
        ("90^\\circ", "90"),
        ("90^{\\circ}", "90"),
        ("100,000", "100000"),
        ("1,2", "12"),
        ("(1,2)", "(1,2)"),
        ("10,\\!000", "10000"),
        ("10{,}000", "10000"),
        ("5 dollars", "5"),
        ("\\$5", "5"),
        ("a square", ""),
        ("pointed", "pointed"),
        ("3 points", "3"),
        ("1 \\text{and} 2", "12"),
        ("1, \\text{and} 2", "12"),
        ("7\\mathrm{th}", "7"),
        ("", ""),
    ],
)
def test_the_papers_common_form(answer: str, form: str) -> None:
    assert answer_paper.normalised(answer) == form


def test_searching_hostile_outputs_takes_a_time_in_proportion() -> None:
    # Each of these once took quadratic time; at this length that would be hours.
    for text in (
        "\\boxed{" * 100_000,
        "\\boxed{" + "{" * 700_000,
        "answer" + " " * 700_000,
        "answer is" + " " * 700_000 + "x",
        "answer is $" + ". " * 350_000,
        "1" * 700_000 + "x",
        "$" * 700_001,
        "\\boxed{1}," * 70_000,
        "Final Answer: The final answer is" * 20_000,
        "\\text{" * 100_000,
    ):
        answer_paper.math_answer(text)
        answer_paper.gsm8k_answer(text)
        answer_paper.boxed(text)
