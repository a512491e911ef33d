"""Streamed answers equal whole ones, piece by piece."""

from __future__ import annotations

import json
import urllib.request
from collections import defaultdict

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_served import Served

from providers.tiny.streaming import possible_stop

CHAT = [{"role": "user", "content": "123*4="}]
COMMON = {"n": 25, "seed": 6, "temperature": 1.4, "max_tokens": 9}


def test_a_streamed_chat_equals_the_whole_one(served: Served, client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=served.model, messages=CHAT, **COMMON)
    texts: dict[int, str] = defaultdict(str)
    reasons: dict[int, str] = {}
    roles = []
    usages = []
    for chunk in client.chat.completions.create(
        model=served.model,
        messages=CHAT,
        stream=True,
        stream_options={"include_usage": True},
        **COMMON,
    ):
        usages.append(chunk.usage)
        for choice in chunk.choices:
            assert choice.index not in reasons
            texts[choice.index] += choice.delta.content or ""
            roles += [choice.delta.role] if choice.delta.role else []
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    assert [texts[choice.index] for choice in whole.choices] == [
        choice.message.content for choice in whole.choices
    ]
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
    assert roles == ["assistant"] * 25
    assert usages[-1] == whole.usage
    assert set(usages[:-1]) == {None}


@pytest.mark.parametrize("stop", [None, ["2"], ["49", "921"], ["9", "99"]])
def test_a_streamed_completion_equals_the_whole_one(
    served: Served, client: openai.OpenAI, stop: list[str] | None
) -> None:
    prompts = ["123*4=", "99+9="]
    whole = client.completions.create(model=served.model, prompt=prompts, stop=stop, **COMMON)
    texts: dict[int, str] = defaultdict(str)
    reasons: dict[int, str] = {}
    for chunk in client.completions.create(
        model=served.model, prompt=prompts, stop=stop, stream=True, **COMMON
    ):
        assert chunk.usage is None
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    assert [texts[choice.index] for choice in whole.choices] == [
        choice.text for choice in whole.choices
    ]
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}


def test_streamed_logprobs_equal_whole_ones(served: Served, client: openai.OpenAI) -> None:
    more = {"logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(model=served.model, messages=CHAT, **COMMON, **more)
    found = defaultdict(list)
    for chunk in client.chat.completions.create(
        model=served.model, messages=CHAT, stream=True, **COMMON, **more
    ):
        for choice in chunk.choices:
            if choice.logprobs is not None:
                found[choice.index] += choice.logprobs.content or []
    for choice in whole.choices:
        assert choice.logprobs is not None
        expected = [entry.model_dump() for entry in choice.logprobs.content or []]
        assert [entry.model_dump() for entry in found[choice.index]] == expected


def test_the_stream_is_server_sent_events_that_end_with_done(served: Served) -> None:
    body = json.dumps({"model": served.model, "prompt": "1+2=", "stream": True}).encode()
    asked = urllib.request.Request(
        f"{served.base_url}/completions", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        content = response.read().decode()
    events = content.split("\n\n")
    assert events.pop() == ""
    assert events.pop() == "data: [DONE]"
    assert all(json.loads(event.removeprefix("data: "))["choices"] for event in events)


def test_a_bad_request_for_a_stream_is_a_plain_error(served: Served, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model=served.model, prompt="1+2=", n=0, stream=True)


@given(st.text("ab", max_size=6), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_held_back_text_is_the_longest_beginning_of_a_stop(text: str, stops: list[str]) -> None:
    beginnings = [
        length for stop in stops for length in range(1, len(stop)) if text.endswith(stop[:length])
    ]
    assert possible_stop(text, stops) == max(beginnings, default=0)
