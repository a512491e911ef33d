"""The openai and anthropic SDKs with their own retries: tools in streams, errors, and a cap."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from providers.gateway.attempts import Caps
from tests.gateway.door import KEY, opened
from tests.gateway.model_server import ModelServer
from tests.gateway.test_gateway_dialects import ASK, TOOL, even

CALL = {
    "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "é"}'},
}  # fmt: skip
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "é"}}


def says(body: dict[str, Any], number: int) -> dict[str, Any] | None:
    if not body.get("tools"):
        return None
    if "input_schema" in body["tools"][0]:
        return {"content": [{"type": "text", "text": "so "}, USE], "stop_reason": "tool_use"}
    return {"content": None, "tool_calls": [CALL]}


async def test_gateway_tools_in_streams_arrive_as_the_upstream_sends_them() -> None:
    async with opened("5", server=ModelServer(say=says)) as door:
        _, key = door.gateway.begin(1, door.upstream)
        found: list[Any] = []
        for base, secret in ((door.url, key), (door.server.url, KEY)):
            client = openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=secret)
            async with client:
                stream = await client.chat.completions.create(
                    model="scripted", messages=ASK, tools=[TOOL], stream=True
                )  # type: ignore[call-overload]
                calls = [
                    call
                    async for chunk in stream
                    for call in chunk.choices[0].delta.tool_calls or ()
                ]
                assert json.loads(calls[0].function.arguments) == {"at": "é"}
            async with anthropic.AsyncAnthropic(base_url=base, api_key=secret) as claude:
                async with claude.messages.stream(
                    model="scripted", max_tokens=50, messages=ASK,
                    tools=[{"name": "look", "input_schema": {"type": "object"}}],
                ) as talking:  # fmt: skip
                    message = await talking.get_final_message()
                assert message.stop_reason == "tool_use"
            found.append([calls[0].model_dump(), message.content[1].model_dump()])
            if base == door.url:
                even(door)
        assert found[0] == found[1]


@pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])
async def test_gateway_sdks_stop_at_their_first_refusal(dialect: str) -> None:
    """With the retries that they make by themselves."""
    async with opened("5") as door:
        attempt, key = door.gateway.begin(1, door.upstream, caps=Caps(calls=1))
        client = openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key=key)
        claude = anthropic.AsyncAnthropic(base_url=door.url, api_key=key)

        async def ask() -> Any:
            if dialect == "chat":
                return await client.chat.completions.create(model="scripted", messages=ASK)
            if dialect == "responses":
                return await client.responses.create(model="scripted", input="hello")
            return await claude.messages.create(model="scripted", max_tokens=9, messages=ASK)

        async with client, claude:
            await ask()
            with pytest.raises((openai.APIStatusError, anthropic.APIStatusError), match="used up"):
                await ask()
        assert attempt.refused == {"attempt": 1} and len(door.server.lines) == 1
        even(door)


async def test_gateway_sdks_see_the_upstreams_errors_and_not_its_key() -> None:
    async with opened("5", max_retries=0) as door:
        _, key = door.gateway.begin(1, door.upstream)
        client = openai.AsyncOpenAI(base_url=f"{door.url}/v1", api_key=key, max_retries=1)
        async with client:
            with pytest.raises(openai.InternalServerError) as told:
                await client.with_options(max_retries=0).chat.completions.create(
                    model="scripted", messages=ASK, metadata={"fault": "500"}
                )
            assert KEY not in str(told.value)
            again = await client.chat.completions.create(
                model="scripted", messages=ASK, metadata={"fault": "503"}
            )
            assert again.choices
        assert door.settled == door.server.bill
