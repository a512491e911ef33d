"""Batches over a server that speaks the providers' protocols, the official SDKs beside it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anthropic
import openai
import pytest
from batch_server import answer_anthropic, answer_openai, batch_server

from providers import errors
from providers.batch.base import custom_id, index_of, new_tag, next_poll_s
from providers.errors import ProviderConfigError
from providers.registry import make_batches
from providers.sample import SampleRequest, SampleResponse

KEY = "abcdefgh12345678"
ASKS = [
    SampleRequest("m", messages=({"role": "user", "content": f"{i} times 7?"},)) for i in range(5)
]
LONG_AGO = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(params=["openai", "anthropic"])
def name(request):
    return request.param


def lane(name, server):
    url = f"{server.url}/v1"
    return make_batches(name, base_url=url, api_key_env="SOME_KEY", environ={"SOME_KEY": KEY})


def finish(name, server, batch, answer=None, **more):
    if name == "openai":
        server.finish_openai(batch.id, answer or answer_openai, **more)
    else:
        server.finish_anthropic(batch.id, answer or answer_anthropic, **more)


async def test_submit_poll_fetch(name):
    async with batch_server() as server:
        batches, exchange = lane(name, server)
        tag = new_tag()
        made = await batches.submit(tag, ASKS)
        assert (made.status, made.done, made.total) == ("running", 0, 5)
        asked = server.requests[made.id]
        assert [line["custom_id"] for line in asked] == [f"{tag}-{i}" for i in range(5)]
        finish(name, server, made)
        ended = await batches.poll(made.id)
        assert (ended.status, ended.done, ended.total) == ("ended", 5, 5)
        results = {r.index: r.outcome async for r in batches.fetch(made.id, tag, ASKS)}
        await exchange.aclose()
    assert sorted(results) == [0, 1, 2, 3, 4]
    for outcome in results.values():
        assert isinstance(outcome, SampleResponse)
        assert outcome.choices[0].text == "answer 0"
        assert outcome.usage is not None
        assert outcome.usage.output_tokens == 7
    assert all(h.get("authorization") == f"Bearer {KEY}" for h in server.headers)


async def test_several_choices_per_request():
    asks = [SampleRequest("m", prompt="6*7=", n=4, seed=9)]
    async with batch_server() as server:
        batches, exchange = lane("openai", server)
        tag = new_tag()
        made = await batches.submit(tag, asks)
        assert server.batches[made.id]["endpoint"] == "/v1/completions"
        assert server.batches[made.id]["metadata"] == {"orch_tag": tag}
        assert server.requests[made.id][0]["body"]["seed"] == 9
        server.finish_openai(made.id)
        (result,) = [r async for r in batches.fetch(made.id, tag, asks)]
        await exchange.aclose()
    assert isinstance(result.outcome, SampleResponse)
    assert len(result.outcome.choices) == 4


def refusing(name):
    """Every second request fails inside the batch."""
    count = iter(range(100))

    def answer(body):
        if next(count) % 2 == 0:
            return (answer_openai if name == "openai" else answer_anthropic)(body)
        if name == "openai":
            return 400, {"error": {"message": "too long", "type": "invalid_request_error"}}
        wrong = {"type": "invalid_request_error", "message": "too long"}
        return 400, {"type": "error", "error": wrong}

    return answer


async def test_errors_inside_a_batch_are_classified(name):
    async with batch_server() as server:
        batches, exchange = lane(name, server)
        tag = new_tag()
        made = await batches.submit(tag, ASKS)
        finish(name, server, made, refusing(name))
        results = [r.outcome async for r in batches.fetch(made.id, tag, ASKS)]
        await exchange.aclose()
    assert sorted(type(r).__name__ for r in results) == [
        *["InvalidRequest"] * 2,
        *["SampleResponse"] * 3,
    ]
    assert all(r.sent == "rejected" for r in results if isinstance(r, errors.ProviderError))


async def test_what_expired_unrun_is_not_billed(name):
    async with batch_server() as server:
        batches, exchange = lane(name, server)
        tag = new_tag()
        made = await batches.submit(tag, ASKS)
        finish(name, server, made, only=2)
        results = {r.index: r.outcome async for r in batches.fetch(made.id, tag, ASKS)}
        await exchange.aclose()
    assert sorted(results) == [0, 1]
    assert all(isinstance(result, SampleResponse) for result in results.values())


async def test_a_batch_that_was_made_before_the_connection_broke_is_found_again(name):
    """The intent is durable before; afterwards the batch is adopted, never submitted twice."""
    async with batch_server(page_size=2) as server:
        batches, exchange = lane(name, server)
        for _ in range(3):
            await batches.submit(new_tag(), ASKS)
        tag = new_tag()
        server.drop_after_creating = True
        with pytest.raises(errors.ConnectionFailed) as lost:
            await batches.submit(tag, ASKS)
        assert lost.value.sent == "maybe_billed"
        server.drop_after_creating = False
        mine = list(server.batches)[-1]
        for _ in range(3):
            await batches.submit(new_tag(), ASKS)
        found = await batches.find(tag, count=5, since=LONG_AGO)
        if name == "anthropic":
            assert found.batch is None
            assert mine in {batch.id for batch in found.undecided}
            for batch_id in server.batches:
                server.finish_anthropic(batch_id)
            found = await batches.find(tag, count=5, since=LONG_AGO)
        assert found.batch is not None
        assert found.batch.id == mine
        assert (await batches.find(new_tag(), count=5, since=LONG_AGO)).batch is None
        await exchange.aclose()


async def test_batches_of_another_size_or_older_are_not_looked_at(name):
    async with batch_server() as server:
        batches, exchange = lane(name, server)
        await batches.submit(new_tag(), ASKS[:2])
        found = await batches.find(new_tag(), count=5, since=LONG_AGO)
        assert (found.batch, found.undecided) == (None, ())
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        found = await batches.find(new_tag(), count=2, since=tomorrow)
        assert (found.batch, found.undecided) == (None, ())
        await exchange.aclose()


async def test_cancel(name):
    async with batch_server() as server:
        batches, exchange = lane(name, server)
        made = await batches.submit(new_tag(), ASKS)
        stopped = await batches.cancel(made.id)
        await exchange.aclose()
    assert stopped.status == "running"
    assert stopped.detail in ("cancelling", "canceling")


async def test_a_refused_batch_says_why():
    async with batch_server() as server:
        batches, exchange = lane("openai", server)
        made = await batches.submit(new_tag(), ASKS)
        server.batches[made.id] |= {
            "status": "failed",
            "errors": {"data": [{"code": "x", "message": "enqueued token limit reached"}]},
        }
        refused = await batches.poll(made.id)
        await exchange.aclose()
    assert refused.status == "refused"
    assert "enqueued token limit reached" in refused.detail


async def test_a_failed_upload_leaves_no_batch():
    async with batch_server() as server:
        server.url += "/nowhere"
        lost, exchange = lane("openai", server)
        with pytest.raises(errors.ProviderError) as failed:
            await lost.submit(new_tag(), ASKS)
        await exchange.aclose()
    assert failed.value.sent == "rejected"
    assert server.batches == {}


async def test_results_on_another_host_are_refused():
    async with batch_server() as server:
        batches, exchange = lane("anthropic", server)
        tag = new_tag()
        made = await batches.submit(tag, ASKS)
        server.finish_anthropic(made.id)
        server.batches[made.id]["results_url"] = "https://collector.example/results"
        with pytest.raises(errors.BadResponse, match=r"collector\.example"):
            _ = [r async for r in batches.fetch(made.id, tag, ASKS)]
        await exchange.aclose()


async def test_the_official_sdks_read_what_we_submit_and_submit_what_we_read():
    async with batch_server() as server:
        batches, exchange = lane("openai", server)
        tag = new_tag()
        ours = await batches.submit(tag, ASKS)
        sdk = openai.AsyncOpenAI(api_key=KEY, base_url=f"{server.url}/v1", max_retries=0)
        theirs = await sdk.batches.retrieve(ours.id)
        assert theirs.metadata == {"orch_tag": tag}
        file = await sdk.files.create(file=server.files["file_1"], purpose="batch")
        made = await sdk.batches.create(
            completion_window="24h",
            endpoint="/v1/chat/completions",
            input_file_id=file.id,
            metadata={"orch_tag": tag + "x"},
        )
        found = await batches.find(tag + "x", count=5, since=LONG_AGO)
        assert found.batch is not None and found.batch.id == made.id
        await sdk.close()
        await exchange.aclose()

        batches, exchange = lane("anthropic", server)
        ours = await batches.submit(tag, ASKS)
        client = anthropic.AsyncAnthropic(api_key=KEY, base_url=server.url, max_retries=0)
        server.finish_anthropic(ours.id)
        results = [r async for r in await client.messages.batches.results(ours.id)]
        assert {r.custom_id for r in results} == {custom_id(tag, i) for i in range(5)}
        await client.close()
        await exchange.aclose()


@pytest.mark.parametrize("tag", ["", "short", "UPPERCASE", "has-dash-in", "x" * 41])
async def test_tags_that_a_custom_id_could_not_hold(name, tag):
    async with batch_server() as server:
        batches, exchange = lane(name, server)
        with pytest.raises(ProviderConfigError):
            await batches.submit(tag, ASKS)
        with pytest.raises(ProviderConfigError):
            await batches.submit(new_tag(), [])
        await exchange.aclose()
    assert server.calls == []


def test_names_of_requests():
    tag = new_tag()
    assert tag != new_tag()
    assert [index_of(custom_id(tag, i), tag, 5) for i in (0, 4, 5)] == [0, 4, None]
    for name in ("", "x", f"{tag}-", f"{tag}-x", f"{new_tag()}-1", f"{tag}--1"):
        assert index_of(name, tag, 5) is None


def test_polling_slows_down_with_age():
    pauses = [next_poll_s(age) for age in (0, 10, 250, 1000, 86400)]
    assert pauses == [0.5, 2.5, 5, 20, 300]
