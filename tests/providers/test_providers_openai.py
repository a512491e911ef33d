"""OpenAI's protocol over real HTTP: what is sent, what is read, and agreement with the SDK."""

from __future__ import annotations

import openai
import pytest
from scripted_server import Exchange, always, chat_answer, serving

from budgets.usage import Usage
from providers.errors import BadResponse, InvalidRequest
from providers.registry import make_provider
from providers.sample import SampleRequest

ASK = ({"role": "user", "content": "6 times 7?"},)
KEYED = {"SOME_KEY": "abcdefgh12345678"}


def provider(name: str, url: str, model: str | None = None):
    return make_provider(name, base_url=url, api_key_env="SOME_KEY", model=model, environ=KEYED)


@pytest.fixture(params=["vllm", "openai"])
def lane(request):
    """The fast lane and the SDK's."""
    return request.param


async def test_a_chat_request_says_all_that_was_asked(lane):
    async with serving(always(200, chat_answer(3))) as server:
        asked = provider(lane, server.url)
        response = await asked.sample(
            SampleRequest(
                "m",
                messages=ASK,
                n=3,
                max_tokens=99,
                temperature=0.6,
                top_p=0.95,
                stop=("\n\n", "END"),
                seed=2**62 + 1,
                logprobs=True,
                extra={"min_p": 0.1},
            )
        )
        await asked.aclose()
    (request,) = server.requests
    assert request.method == "POST"
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer abcdefgh12345678"
    assert request.json == {
        "model": "m",
        "messages": list(ASK),
        "n": 3,
        "max_tokens": 99,
        "temperature": 0.6,
        "top_p": 0.95,
        "stop": ["\n\n", "END"],
        "seed": 2**62 + 1,
        "logprobs": True,
        "min_p": 0.1,
    }
    assert [choice.text for choice in response.choices] == ["answer 0", "answer 1", "answer 2"]
    assert response.usage == Usage(input_tokens=11, output_tokens=21)
    assert response.usage_raw == {"prompt_tokens": 11, "completion_tokens": 21, "total_tokens": 32}
    assert response.model == "served-model"
    assert (response.missing, response.surplus) == ((), ())


async def test_a_raw_completion_goes_to_its_own_path(lane):
    body = {"choices": [{"index": 0, "text": " 42", "finish_reason": "length"}]}
    async with serving(always(200, body)) as server:
        asked = provider(lane, server.url)
        response = await asked.sample(SampleRequest("m", prompt="6*7=", temperature=None))
        await asked.aclose()
    assert server.requests[0].path == "/v1/completions"
    assert server.requests[0].json == {"model": "m", "prompt": "6*7=", "max_tokens": 512}
    assert response.choices[0].text == " 42"
    assert response.choices[0].finish_reason == "length"
    assert response.usage is None


async def test_reasoning_models_get_their_own_fields():
    async with serving(always(200, chat_answer())) as server:
        asked = provider("openai", server.url, model="o4-mini")
        await asked.sample(SampleRequest("o4-mini", messages=ASK, temperature=0.6, top_p=0.9))
        await asked.aclose()
    assert not asked.capabilities.temperature
    assert server.requests[0].json == {
        "model": "o4-mini",
        "messages": list(ASK),
        "max_completion_tokens": 512,
    }


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 64},
                "completion_tokens_details": {"reasoning_tokens": 40},
            },
            Usage(36, 64, output_tokens=50, reasoning_tokens=40),
        ),
        (
            {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 90},
            Usage(10, 90, output_tokens=5),
        ),
        # What the total counts beyond its parts is held, not settled.
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115},
            Usage(10, output_tokens=5),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 99},
            },
            Usage(0, 10, output_tokens=5),
        ),
        ({"prompt_tokens": 10, "completion_tokens": None}, None),
        ({"prompt_tokens": -1, "completion_tokens": 5}, None),
        (None, None),
    ],
)
async def test_usage_is_read_by_billing_kind_and_kept_raw(raw, usage):
    async with serving(always(200, chat_answer(usage=raw))) as server:
        asked = provider("vllm", server.url)
        response = await asked.sample(SampleRequest("m", messages=ASK))
        await asked.aclose()
    assert response.usage == usage
    assert response.usage_raw == raw


