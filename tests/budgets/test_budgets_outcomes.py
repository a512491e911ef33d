"""One test per row of the outcome table, and the way from an error's words to its row."""

from typing import get_args

import pytest

from budgets.outcomes import ROWS, What, outcome_action, what_happened

EXPECTED = {
    ("", "ok"): "settle",
    ("", "ok_no_usage"): "hold",
    ("", "not_sent"): "release",
    ("", "rejected_4xx"): "release",
    ("", "rejected_429"): "release",
    ("", "rejected_5xx"): "release",
    ("", "rejected_overloaded"): "release",
    ("", "rejected_gateway"): "hold",
    ("", "reset"): "hold",
    ("", "timeout"): "hold",
    ("", "cancelled"): "hold",
    ("", "unreadable"): "hold",
    ("openai", "rejected_5xx"): "release",
    ("anthropic", "rejected_overloaded"): "release",
    ("anthropic", "rejected_gateway"): "hold",
    ("deepseek", "reset"): "hold",
    ("deepseek", "rejected_overloaded"): "release",
    ("openrouter", "rejected_5xx"): "hold",
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.provider or 'any'}-{row.what}")
def test_each_row(row: object) -> None:
    provider, what, does, why = row  # type: ignore[misc]
    assert EXPECTED[(provider, what)] == does
    assert outcome_action(provider or "any provider at all", what) == does
    assert why


def test_the_table_is_whole_and_says_each_thing_once() -> None:
    keys = [(row.provider, row.what) for row in ROWS]
    assert len(keys) == len(set(keys)) == len(EXPECTED)
    assert {what for provider, what in keys if not provider} == set(get_args(What))


def test_what_no_row_knows_is_held() -> None:
    assert outcome_action("openai", "something new") == "hold"


@pytest.mark.parametrize(
    ("error", "sent", "status", "what"),
    [
        ("ConnectionFailed", "not_sent", None, "not_sent"),
        ("TimedOut", "not_sent", None, "not_sent"),
        ("InvalidRequest", "rejected", 400, "rejected_4xx"),
        ("AuthFailed", "rejected", 401, "rejected_4xx"),
        ("UnknownModel", "rejected", 404, "rejected_4xx"),
        ("RateLimited", "rejected", 429, "rejected_429"),
        ("RateLimited", "rejected", None, "rejected_429"),
        ("InvalidRequest", "rejected", None, "rejected_4xx"),
        ("Overloaded", "rejected", 500, "rejected_5xx"),
        ("Overloaded", "rejected", 503, "rejected_overloaded"),
        ("Overloaded", "rejected", 529, "rejected_overloaded"),
        ("Overloaded", "rejected", 502, "rejected_gateway"),
        ("Overloaded", "rejected", 504, "rejected_gateway"),
        ("Overloaded", "rejected", 524, "rejected_gateway"),
        ("InvalidRequest", "rejected", 408, "rejected_gateway"),
        ("Overloaded", "rejected", None, "rejected_gateway"),
        ("ConnectionFailed", "maybe_billed", None, "reset"),
        ("TimedOut", "maybe_billed", None, "timeout"),
        ("Cancelled", "maybe_billed", None, "cancelled"),
        ("BadResponse", "maybe_billed", 200, "unreadable"),
        ("SomethingElse", "maybe_billed", None, "reset"),
    ],
)
def test_an_errors_words_name_its_row(error: str, sent: str, status: int | None, what: str) -> None:
    assert what_happened(error, sent, status) == what
