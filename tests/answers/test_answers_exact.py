"""Equality of texts, and nothing more than equality."""

from __future__ import annotations

import pytest

from verifiers.exact import ExactAnswer, bounded


@pytest.mark.parametrize(
    ("text", "answer", "kind"),
    [
        ("42", "42", "passed"),
        (" 42\n", "42", "passed"),
        ("42", " 42 ", "passed"),
        ("042", "42", "failed"),
        ("42.", "42", "failed"),
        ("4 2", "42", "failed"),
        ("", "42", "no_answer"),
        (" \n\t", "42", "no_answer"),
        ("\x00", "\x00", "passed"),
        ("42\x00", "42", "failed"),
        ("cafe\u0301", "caf\u00e9", "passed"),
        ("خمسة", "خمسة", "passed"),
        ("٤٢", "42", "failed"),
        ("7" * 1_000_000, "7" * 1_000_000, "passed"),
        ("7" * 999_999 + "8", "7" * 1_000_000, "failed"),
        ("\ud800", "42", "failed"),
    ],
)
async def test_the_whole_output_is_compared(text: str, answer: str, kind: str) -> None:
    assert (await ExactAnswer().verify(text, {"answer": answer})).kind == kind


async def test_the_last_line_rule_looks_at_the_last_line_that_is_not_blank() -> None:
    verifier = ExactAnswer("last-line")
    assert (await verifier.verify("so it is\n 42 \n\n", {"answer": "42"})).passed
    assert not (await verifier.verify("42\nno, 43", {"answer": "42"})).passed
    assert (await verifier.verify("\n", {"answer": "42"})).kind == "no_answer"


async def test_stored_answers_are_short_and_equal_only_where_the_answers_are() -> None:
    first = await ExactAnswer().verify("1" * 50_000_000, {"answer": "1"})
    second = await ExactAnswer().verify("1" * 49_999_999 + "2", {"answer": "1"})
    assert first.answer is not None and second.answer is not None
    assert len(first.answer) < 300 and first.answer != second.answer
    assert bounded("1" * 1000) == "1" * 1000
