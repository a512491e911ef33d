"""The server through the official client: answers, usage, seeds, stops, log-probabilities."""

from __future__ import annotations

import asyncio
import json
import math
import urllib.request
from collections import Counter

import openai
import pytest
from tiny_served import Served

from providers.tiny import tokenizer
from providers.tiny.exact import answer_probability
from providers.tiny.llama import Model

PROMPT = "12+34="
CHAT = [{"role": "user", "content": PROMPT}]


def texts(completion: openai.types.Completion) -> list[str]:
    return [choice.text for choice in completion.choices]


def test_models_and_health(client: openai.OpenAI, served: Served) -> None:
    assert [model.id for model in client.models.list()] == [served.model]
    assert client.models.retrieve(served.model).id == served.model
    with urllib.request.urlopen(f"{served.origin}/health") as response:
        assert response.status == 200


def test_a_chat_answer_has_the_shape_and_usage_of_openai(
    client: openai.OpenAI, served: Served
) -> None:
    answer = client.chat.completions.create(model=served.model, messages=CHAT, n=5, seed=3)
    assert answer.object == "chat.completion"
    assert answer.model == served.model
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3, 4]
    assert {choice.message.role for choice in answer.choices} == {"assistant"}
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    # Every character is a token, and each choice ended with an end token.
    generated = sum(len(choice.message.content or "") + 1 for choice in answer.choices)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(PROMPT)
    assert answer.usage.completion_tokens == generated
    assert answer.usage.total_tokens == len(PROMPT) + generated


def test_chat_and_raw_completion_of_one_prompt_are_the_same_draw(
    client: openai.OpenAI, served: Served
) -> None:
    chat = client.chat.completions.create(model=served.model, messages=CHAT, n=20, seed=5)
    raw = client.completions.create(model=served.model, prompt=PROMPT, n=20, seed=5)
    assert [choice.message.content for choice in chat.choices] == texts(raw)
    assert len(set(texts(raw))) > 5


def test_content_parts_and_several_messages_are_one_prompt(
    client: openai.OpenAI, served: Served
) -> None:
    parts = [
        {"role": "system", "content": "12"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "+3"}, {"type": "text", "text": "4="}],
        },
    ]
    whole = client.chat.completions.create(model=served.model, messages=CHAT, seed=5)
    split = client.chat.completions.create(model=served.model, messages=parts, seed=5)
    assert split.choices[0].message.content == whole.choices[0].message.content


def test_a_seed_means_the_same_text_and_other_seeds_do_not(
    client: openai.OpenAI, served: Served
) -> None:
    def draw(seed: int | None, n: int = 30) -> list[str]:
        return texts(client.completions.create(model=served.model, prompt=PROMPT, n=n, seed=seed))

    assert draw(1) == draw(1)
    assert draw(1, n=30)[:7] == draw(1, n=7)
    different = [draw(1), draw(2), draw(-1), draw(2**63 - 1), draw(None), draw(None)]
    assert len({tuple(one) for one in different}) == len(different)


async def test_a_seed_means_the_same_text_under_any_load(served: Served) -> None:
    prompts = [f"{first}*{second}=" for first in (12, 345, 6) for second in (7, 89, 234)]

    async with openai.AsyncOpenAI(base_url=served.base_url, api_key="x", max_retries=0) as client:

        async def draw(index: int) -> list[str]:
            answer = await client.completions.create(
                model=served.model,
                prompt=prompts[index % len(prompts)],
                n=1 + index % 40,
                seed=index,
                temperature=0.5 + index % 3 / 2,
                max_tokens=1 + index % 12,
            )
            return texts(answer)

        alone = [await draw(index) for index in range(60)]
        together = await asyncio.gather(*(draw(index) for index in reversed(range(60))))
        assert list(reversed(together)) == alone


