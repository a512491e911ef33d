"""Anthropic's protocol over real HTTP, and agreement with the official SDK."""

from __future__ import annotations

import anthropic
import pytest
from scripted_server import always, message_answer, serving

from budgets.usage import Usage
from providers.errors import InvalidRequest
from providers.registry import make_provider
from providers.sample import SampleRequest

ASK = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "6 times 7?"})


def make(url):
    return make_provider(
        "anthropic", base_url=url, api_key_env="SOME_KEY", environ={"SOME_KEY": "abcdefgh12345678"}
    )


async def test_a_request_says_all_that_was_asked():
    async with serving(always(200, message_answer())) as server:
        asked = make(server.url)
        response = await asked.sample(
            SampleRequest(
                "m",
                messages=ASK,
                max_tokens=99,
                temperature=0.6,
                top_p=0.9,
                stop=("END",),
                seed=3,
                extra={"top_k": 5},
            )
        )
        await asked.aclose()
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert request.headers["authorization"] == "Bearer abcdefgh12345678"
    assert request.json == {
        "model": "m",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "6 times 7?"}],
        "max_tokens": 99,
        "temperature": 0.6,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["END"],
    }
    (choice,) = response.choices
    assert (choice.text, choice.finish_reason, choice.output_tokens) == ("answer 0", "stop", 7)
    assert response.model == "served-model"


async def test_the_shared_prompt_is_cached_on_demand():
    async with serving(always(200, message_answer())) as server:
        asked = make(server.url)
        await asked.sample(SampleRequest("m", messages=ASK, cache_prompt=True))
        await asked.aclose()
    assert server.requests[0].json["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "6 times 7?", "cache_control": {"type": "ephemeral"}}
            ],
        }
    ]


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 2000,
                "cache_creation_input_tokens": 300,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 100,
                    "ephemeral_1h_input_tokens": 200,
                },
                "output_tokens": 50,
                "output_tokens_details": {"thinking_tokens": 30},
            },
            Usage(10, 2000, 100, 200, 50, 30),
        ),
        (
            {"input_tokens": 10, "cache_creation_input_tokens": 300, "output_tokens": 5},
            Usage(10, 0, 300, 0, 5),
        ),
        (
            {"input_tokens": 10, "cache_read_input_tokens": None, "output_tokens": 5},
            Usage(10, output_tokens=5),
        ),
        ({"output_tokens": 5}, None),
        (None, None),
    ],
)
async def test_usage_with_cache_reads_and_writes(raw, usage):
    async with serving(always(200, message_answer(usage=raw))) as server:
        asked = make(server.url)
        response = await asked.sample(SampleRequest("m", messages=ASK))
        await asked.aclose()
    assert response.usage == usage
    assert response.usage_raw == raw


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "other"),
        (None, "other"),
    ],
)
async def test_finish_reasons(stop_reason, finish_reason):
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "42"}]
    body = message_answer(stop_reason=stop_reason, content=content)
    async with serving(always(200, body)) as server:
        asked = make(server.url)
        response = await asked.sample(SampleRequest("m", messages=ASK))
        await asked.aclose()
    assert response.choices[0].finish_reason == finish_reason
    assert response.choices[0].text == "42"


@pytest.mark.parametrize(
    "request_",
    [
        SampleRequest("m", prompt="raw"),
        SampleRequest("m", messages=ASK, n=2),
        SampleRequest("m", messages=ASK, logprobs=True),
        SampleRequest("m", messages=ASK[:1]),
    ],
)
async def test_what_the_api_cannot_say_is_refused_before_sending(request_):
    async with serving(always(200, message_answer())) as server:
        asked = make(server.url)
        with pytest.raises(InvalidRequest) as refused:
            await asked.sample(request_)
        await asked.aclose()
    assert refused.value.sent == "not_sent"
    assert server.connections == 0


async def test_models():
    listed = {"data": [{"type": "model", "id": "a"}], "has_more": False}
    async with serving(always(200, listed)) as server:
        asked = make(server.url)
        assert await asked.models() == ["a"]
        await asked.aclose()
    assert server.requests[0].path == "/v1/models?limit=1000"


async def test_the_official_sdk_agrees():
    async with serving(always(200, message_answer())) as server:
        client = anthropic.AsyncAnthropic(
            api_key="abcdefgh12345678", base_url=server.url.removesuffix("/v1"), max_retries=0
        )
        theirs = await client.messages.create(
            model="m",
            max_tokens=512,
            system="Be brief.",
            messages=[{"role": "user", "content": "6 times 7?"}],
            extra_body={"temperature": 1.0},
        )
        await client.close()
        asked = make(server.url)
        ours = await asked.sample(SampleRequest("m", messages=ASK))
        await asked.aclose()
    first, second = server.requests
    assert first.json == second.json
    assert first.path == second.path
    for name in ("authorization", "x-api-key", "anthropic-version", "content-type"):
        assert first.headers.get(name) == second.headers.get(name)
    assert theirs.content[0].text == ours.choices[0].text
    assert ours.usage is not None
    assert theirs.usage.input_tokens == ours.usage.input_tokens
    assert theirs.usage.output_tokens == ours.usage.output_tokens
