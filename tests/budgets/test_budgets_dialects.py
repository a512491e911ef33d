"""Every dialect of usage that servers speak, a row each, and what an answer of it costs."""

from __future__ import annotations

from typing import Any

import pytest

from budgets.charge import charge
from budgets.dialects import Reported, read_usage
from budgets.money import picodollars
from budgets.price import Band, Price, Rates
from budgets.usage import Usage

RATES = Rates(*(picodollars(usd) for usd in ("3", "0.3", "3.75", "6", "15", "15")))
PRICE = Price("m", "p", "test", (Band(RATES),))

# The dialect, its usage object, and the least that it means.
ROWS: list[tuple[str, dict[str, Any], Usage]] = [
    ("OpenAI chat", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
     Usage(9, output_tokens=4)),
    ("OpenAI cached", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                       "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
                       "completion_tokens_details": {"reasoning_tokens": 3}},
     Usage(4, 5, output_tokens=4, reasoning_tokens=3)),
    ("OpenAI responses", {"input_tokens": 9, "output_tokens": 4,
                          "input_tokens_details": {"cached_tokens": 5},
                          "output_tokens_details": {"reasoning_tokens": 3}},
     Usage(4, 5, output_tokens=4, reasoning_tokens=3)),
    ("Anthropic", {"input_tokens": 9, "output_tokens": 4, "cache_read_input_tokens": 50,
                   "cache_creation_input_tokens": 30,
                   "cache_creation": {"ephemeral_5m_input_tokens": 10,
                                      "ephemeral_1h_input_tokens": 20},
                   "service_tier": "standard"},
     Usage(9, 50, 10, 20, 4)),
    ("Bedrock Converse", {"inputTokens": 9, "outputTokens": 4, "totalTokens": 93,
                          "cacheReadInputTokens": 50, "cacheWriteInputTokens": 30},
     Usage(9, 50, 30, 0, 4)),
    ("Gemini", {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 3,
                "cachedContentTokenCount": 5, "totalTokenCount": 16},
     Usage(4, 5, output_tokens=7, reasoning_tokens=3)),
    ("Gemini's OpenAI endpoint", {"prompt_tokens": 9, "completion_tokens": 4,
                                  "total_tokens": 16}, Usage(9, output_tokens=7)),
    ("DeepSeek", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                  "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 4},
     Usage(4, 5, output_tokens=4)),
    ("OpenRouter", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2}},
     Usage(4, 3, 2, 0, 4)),
    ("LiteLLM of Claude", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                           "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2},
     Usage(2, 5, 2, 0, 4)),
    ("LiteLLM of Claude, older", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 20,
                                  "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2},
     Usage(9, 5, 2, 0, 4)),
    ("LiteLLM's details", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                           "prompt_tokens_details": {"cache_creation_tokens": 2}},
     Usage(7, 0, 2, 0, 4)),
    ("a cache_creation_tokens of its own", {"prompt_tokens": 9, "completion_tokens": 4,
                                            "cache_creation_tokens": 2}, Usage(7, 0, 2, 0, 4)),
    ("Moonshot", {"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 5},
     Usage(4, 5, output_tokens=4)),
    ("Mistral", {"prompt_tokens": 9, "completion_tokens": 4, "num_cached_tokens": 5},
     Usage(4, 5, output_tokens=4)),
    ("xAI", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 23,
             "completion_tokens_details": {"reasoning_tokens": 10}},
     Usage(9, output_tokens=14, reasoning_tokens=10)),
    ("SGLang", {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                "reasoning_tokens": 2, "prompt_tokens_details": None},
     Usage(9, output_tokens=4, reasoning_tokens=2)),
    ("Ollama", {"prompt_eval_count": 9, "eval_count": 4}, Usage(9, output_tokens=4)),
    ("llama.cpp", {"tokens_evaluated": 9, "tokens_predicted": 4}, Usage(9, output_tokens=4)),
    ("Cohere", {"billed_units": {"input_tokens": 9, "output_tokens": 4}},
     Usage(9, output_tokens=4)),
    ("floats", {"prompt_tokens": 9.0, "completion_tokens": 4.0}, Usage(9, output_tokens=4)),
    ("texts", {"prompt_tokens": "9", "completion_tokens": "4"}, Usage(9, output_tokens=4)),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "raw", "usage"), ROWS, ids=[row[0] for row in ROWS])
def test_a_dialect(dialect: str, raw: dict[str, Any], usage: Usage) -> None:
    answer = {"model": "gemini-2.5-flash"} if "Gemini" in dialect else None
    assert read_usage(raw, answer).usage == usage