def test_max_tokens_cuts_and_says_so(client: openai.OpenAI, served: Served) -> None:
    whole = client.completions.create(model=served.model, prompt="99*99=", n=20, seed=2)
    cut = client.completions.create(model=served.model, prompt="99*99=", n=20, seed=2, max_tokens=2)
    assert [text[:2] for text in texts(whole)] == texts(cut)
    assert cut.usage is not None
    for choice, text in zip(cut.choices, texts(whole), strict=True):
        assert choice.finish_reason == ("stop" if len(text) < 2 else "length")
    assert cut.usage.completion_tokens == 40
    limited = client.chat.completions.create(
        model=served.model, messages=CHAT, max_completion_tokens=1
    )
    assert len(limited.choices[0].message.content or "") == 1
    assert limited.choices[0].finish_reason == "length"


def test_temperature_zero_is_greedy(client: openai.OpenAI, served: Served) -> None:
    def greedy(**more: object) -> set[str]:
        answer = client.completions.create(model=served.model, prompt="123*4=", n=8, **more)  # type: ignore[call-overload]
        return set(texts(answer))

    assert len(greedy(temperature=0)) == 1
    assert greedy(temperature=0) == greedy(temperature=1, top_p=0)


@pytest.mark.parametrize("stop", ["4", ["4", "99"], ["46", "6"], ["no such text"]])
def test_stop_strings_end_the_text_before_them(
    client: openai.OpenAI, served: Served, stop: str | list[str]
) -> None:
    common = {"model": served.model, "prompt": PROMPT, "n": 60, "seed": 8, "temperature": 1.5}
    whole = client.completions.create(**common)  # type: ignore[call-overload]
    stopped = client.completions.create(**common, stop=stop)  # type: ignore[call-overload]
    stops = [stop] if isinstance(stop, str) else stop
    tokens = 0
    for full, choice in zip(whole.choices, stopped.choices, strict=True):
        ends = [full.text.find(one) + len(one) for one in stops if one in full.text]
        # The first stop string to be complete ends the text; of two that end there, the longer.
        ending = [one for one in stops if ends and full.text[: min(ends)].endswith(one)]
        expected = full.text[: min(ends) - max(map(len, ending))] if ends else full.text
        assert choice.text == expected
        assert choice.finish_reason == ("stop" if ends else full.finish_reason)
        tokens += min(ends) if ends else len(full.text) + (full.finish_reason == "stop")
    assert stopped.usage.completion_tokens == tokens


def test_several_prompts_in_one_completion(client: openai.OpenAI, served: Served) -> None:
    both = client.completions.create(model=served.model, prompt=[PROMPT, "7*8="], n=3, seed=4)
    first = client.completions.create(model=served.model, prompt=PROMPT, n=3, seed=4)
    second = client.completions.create(
        model=served.model, prompt=tokenizer.encode("7*8="), n=3, seed=4
    )
    assert texts(both) == texts(first) + texts(second)
    assert [choice.index for choice in both.choices] == list(range(6))
    assert both.usage is not None
    assert first.usage is not None
    assert second.usage is not None
    assert both.usage.prompt_tokens == len(PROMPT) + len("7*8=")
    assert (
        both.usage.completion_tokens
        == first.usage.completion_tokens + second.usage.completion_tokens
    )


def test_chat_logprobs_are_the_models_own(
    client: openai.OpenAI, served: Served, model: Model
) -> None:
    answer = client.chat.completions.create(
        model=served.model, messages=CHAT, n=4, logprobs=True, top_logprobs=3, temperature=0.3
    )
    for choice in answer.choices:
        assert choice.logprobs is not None
        content = choice.logprobs.content or []
        text = choice.message.content or ""
        assert [entry.token for entry in content] == [*text, tokenizer.EOS]
        total = sum(entry.logprob for entry in content)
        assert math.exp(total) == pytest.approx(answer_probability(model, PROMPT, text), rel=1e-4)
        for entry in content:
            top = [alternative.logprob for alternative in entry.top_logprobs]
            assert len(top) == 3
            assert top == sorted(top, reverse=True)
            assert entry.logprob <= top[0]


