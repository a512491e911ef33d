"""Anthropic's messages on the wire: request bodies and answers, without any network.

The API has no `n`: a request buys one choice. `cache_control` is set on the last block of the
prompt, which all attempts at a problem share, when the request says that more will follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from budgets.usage import Usage, token_count
from providers.errors import BadResponse, InvalidRequest
from providers.openai_wire import count_at, limit_headers, refuse_unsupported
from providers.sample import Capabilities, Choice, FinishReason, SampleRequest, SampleResponse

CacheLife = Literal["5m", "1h"]

FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "tool_use": "tool_calls",
}


class _Block(msgspec.Struct):
    type: str = ""
    text: str = ""


class _Answer(msgspec.Struct):
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    id: str | None = None


_decoder = msgspec.json.Decoder(_Answer)


def request_body(
    request: SampleRequest, capabilities: Capabilities, cache_life: CacheLife
) -> dict[str, Any]:
    """The JSON body of `request`; raises InvalidRequest for what the API cannot say."""
    refuse_unsupported(request, capabilities)
    assert request.messages is not None
    system = [m["content"] for m in request.messages if m["role"] == "system"]
    messages: list[dict[str, Any]] = [
        {"role": m["role"], "content": m["content"]}
        for m in request.messages
        if m["role"] != "system"
    ]
    if not messages:
        raise InvalidRequest("the messages hold no user turn", sent="not_sent")
    if request.cache_prompt:
        control = (
            {"type": "ephemeral"} if cache_life == "5m" else {"type": "ephemeral", "ttl": "1h"}
        )
        last = messages[-1]
        last["content"] = [{"type": "text", "text": last["content"], "cache_control": control}]
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": messages,
    }
    if system:
        body["system"] = "\n\n".join(system)
    if capabilities.temperature:
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
    if request.stop:
        body["stop_sequences"] = request.stop
    body.update(request.extra)
    return body


def read_response(
    body: bytes, request: SampleRequest, headers: Mapping[str, str], where: str
) -> SampleResponse:
    """The SampleResponse that a 200 answer stands for; raises BadResponse."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadResponse(
            f"{where} answered with something else than a message: {error}", sent="maybe_billed"
        ) from None
    if answer.content is None:
        raise BadResponse(f"{where} answered without any content", sent="maybe_billed")
    usage = usage_of(answer.usage)
    choice = Choice(
        index=0,
        text="".join(block.text for block in answer.content if block.type == "text"),
        finish_reason=FINISH.get(answer.stop_reason or "", "other"),
        output_tokens=usage.output_tokens if usage is not None else None,
    )
    return SampleResponse(
        choices=(choice,),
        usage=usage,
        usage_raw=answer.usage,
        model=answer.model or request.model,
        request_id=answer.id or "",
        headers=limit_headers(headers),
    )


def usage_of(raw: Mapping[str, Any] | None) -> Usage | None:
    """Usage by billing kind; `input_tokens` stands apart from cache reads and writes here.

    Writes that are not broken down by the cache's life are counted as the dearer, one hour's.
    """
    if not raw:
        return None
    fresh, output = token_count(raw.get("input_tokens")), token_count(raw.get("output_tokens"))
    written = token_count(raw.get("cache_creation_input_tokens") or 0)
    cached = token_count(raw.get("cache_read_input_tokens") or 0)
    if fresh is None or output is None or written is None or cached is None:
        return None
    by_life = raw.get("cache_creation") or {}
    short = min(count_at(by_life, "ephemeral_5m_input_tokens"), written)
    thinking = count_at(raw.get("output_tokens_details") or {}, "thinking_tokens")
    return Usage(
        input_tokens=fresh,
        cached_input_tokens=cached,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=written - short,
        output_tokens=output,
        reasoning_tokens=min(thinking, output),
    )
