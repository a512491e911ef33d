"""How an arm is asked where a person left it open, by what the provider's API can do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from orchestrator.errors import ConfigError
from orchestrator.plan.request import (
    askable,
    chat_where_needed,
    choices_per_request,
    refuse_raw_prompts,
)
from orchestrator.plan.study import Arm
from orchestrator.tasks import Problem
from providers.known import find
from providers.sample import Capabilities, SampleRequest

RAW = Problem("p1", "6*7=", None, {"answer": "42"})
CHAT = replace(RAW, prompt=None, messages=({"role": "user", "content": "6*7="},))


def arm(provider="anthropic", **more):
    return Arm(provider=provider, task="t", **more)


@pytest.mark.parametrize(
    ("provider", "model", "style"),
    [
        ("anthropic", "claude-x", "chat"),
        ("deepseek", "deepseek-chat", "chat"),
        ("openai", "gpt-4o", "chat"),
        ("openai", "gpt-3.5-turbo-instruct", ""),
        ("openai", "davinci-002", ""),
        ("openrouter", "some/model", ""),
        ("vllm", "some/model", ""),
        ("compatible", "some/model", ""),
    ],
)
def test_the_style_that_the_model_takes(provider, model, style):
    notes: list[str] = []
    assert chat_where_needed(arm(provider), model, notes).prompt_style == style
    chat_where_needed(arm(provider), model, notes)
    assert len(notes) == (1 if style else 0)


@pytest.mark.parametrize(("provider", "style"), [("openai", ""), ("anthropic", "chat")])
def test_a_server_of_ones_own_is_taken_at_its_protocols_word(provider, style):
    own = arm(provider, base_url="http://localhost:8000/v1")
    assert chat_where_needed(own, "gpt-4o", []).prompt_style == style


@pytest.mark.parametrize("style", ["chat", "completion"])
def test_a_style_that_a_person_chose_is_kept(style):
    notes: list[str] = []
    chosen = chat_where_needed(arm("anthropic", prompt_style=style), "m", notes)
    assert chosen.prompt_style == style and not notes


def test_raw_prompts_that_the_api_cannot_say_are_refused():
    with pytest.raises(ConfigError, match=r"'anthropic' takes chat.*'p1'.*--prompt-style chat"):
        refuse_raw_prompts(arm(), [CHAT, RAW], Capabilities())
    refuse_raw_prompts(arm(), [CHAT], Capabilities())
    refuse_raw_prompts(arm(), [RAW], Capabilities(raw_completions=True))


def test_a_temperature_that_the_model_refuses_is_left_out_and_said_once():
    row = find("openai")
    assert row is not None
    asked = SampleRequest("o3", prompt="x", temperature=0.6, top_p=0.9)
    notes: list[str] = []
    for _ in range(2):
        sent = askable(asked, row.capabilities_of("o3"), notes)
        assert (sent.temperature, sent.top_p) == (None, None)
    (note,) = notes
    assert "o3" in note and "temperature" in note
    assert askable(asked, row.capabilities_of("gpt-4o"), notes) is asked
    silent = structs.replace(asked, temperature=None, top_p=None)
    assert askable(silent, row.capabilities_of("o3"), []) is silent


@pytest.mark.parametrize(
    ("samples", "most", "priced", "policy", "n"),
    [
        (100, 128, True, "uniform", 25),
        (100, 128, False, "uniform", 13),
        (100, 128, True, "until-solved", 13),
        (100, 1, True, "uniform", 1),
        (1, 128, True, "uniform", 1),
        (10_000, 128, True, "uniform", 128),
        (10_000, 10_000, False, "uniform", 128),
    ],
)
def test_choices_per_request(samples, most, priced, policy, n):
    asked = arm(samples=samples, policy=policy)
    able = Capabilities(max_n=most)
    assert choices_per_request(asked, able, priced=priced, temperature=None) == n
    fixed = arm(samples=samples, policy=policy, n_per_request=7)
    assert choices_per_request(fixed, able, priced=priced, temperature=1.0) == min(7, most)
    assert choices_per_request(fixed, able, priced=priced, temperature=0.0) == 1