def test_completion_logprobs(client: openai.OpenAI, served: Served) -> None:
    answer = client.completions.create(
        model=served.model, prompt=PROMPT, n=2, logprobs=2, max_tokens=3, seed=1
    )
    for choice in answer.choices:
        logprobs = choice.logprobs
        assert logprobs is not None
        tokens = [token for token in logprobs.tokens or [] if token != tokenizer.EOS]
        assert "".join(tokens) == choice.text
        assert logprobs.text_offset == list(range(len(logprobs.tokens or [])))
        for token, value, top in zip(
            logprobs.tokens or [],
            logprobs.token_logprobs or [],
            logprobs.top_logprobs or [],
            strict=True,
        ):
            assert top[token] == value
            assert 2 <= len(top) <= 3


def test_sampled_frequencies_are_the_exact_probabilities(
    client: openai.OpenAI, served: Served, model: Model
) -> None:
    n, requests = 1000, 4
    for sampling in ({}, {"temperature": 0.7, "top_p": 0.9}, {"temperature": 1.6}):
        counts: Counter[str] = Counter()
        for seed in range(requests):
            answer = client.completions.create(
                model=served.model, prompt="34*7=", n=n, seed=seed, max_tokens=40, **sampling
            )  # type: ignore[call-overload]
            counts.update(texts(answer))
        draws = n * requests
        for text, count in counts.most_common(8):
            chance = answer_probability(model, "34*7=", text, **sampling)
            deviation = math.sqrt(draws * chance * (1 - chance))
            assert abs(count - draws * chance) < 4.5 * deviation


async def test_concurrent_requests_share_the_batch(served: Served) -> None:
    """Many at once are answered, each with its own."""
    async with openai.AsyncOpenAI(base_url=served.base_url, api_key="x", max_retries=0) as client:

        async def draw(number: int) -> tuple[int, float]:
            # Temperature 0 makes the answer a function of the prompt.
            prompt = f"{number}+1="
            answer = await client.completions.create(
                model=served.model, prompt=prompt, n=100, temperature=0, logprobs=0
            )
            (text,) = set(texts(answer))
            assert answer.usage is not None
            logprobs = answer.choices[99].logprobs
            assert logprobs is not None
            return len(text), sum(logprobs.token_logprobs or [])

        together = await asyncio.gather(*(draw(number) for number in range(10, 50)))
        assert together == [await draw(number) for number in range(10, 50)]


def test_metrics_count_what_was_served(own_server: Served) -> None:
    with openai.OpenAI(base_url=own_server.base_url, api_key="x", max_retries=0) as client:
        answer = client.completions.create(model=own_server.model, prompt=PROMPT, n=7)
        with pytest.raises(openai.NotFoundError):
            client.completions.create(model="other", prompt=PROMPT)
    assert answer.usage is not None
    metrics = own_server.metrics()
    label = f'model_name="{own_server.model}"'
    assert metrics[f"vllm:prompt_tokens_total{{{label}}}"] == answer.usage.prompt_tokens
    assert metrics[f"vllm:generation_tokens_total{{{label}}}"] == answer.usage.completion_tokens
    assert metrics[f'vllm:request_success_total{{finished_reason="stop",{label}}}'] == 7
    assert metrics[f"vllm:e2e_request_latency_seconds_count{{{label}}}"] == 1
    assert metrics[f'vllm:e2e_request_latency_seconds_bucket{{le="+Inf",{label}}}'] == 1
    answers = 'orch_serve_answers_total{path="/v1/completions",status="%d",' + label + "}"
    assert metrics[answers % 200] == 1
    assert metrics[answers % 404] == 1
    assert own_server.gauge("num_requests_running") == 0
    assert own_server.gauge("num_requests_waiting") == 0


def test_answers_are_plain_json(served: Served) -> None:
    body = json.dumps({"model": served.model, "prompt": PROMPT}).encode()
    asked = urllib.request.Request(
        f"{served.base_url}/completions", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked) as response:
        assert response.headers["Content-Type"].startswith("application/json")
        assert response.headers["x-request-id"] == json.load(response)["id"]
