"""Recordings as a provider and as a server: draws without replacement, the same every time."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter

import aiohttp
import pytest

from providers.errors import InvalidRequest, ProviderConfigError
from providers.recording import Recording
from providers.registry import make_provider
from providers.replay import ReplayProvider
from providers.sample import SampleRequest

SAMPLES = [f"sample {i}" for i in range(20)]
ROWS = [
    {"id": "a", "prompt": "first?", "samples": SAMPLES, "prompt_tokens": 17},
    {
        "id": "b",
        "messages": [{"role": "user", "content": "second?"}],
        "n": 100,
        "c": 7,
        "right": "yes",
        "wrong": "no",
        "output_tokens": 50,
    },
]


def ask_a(slot, n=1, **more):
    return SampleRequest("replay", prompt="first?", first_slot=slot, n=n, **more)


def ask_b(slot, n=1):
    messages = ({"role": "user", "content": "second?"},)
    return SampleRequest("replay", messages=messages, first_slot=slot, n=n)


async def texts(provider, requests):
    responses = [await provider.sample(request) for request in requests]
    return [choice.text for response in responses for choice in response.choices]


async def test_every_recorded_sample_once_in_an_order_that_the_seed_decides():
    orders = []
    for seed in (0, 0, 1):
        provider = ReplayProvider(Recording(ROWS, seed=seed))
        drawn = await texts(provider, [ask_a(slot) for slot in range(20)])
        assert sorted(drawn) == sorted(SAMPLES)
        orders.append(drawn)
    assert orders[0] == orders[1] != orders[2]


async def test_a_slot_is_the_same_draw_however_it_is_asked_for():
    provider = ReplayProvider(Recording(ROWS))
    one_by_one = await texts(provider, [ask_a(slot) for slot in range(20)])
    assert await texts(provider, [ask_a(0, 7), ask_a(7, 13)]) == one_by_one
    assert await texts(provider, [ask_a(slot) for slot in reversed(range(20))]) == one_by_one[::-1]


async def test_counts_become_texts():
    provider = ReplayProvider(Recording(ROWS))
    drawn = await texts(provider, [ask_b(slot) for slot in range(100)])
    assert Counter(drawn) == {"yes": 7, "no": 93}
    assert drawn != sorted(drawn)
    assert drawn != sorted(drawn, reverse=True)


async def test_usage():
    provider = ReplayProvider(Recording(ROWS))
    response = await provider.sample(ask_b(0, 3))
    assert response.usage is not None
    assert response.usage.output_tokens == 150
    assert [choice.output_tokens for choice in response.choices] == [50, 50, 50]
    response = await provider.sample(ask_a(0))
    assert response.usage is not None
    assert response.usage.prompt_tokens == 17
    assert response.usage.output_tokens == 2


async def test_beyond_the_recording_is_an_error_never_a_repetition():
    provider = ReplayProvider(Recording(ROWS))
    for request in (ask_a(20), ask_a(15, 6), SampleRequest("replay", prompt="third?")):
        with pytest.raises(InvalidRequest):
            await provider.sample(request)


async def test_without_slots_draws_come_in_order_of_arrival_and_a_retry_gets_the_same():
    provider = ReplayProvider(Recording(ROWS))
    by_slot = await texts(provider, [ask_a(slot) for slot in range(20)])
    first = await texts(provider, [ask_a(None, 5, seed=11), ask_a(None, 5, seed=12)])
    assert first == by_slot[:10]
    assert await texts(provider, [ask_a(None, 5, seed=11)]) == by_slot[:5]
    assert await texts(provider, [ask_a(None, 10, seed=13)]) == by_slot[10:]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": "a", "prompt": "p"}], "row 1: 'n' is missing"),
        ([{"id": "a", "samples": []}], "row 1: 'messages' is missing"),
        ([{"prompt": "p", "samples": []}], "row 1: 'id' is missing"),
        ([ROWS[0], ROWS[0]], "row 2: problem 'a' has the same prompt"),
        ([ROWS[1] | {"c": 101}], "row 1: c=101 is not between 0 and n=100"),
        ([ROWS[0] | {"output_tokens": [1]}], "row 1: output_tokens has 1 numbers for 20 samples"),
    ],
)
def test_bad_recordings_are_named(tmp_path, rows, words):
    file = tmp_path / "replay.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(ProviderConfigError, match=r"replay\.jsonl") as caught:
        Recording.load(file)
    assert words in str(caught.value)


def test_files_that_are_no_recording(tmp_path):
    file = tmp_path / "replay.json"
    with pytest.raises(ProviderConfigError, match="No such file"):
        Recording.load(file)
    file.write_text('{"id": 1')
    with pytest.raises(ProviderConfigError, match="not JSON"):
        Recording.load(file)


@pytest.fixture
def server(tmp_path):
    """`python -m providers.replay` in its own process; yields its base URL."""
    file = tmp_path / "replay.json"
    file.write_text(json.dumps(ROWS))
    process = subprocess.Popen(
        [sys.executable, "-m", "providers.replay", file, "--model", "replayed", "--seed", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait()
    process.stdout.close()


async def test_the_server_and_the_provider_give_the_same(server, tmp_path):
    near = make_provider("replay", base_url=str(tmp_path / "replay.json"))
    far = make_provider("replay", base_url=server, environ={})
    assert await far.models() == ["replayed"]
    requests = [ask_a(3, 4), ask_b(0, 50), ask_b(50, 50)]
    for request in requests:
        ours, theirs = await near.sample(request), await far.sample(request)
        assert [c.text for c in ours.choices] == [c.text for c in theirs.choices]
        assert ours.usage == theirs.usage
        assert ours.usage_raw == theirs.usage_raw
    with pytest.raises(InvalidRequest, match="the recording has 20 samples"):
        await far.sample(ask_a(20))
    await far.aclose()


async def test_the_server_takes_no_name_of_a_web_page(server):
    async with aiohttp.ClientSession() as client:
        named = await client.get(f"{server}/models", headers={"Host": "page.example"})
        text = await client.post(f"{server}/completions", data="{}")
    assert (named.status, text.status) == (403, 415)


async def test_the_server_takes_requests_that_know_nothing_of_slots(server):
    asked = make_provider("compatible", base_url=server, environ={})
    requests = [SampleRequest("m", prompt="first?", n=5, seed=i) for i in range(4)]
    responses = await asyncio.gather(*(asked.sample(request) for request in requests))
    await asked.aclose()
    assert sorted(c.text for r in responses for c in r.choices) == sorted(SAMPLES)
