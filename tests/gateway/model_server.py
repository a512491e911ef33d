"""A model's server that speaks every dialect the gateway passes on, with a bill of its own.

    async with ModelServer() as server:
        ... server.url ...                      # without /v1

Each request is a line on the bill before anything is answered. A prompt has a token for every
four bytes of the body; the answer's length is drawn from the seed, at most what was asked for.
What a request's metadata says is done to it, once: {"fault": "429" | "503" | "500" | "reset" |
"no_usage" | "slow" | ...}; "slow" streams word by word.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PICO_PER_INPUT, PICO_PER_OUTPUT = 3_000_000, 15_000_000


@dataclass
class Line:
    """One request on the bill."""

    number: int
    path: str
    key: str
    prompt_tokens: int
    output_tokens: int
    billed: bool
    body: dict[str, Any]

    @property
    def pico(self) -> int:
        return self.prompt_tokens * PICO_PER_INPUT + self.output_tokens * PICO_PER_OUTPUT


Say = Callable[[dict[str, Any], int], dict[str, Any] | None]
"""Fields of an answer's message, from the request's body and its number; None: plain words."""


@dataclass
class ModelServer:
    seed: int = 0
    say: Say = lambda body, number: None
    words_a_pause: int = 4
    pause_s: float = 0.01
    url: str = ""
    lines: list[Line] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Done to the next requests, in order, where their metadata names none."""
    _done: set[str] = field(default_factory=set)

    @property
    def bill(self) -> int:
        """Picodollars."""
        return sum(line.pico for line in self.lines if line.billed)

    async def __aenter__(self) -> ModelServer:
        application = web.Application(client_max_size=2**26)
        for path in ("chat/completions", "completions", "responses", "messages", "embeddings"):
            application.router.add_post(f"/v1/{path}", self._answer)
        application.router.add_post("/v1/messages/count_tokens", self._count)
        application.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=4096).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def billed(self, line: Line) -> None:
        """A line is on the bill; for servers that keep it elsewhere too."""

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "scripted"}]})

    async def _count(self, request: web.Request) -> web.Response:
        return web.json_response({"input_tokens": len(await request.read()) // 4})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw)
        number = len(self.lines)
        told = json.dumps(body.get("metadata") or {})
        fault = "" if told in self._done else json.loads(told).get("fault", "")
        self._done.add(told)
        if not fault and self.faults:
            fault = self.faults.pop(0)
        dialect = request.path.removeprefix("/v1/")
        most = next(
            (body[n] for n in ("max_completion_tokens", "max_tokens", "max_output_tokens")
             if body.get(n)), 100)  # fmt: skip
        draw = random.Random(f"{self.seed} {number}")
        output = 0 if dialect == "embeddings" else draw.randint(1, min(most, 40))
        output *= body.get("n", 1)
        if fault == "over":
            output = most + 1000
        key = request.headers.get("Authorization", "") or request.headers.get("x-api-key", "")
        billed = fault not in ("429", "503", "500", "401")
        self.lines.append(Line(number, request.path, key, len(raw) // 4, output, billed, body))
        self.billed(self.lines[-1])
        if fault in ("429", "503", "500", "401"):
            text = {"429": "rate_limit_exceeded", "401": "invalid_api_key"}.get(fault, "api_error")
            headers = {"retry-after": "0"} if fault == "429" else {}
            error = {"message": f"told {fault}; your key is {key}", "type": text, "code": text}
            return web.json_response({"error": error}, status=int(fault), headers=headers)
        if fault == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        line = self.lines[-1]
        if fault == "hang":
            await asyncio.sleep(3600)
        said = self.say(body, number) or {}
        if body.get("stream"):
            return await self._stream(request, dialect, line, said, fault)
        document = WHOLE[dialect](line, said)
        if fault == "no_usage":
            del document["usage"]
        if fault == "priority":
            document["service_tier"] = "priority"
        if fault == "dollars":
            document["usage"]["cost"] = line.pico / 2 / 10**12
        return web.json_response(document)

    async def _stream(
        self, request: web.Request, dialect: str, line: Line, said: dict[str, Any], fault: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for place, event in enumerate(EVENTS[dialect](line, said)):
                await response.write(event)
                if fault == "slow" or place % self.words_a_pause == 0:
                    await asyncio.sleep(self.pause_s)
                if fault == "broken" and place == 3:
                    assert request.transport is not None
                    request.transport.abort()
                    return response
            await response.write_eof()
        except ConnectionError:
            pass
        return response


def _openai_usage(line: Line) -> dict[str, Any]:
    return {
        "prompt_tokens": line.prompt_tokens,
        "completion_tokens": line.output_tokens,
        "total_tokens": line.prompt_tokens + line.output_tokens,
    }


def _chat(line: Line, said: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "word " * line.output_tokens, **said}
    reason = "tool_calls" if said.get("tool_calls") else "stop"
    choices = [
        {"index": i, "message": message, "finish_reason": reason}
        for i in range(line.body.get("n", 1))
    ]
    return {
        "id": f"chatcmpl-{line.number}", "object": "chat.completion", "created": 1,
        "model": line.body["model"], "choices": choices, "usage": _openai_usage(line),
    }  # fmt: skip


def _completion(line: Line, said: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": line.body["model"],
        "choices": [{"index": 0, "text": "word " * line.output_tokens, "finish_reason": "stop"}],
        "usage": _openai_usage(line),
    }  # fmt: skip


def _response(line: Line, said: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "output_text", "text": "word " * line.output_tokens, "annotations": []}
    output = said.get("output") or [
        {"type": "message", "id": "m1", "role": "assistant", "status": "completed",
         "content": [text]}
    ]  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed",
        "model": line.body["model"], "output": output, "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": line.prompt_tokens, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": line.output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": line.prompt_tokens + line.output_tokens,
        },
    }  # fmt: skip


def _message(line: Line, said: dict[str, Any]) -> dict[str, Any]:
    content = said.get("content") or [{"type": "text", "text": "word " * line.output_tokens}]
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": line.body["model"],
        "content": content, "stop_reason": said.get("stop_reason", "end_turn"),
        "stop_sequence": None,
        "usage": {"input_tokens": line.prompt_tokens, "output_tokens": line.output_tokens},
    }  # fmt: skip


def _embedding(line: Line, said: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "list", "model": line.body["model"],
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}],
        "usage": {"prompt_tokens": line.prompt_tokens, "total_tokens": line.prompt_tokens},
    }  # fmt: skip