async def test_missing_surplus_and_unnumbered_choices(lane):
    bodies = [chat_answer(1), chat_answer(5), chat_answer(3), chat_answer(2)]
    del bodies[2]["choices"][1]
    for choice in bodies[3]["choices"]:
        choice["index"] = 0

    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, bodies.pop(0))

    async with serving(script) as server:
        asked = provider(lane, server.url)
        request = SampleRequest("m", messages=ASK, n=3)
        ignored, more, gap, zeros = [await asked.sample(request) for _ in range(4)]
        await asked.aclose()
    assert ignored.missing == (1, 2)
    assert [choice.index for choice in more.choices] == [0, 1, 2]
    assert [choice.index for choice in more.surplus] == [3, 4]
    assert [choice.index for choice in gap.choices] == [0, 2]
    assert gap.missing == (1,)
    assert [choice.text for choice in zeros.choices] == ["answer 0", "answer 1"]
    assert zeros.missing == (2,)


async def test_limit_headers_come_back_in_lower_case(lane):
    headers = {"X-RateLimit-Remaining-Requests": "9", "Retry-After": "3", "Server": "x"}
    async with serving(always(200, chat_answer(), headers)) as server:
        asked = provider(lane, server.url)
        response = await asked.sample(SampleRequest("m", messages=ASK))
        await asked.aclose()
    assert response.headers == {"x-ratelimit-remaining-requests": "9", "retry-after": "3"}


@pytest.mark.parametrize(
    "request_",
    [
        SampleRequest("m"),
        SampleRequest("m", prompt="a", messages=ASK),
        SampleRequest("m", messages=ASK, n=0),
        SampleRequest("m", messages=ASK, n=129),
        SampleRequest("m", messages=ASK, extra={"stream": True}),
    ],
)
async def test_what_cannot_be_asked_is_refused_before_sending(request_):
    async with serving(always(200, chat_answer())) as server:
        asked = provider("vllm", server.url)
        with pytest.raises(InvalidRequest) as refused:
            await asked.sample(request_)
        await asked.aclose()
    assert refused.value.sent == "not_sent"
    assert server.requests == []


async def test_models(lane):
    listed = {"object": "list", "data": [{"id": "a"}, {"id": "b", "object": "model"}]}
    async with serving(always(200, listed)) as server:
        asked = provider(lane, server.url)
        assert await asked.models() == ["a", "b"]
        server.script = always(200, {"models": []})
        with pytest.raises(BadResponse):
            await asked.models()
        await asked.aclose()
    assert server.requests[0].path == "/v1/models"


async def test_large_bodies_and_answers_pass(lane):
    big = "x" * 3_000_000
    answer = chat_answer()
    answer["choices"][0]["message"]["content"] = big
    async with serving(always(200, answer)) as server:
        asked = provider(lane, server.url)
        request = SampleRequest("m", messages=({"role": "user", "content": big},))
        response = await asked.sample(request)
        await asked.aclose()
    assert server.requests[0].json["messages"][0]["content"] == big
    assert response.choices[0].text == big


async def test_the_official_sdk_agrees(lane):
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    async with serving(always(200, chat_answer(2, usage=usage))) as server:
        client = openai.AsyncOpenAI(api_key=KEYED["SOME_KEY"], base_url=server.url, max_retries=0)
        theirs = await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "6 times 7?"}],
            n=2,
            max_tokens=512,
            temperature=1.0,
            seed=5,
        )
        await client.close()
        asked = provider(lane, server.url)
        ours = await asked.sample(SampleRequest("m", messages=ASK, n=2, seed=5))
        await asked.aclose()
    first, second = server.requests
    assert first.json == second.json
    assert first.headers["authorization"] == second.headers["authorization"]
    assert [c.message.content for c in theirs.choices] == [c.text for c in ours.choices]
    assert [c.finish_reason for c in theirs.choices] == [c.finish_reason for c in ours.choices]
    assert theirs.usage is not None and ours.usage is not None
    assert theirs.usage.prompt_tokens == ours.usage.prompt_tokens
    assert theirs.usage.completion_tokens == ours.usage.output_tokens
    assert (theirs.model, theirs.id) == (ours.model, ours.request_id)