def test_what_only_the_total_counts_is_held() -> None:
    """It may be thinking that is billed as output, or something that costs nothing."""
    raw = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 16}
    for more in ({}, {"queue_time": 1.0}):
        reported = read_usage({**raw, **more})
        assert reported.usage == Usage(9, output_tokens=4)
        assert reported.most == Usage(9, output_tokens=7)


@pytest.mark.parametrize(
    "raw", [{"prompt_tokens": 9, "total_tokens": 13}, {"completion_tokens": 4, "total_tokens": 13}]
)
def test_a_count_that_the_total_gives(raw: dict[str, Any]) -> None:
    assert read_usage(raw, said=1).usage == Usage(9, output_tokens=4)


@pytest.mark.parametrize(
    "raw",
    [
        None, [], "x", {}, {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": 9, "completion_tokens": 0}, {"prompt_tokens": 0, "completion_tokens": 4},
        {"prompt_tokens": -1, "completion_tokens": 4}, {"prompt_tokens": True},
        {"prompt_tokens": 10**20, "completion_tokens": 4}, {"prompt_tokens": 9.5},
        {"prompt_tokens": 9, "completion_tokens": 1},
    ],
)  # fmt: skip
def test_counts_beside_text_that_cannot_be_are_none(raw: object) -> None:
    reported = read_usage(raw, said=2)
    assert reported.usage is None
    booked = charge(PRICE, reported, 1000)
    assert booked.settled is None and booked.held == 1000


BOUND = picodollars("0.01")
PLAIN = Usage(1000, output_tokens=100)
COST = PRICE.cost(PLAIN)


@pytest.mark.parametrize(
    ("said", "settled", "most"),
    [
        (Reported(PLAIN), COST, COST),
        (Reported(PLAIN, pico=COST), COST, COST),
        (Reported(PLAIN, pico=COST // 2), COST // 2, COST),
        (Reported(PLAIN, pico=COST + 5), COST, COST + 5),
        (Reported(PLAIN, pico=2 * BOUND), 2 * BOUND, 2 * BOUND),
        (Reported(None, pico=7), 7, BOUND),
        (Reported(PLAIN, tier="priority"), COST, BOUND),
        (Reported(PLAIN, tier="quantum"), COST, BOUND),
        (Reported(PLAIN, tier="flex"), COST // 2, COST),
        (Reported(PLAIN, tier="scale"), 0, COST),
        (Reported(PLAIN, surcharges=("searches",)), COST, BOUND),
        (Reported(PLAIN, most=Usage(1200, output_tokens=100)), COST, COST + 600 * 10**6 * 1),
    ],
)
def test_what_is_settled_and_what_is_held(said: Reported, settled: int, most: int) -> None:
    booked = charge(PRICE, said, BOUND)
    assert booked.settled == settled
    assert settled + booked.held == most
    assert bool(booked.why) == (booked.held > 0 or settled > BOUND)


def test_dollars_are_read_wherever_they_stand() -> None:
    plain = {"prompt_tokens": 9, "completion_tokens": 4}
    for usage, headers in (
        ({**plain, "cost": 0.0005}, {}),
        ({**plain, "cost": "0.0005"}, {}),
        ({**plain, "cost": {"total_cost": 0.0005}}, {}),
        ({**plain, "estimated_cost": 5e-4}, {}),
        ({**plain, "cost_in_usd_ticks": 5_000_000}, {}),
        ({**plain, "cost": 0.0001, "is_byok": True,
          "cost_details": {"upstream_inference_cost": 0.0004}}, {}),
        (plain, {"x-litellm-response-cost": "0.0005"}),
    ):  # fmt: skip
        assert read_usage(usage, headers=headers).pico == picodollars("0.0005")


def test_tiers_and_surcharges_are_named() -> None:
    plain = {"prompt_tokens": 9, "completion_tokens": 4}
    assert read_usage(plain, {"service_tier": "default"}).tier == ""
    assert read_usage(plain, {"service_tier": "Priority"}).tier == "priority"
    assert read_usage({**plain, "speed": "fast"}).tier == "fast"
    assert read_usage({**plain, "server_tool_use": {"web_search_requests": 0}}).surcharges == ()
    assert read_usage({**plain, "server_tool_use": {"web_search_requests": 2}}).surcharges
    assert read_usage({**plain, "num_sources_used": 3}).surcharges
    assert read_usage({**plain, "inference_geo": "us"}).surcharges
    assert read_usage({**plain, "inference_geo": "global"}).surcharges == ()
