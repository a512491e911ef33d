"""Real clients through the gateway: every dialect, streamed and whole."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from providers.gateway.attempts import Caps
from tests.gateway.door import KEY, Door, opened
from tests.gateway.model_server import ModelServer

ASK: list[Any] = [{"role": "user", "content": "What is 2 + 2?"}]
TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
}


def openai_client(base: str, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0)


def anthropic_client(base: str, key: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=base, api_key=key, max_retries=0)


def even(door: Door) -> None:
    """Settled, the upstream's bill and the calls say the same, and nothing is left open."""
    assert door.settled == door.server.bill == sum(call.cost or 0 for call in door.books.calls)
    assert door.ledger.open_reservations == 0
    assert door.ledger.totals().uncertain == 0
    assert all(line.key in (KEY, f"Bearer {KEY}") for line in door.server.lines)


async def test_gateway_chat_whole_and_streamed_say_what_the_upstream_says() -> None:
    async with opened("5") as door:
        attempt, key = door.gateway.begin(7, door.upstream)
        async with (
            openai_client(door.url, key) as client,
            openai_client(door.server.url, KEY) as alone,
        ):
            for options in ({}, {"tools": [TOOL]}, {"n": 3}):
                through = await client.chat.completions.create(
                    model="scripted",
                    messages=ASK,
                    **options,  # type: ignore[call-overload]
                )
                assert len(through.choices) == options.get("n", 1)
            plain = await client.chat.completions.create(
                model="scripted", messages=ASK, stream=True
            )
            chunks = [chunk async for chunk in plain]
            assert all(chunk.usage is None and chunk.choices for chunk in chunks)
            asking = await client.chat.completions.create(
                model="scripted", messages=ASK, stream=True,
                stream_options={"include_usage": True},
            )  # fmt: skip
            told = [chunk.usage async for chunk in asking][-1]
            assert told is not None and told.prompt_tokens
            even(door)
            assert [call.attempt for call in door.books.calls] == [7] * 5
            assert attempt.calls == attempt.answered == 5
            door.server.lines.clear()
            direct = await alone.chat.completions.create(
                model="scripted", messages=ASK, stream=True
            )
            shape = [chunk.model_dump(exclude={"id"}) async for chunk in direct]
            assert shape[0] == chunks[0].model_dump(exclude={"id"})


async def test_gateway_responses_completions_embeddings_and_messages() -> None:
    async with opened("5") as door:
        _, key = door.gateway.begin(1, door.upstream)
        async with (
            openai_client(door.url, key) as client,
            anthropic_client(door.url, key) as claude,
        ):
            whole = await client.responses.create(model="scripted", input="hello")
            assert whole.usage is not None and whole.output_text
            async with client.responses.stream(model="scripted", input="hello") as stream:
                final = [event async for event in stream][-1]
            assert final.type == "response.completed"
            await client.completions.create(model="scripted", prompt="a")
            streamed = await client.completions.create(model="scripted", prompt="a", stream=True)
            assert all([part.choices async for part in streamed])
            await client.embeddings.create(model="scripted", input="a b c")
            await claude.messages.create(model="scripted", max_tokens=50, messages=ASK)
            async with claude.messages.stream(
                model="scripted", max_tokens=50, messages=ASK
            ) as talking:
                message = await talking.get_final_message()
            assert message.usage.output_tokens == door.server.lines[-1].output_tokens
            count = await claude.messages.count_tokens(model="scripted", messages=ASK)
            assert count.input_tokens
            assert [model.id async for model in client.models.list()] == ["scripted"]
        even(door)
        assert len(door.books.calls) == 7