WHOLE = {
    "chat/completions": _chat, "completions": _completion, "responses": _response,
    "messages": _message, "embeddings": _embedding,
}  # fmt: skip


def _data(document: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(document).encode() + b"\n\n"


def _chat_events(line: Line, said: dict[str, Any]) -> list[bytes]:
    whole = _chat(line, said)
    asked = (line.body.get("stream_options") or {}).get("include_usage")
    base = {**whole, "object": "chat.completion.chunk"}
    del base["usage"]
    if asked:
        base["usage"] = None
    message = whole["choices"][0]["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word + " "} for word in (message["content"] or "").split()]
    if message.get("tool_calls"):
        calls = [{**call, "index": i} for i, call in enumerate(message["tool_calls"])]
        deltas.append({"tool_calls": calls})
    chunks = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    reason = whole["choices"][0]["finish_reason"]
    chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    if asked:
        chunks.append({**base, "choices": [], "usage": whole["usage"]})
    return [*map(_data, chunks), b"data: [DONE]\n\n"]


def _completion_events(line: Line, said: dict[str, Any]) -> list[bytes]:
    whole = _completion(line, said)
    used = whole.pop("usage")
    chunks = [
        {**whole, "choices": [{"index": 0, "text": "word ", "finish_reason": None}]}
    ] * line.output_tokens
    chunks.append({**whole, "choices": [], "usage": used})
    return [*map(_data, chunks), b"data: [DONE]\n\n"]


def _response_events(line: Line, said: dict[str, Any]) -> list[bytes]:
    whole = _response(line, said)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for place, item in enumerate(whole["output"]):
        kind = {"output_index": place, "item": item}
        events += [{"type": "response.output_item.added", **kind}]
        if item["type"] == "message":
            where = {"item_id": "m1", "output_index": place, "content_index": 0}
            for word in item["content"][0]["text"].split():
                events.append({"type": "response.output_text.delta", **where, "delta": word + " "})
        events += [{"type": "response.output_item.done", **kind}]
    events.append({"type": "response.completed", "response": whole})
    numbered = [{**event, "sequence_number": i} for i, event in enumerate(events)]
    return [_data(event, event["type"]) for event in numbered]


def _message_events(line: Line, said: dict[str, Any]) -> list[bytes]:
    whole = _message(line, said)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {
        "input_tokens": line.prompt_tokens, "output_tokens": 1}}  # fmt: skip
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    for place, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty, deltas = {**block, "text": ""}, [
                {"type": "text_delta", "text": word + " "} for word in block["text"].split()
            ]  # fmt: skip
        else:
            empty = {**block, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        events.append({"type": "content_block_start", "index": place, "content_block": empty})
        events += [
            {"type": "content_block_delta", "index": place, "delta": delta} for delta in deltas
        ]
        events.append({"type": "content_block_stop", "index": place})
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    used = {"output_tokens": line.output_tokens}
    events += [{"type": "message_delta", "delta": delta, "usage": used}, {"type": "message_stop"}]
    return [_data(event, event["type"]) for event in events]


EVENTS = {
    "chat/completions": _chat_events, "completions": _completion_events,
    "responses": _response_events, "messages": _message_events,
}  # fmt: skip