@pytest.mark.parametrize(
    ("path", "status", "shape"),
    [("chat/completions", 401, "openai"), ("responses", 400, "openai"),
     ("messages", 403, "anthropic")],
)  # fmt: skip
async def test_gateway_over_a_cap_each_dialect_is_refused_in_its_own_words(
    path: str, status: int, shape: str
) -> None:
    body: dict[str, Any] = {"model": "scripted", "messages": ASK, "max_tokens": 30}
    if path == "responses":
        body = {"model": "scripted", "input": "hello", "max_output_tokens": 30}
    async with opened("5") as door, aiohttp.ClientSession() as web:
        attempt, key = door.gateway.begin(1, door.upstream, caps=Caps(calls=1))
        headers = {"Authorization": f"Bearer {key}"}
        async with web.post(f"{door.url}/v1/{path}", json=body, headers=headers) as first:
            assert first.status == 200
        for _ in range(2):
            async with web.post(f"{door.url}/v1/{path}", json=body, headers=headers) as answer:
                document = await answer.json()
                assert answer.status == status
                assert "used up" in document["error"]["message"]
                assert (document.get("type") == "error") == (shape == "anthropic")
        assert len(door.server.lines) == 1
        assert attempt.cut == "attempt" and attempt.refused == {"attempt": 2}
        door.gateway.end(attempt)
        for some in (key, "sk-orch-nobody", ""):
            headers = {"Authorization": f"Bearer {some}"} if some else {}
            async with web.post(f"{door.url}/v1/{path}", json=body, headers=headers) as answer:
                assert answer.status == status
                assert "unknown" in (await answer.json())["error"]["message"]
        assert len(door.server.lines) == 1


async def test_gateway_a_key_may_stand_in_the_path_and_the_model_may_be_set() -> None:
    async with opened("5", model="scripted") as door:
        _, key = door.gateway.begin(1, door.upstream)
        async with openai_client(f"{door.url}/s/{key}", "anything") as client:
            await client.chat.completions.create(model="gpt-4o", messages=ASK, seed=5, top_p=0.9)
        body = door.server.lines[0].body
        assert body["model"] == "scripted" and body["seed"] == 5 and body["top_p"] == 0.9
        assert body["max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"]
        assert "temperature" not in body and "n" not in body


async def test_gateway_an_upstream_is_asked_only_in_its_own_dialect() -> None:
    async with opened("5", provider="anthropic") as door:
        _, key = door.gateway.begin(1, door.upstream)
        async with (
            openai_client(door.url, key) as client,
            anthropic_client(door.url, key) as claude,
        ):
            with pytest.raises(openai.NotFoundError, match="translates nothing"):
                await client.chat.completions.create(model="scripted", messages=ASK)
            await claude.messages.create(model="scripted", max_tokens=50, messages=ASK)
        even(door)


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("chat/completions", {"service_tier": "priority"}),
    ("chat/completions", {"web_search_options": {"search_context_size": "low"}}),
    ("chat/completions", {"modalities": ["text", "audio"]}),
    ("chat/completions", {"prediction": {"type": "content", "content": "x"}}),
    ("chat/completions", {"tools": [{"type": "web_search"}]}),
    ("chat/completions", {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]}),
    ("chat/completions", {"messages": [{"role": "user", "content": [
        {"type": "file", "file": {"file_id": "f"}}]}]}),
    ("chat/completions", {"n": 100_000}),
    ("chat/completions", {"max_tokens": -5}),
    ("chat/completions", {"max_tokens": "many"}),
    ("chat/completions", {"messages": []}),
    ("chat/completions", {"model": 5}),
    ("responses", {"previous_response_id": "resp_0"}),
    ("responses", {"background": True}),
    ("responses", {"prompt": {"id": "p"}}),
    ("responses", {"tools": [{"type": "web_search"}]}),
    ("responses", {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
    ("responses", {"tools": [{"type": "namespace", "tools": [{"type": "web_search"}]}]}),
    ("responses", {"input": [{"type": "item_reference", "id": "x"}]}),
    ("responses", {"input": [{"role": "user", "content": [
        {"type": "input_file", "file_url": "https://example.org/a.pdf"}]}]}),
    ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ("messages", {"mcp_servers": [{"type": "url", "url": "https://example.org"}]}),
    ("messages", {"speed": "fast"}),
    ("messages", {"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "base64", "data": "JVBERi0="}}]}]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "fields"), REFUSED)
async def test_gateway_what_has_no_bound_is_refused_and_never_sent(
    path: str, fields: dict[str, Any]
) -> None:
    body: dict[str, Any] = {"model": "scripted", "max_tokens": 30}
    body |= {"input": "hello"} if path == "responses" else {"messages": ASK}
    async with opened("5") as door, aiohttp.ClientSession() as web:
        _, key = door.gateway.begin(1, door.upstream)
        headers = {"x-api-key": key}
        url = f"{door.url}/v1/{path}"
        async with web.post(url, json={**body, **fields}, headers=headers) as answer:
            assert answer.status == 400, await answer.text()
        assert not door.server.lines
        assert door.ledger.totals().committed == 0


async def test_gateway_a_picture_in_the_body_is_bounded_and_passed_on() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    async with opened("5") as door:
        _, key = door.gateway.begin(1, door.upstream)
        async with openai_client(door.url, key) as client:
            await client.chat.completions.create(
                model="scripted",
                messages=[{"role": "user", "content": parts}],  # type: ignore
            )
        reserved = next(e.amount for e in door.books.journal.events() if e.kind == "reserve")
        assert reserved > 50_000 * 3_000_000
        even(door)


async def test_gateway_strangers_hosts_sockets_and_bodies_are_refused() -> None:
    async with opened("5") as door, aiohttp.ClientSession() as web:
        _, key = door.gateway.begin(1, door.upstream)
        url, mine = f"{door.url}/v1/chat/completions", {"Authorization": f"Bearer {key}"}
        cases: list[tuple[dict[str, str], bytes, int]] = [
            ({**mine, "Host": "evil.example"}, b"{}", 403),
            ({**mine, "Host": "127.0.0.1.evil.example"}, b"{}", 403),
            ({**mine, "Content-Type": "application/json"}, b"{", 400),
            ({**mine, "Content-Type": "application/json"}, b"[]", 400),
            ({**mine, "Content-Type": "application/json"}, b"\xff\xfe", 400),
            ({**mine, "Content-Type": "text/plain"}, b"{}", 415),
        ]
        for headers, data, status in cases:
            async with web.post(url, data=data, headers=headers) as answer:
                assert answer.status == status
        async with web.get(url, headers={**mine, "Upgrade": "websocket",
                                         "Connection": "Upgrade"}) as answer:  # fmt: skip
            assert answer.status == 426
        async with web.get(url, headers=mine) as answer:
            assert answer.status == 405
        async with web.post(f"{door.url}/v1/nothing", headers=mine) as answer:
            assert answer.status == 404
        async with web.head(door.url) as answer:
            assert answer.status == 200
        long = {**mine, "Content-Type": "application/json", "Content-Length": str(2**40)}
        async with web.post(url, headers=long) as answer:
            assert answer.status == 413
        assert not door.server.lines


async def test_gateway_the_upstreams_key_is_never_told() -> None:
    async with opened("5", max_retries=0) as door, aiohttp.ClientSession() as web:
        attempt, key = door.gateway.begin(1, door.upstream)
        door.server.faults = ["500", "401"]
        for status in (500, 401):
            body = {"model": "scripted", "messages": ASK}
            url, headers = f"{door.url}/v1/chat/completions", {"Authorization": f"Bearer {key}"}
            async with web.post(url, json=body, headers=headers) as answer:
                text = await answer.text()
                assert answer.status == status and KEY not in text and "told" in text
        assert len(door.fatal) == 1 and KEY not in str(door.fatal[0])
        assert attempt.failed == {"Overloaded": 1, "AuthFailed": 1}
        said = json.dumps([str(event) for event in door.books.journal.events()])
        assert key not in said and KEY not in said
        assert door.ledger.totals().committed == 0


async def test_gateway_what_the_upstream_refuses_for_the_moment_its_agent_never_sees() -> None:
    async with opened("5") as door:
        _, key = door.gateway.begin(1, door.upstream)
        door.server.faults = ["503", "429", "429", "500"]
        async with openai_client(door.url, key) as client:
            await client.chat.completions.create(model="scripted", messages=ASK)
        even(door)
        assert door.books.calls[0].tries == 5 and len(door.books.calls) == 1


async def test_gateway_what_may_have_been_billed_counts_as_spent() -> None:
    async with opened("5", model="scripted") as door:
        attempt, key = door.gateway.begin(1, door.upstream)
        door.server.faults = ["reset", "no_usage", "broken"]
        async with openai_client(door.url, key) as client:
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(model="scripted", messages=ASK)
            await client.chat.completions.create(model="scripted", messages=ASK)
            with pytest.raises((openai.APIError, Exception)):
                stream = await client.chat.completions.create(
                    model="scripted", messages=ASK, stream=True
                )
                async for _ in stream:
                    pass
        totals = door.ledger.totals()
        assert totals.settled == 0 and totals.reserved == 0
        assert totals.uncertain == attempt.own.uncertain >= door.server.bill > 0
        assert not attempt.known


async def test_gateway_a_bill_above_its_bound_ends_everything() -> None:
    async with opened("5") as door:
        _, key = door.gateway.begin(1, door.upstream)
        door.server.faults = ["over"]
        async with openai_client(door.url, key) as client:
            await client.chat.completions.create(model="scripted", messages=ASK, max_tokens=1)
            assert door.faults
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(model="scripted", messages=ASK)
        assert len(door.server.lines) == 1


async def test_gateway_a_client_that_hangs_up_is_settled_all_the_same() -> None:
    server = ModelServer(pause_s=0.05, words_a_pause=1)
    async with opened("5", server=server) as door:
        attempt, key = door.gateway.begin(1, door.upstream)
        async with openai_client(door.url, key) as client:
            stream = await client.chat.completions.create(
                model="scripted", messages=ASK, stream=True, max_tokens=40
            )
            async for _ in stream:
                break
            await stream.close()
        assert await door.gateway.settled(attempt, 20)
        even(door)
        assert door.books.calls[0].outcome == "ok"


async def test_gateway_draining_is_bounded_in_time() -> None:
    async with opened("5", drain_s=0.2) as door, aiohttp.ClientSession() as web:
        attempt, key = door.gateway.begin(1, door.upstream)
        door.server.faults = ["hang"]
        with pytest.raises(TimeoutError):
            await web.post(
                f"{door.url}/v1/chat/completions",
                json={"model": "scripted", "messages": ASK},
                headers={"Authorization": f"Bearer {key}"},
                timeout=aiohttp.ClientTimeout(total=0.3),
            )
        assert await door.gateway.settled(attempt, 20)
        assert door.ledger.totals().uncertain >= door.server.bill > 0
        assert door.books.calls[0].outcome == "cancelled"


@pytest.mark.parametrize("fault", ["priority", "dollars"])
async def test_gateway_holds_what_of_a_calls_cost_is_not_certain(fault: str) -> None:
    """A tier of which no price is known; dollars of the server's own, half of what tokens say."""
    async with opened("5") as door:
        attempt, key = door.gateway.begin(7, door.upstream)
        door.server.faults = [fault]
        async with openai_client(door.url, key) as client:
            await client.chat.completions.create(model="scripted", messages=ASK)
            await client.chat.completions.create(model="scripted", messages=ASK)
        totals = door.ledger.totals()
        assert door.ledger.open_reservations == 0 and totals.uncertain > 0
        assert totals.settled <= door.server.bill <= totals.settled + totals.uncertain
        assert (totals.settled == door.server.bill) == (fault == "priority")
        assert sum(account.uncertain for account in attempt.accounts) == totals.uncertain
