"""Anthropic's messages on the wire: the bodies of requests; answers: anthropic_answer.py.

The API has no `n`: a request buys one choice. `cache_control` is set on the last block of the
prompt, which all attempts at a problem share, when the request says that more will follow.
"""

from __future__ import annotations

from typing import Any, Literal

from providers.errors import InvalidRequest
from providers.openai_wire import refuse_unsupported
from providers.sample import Capabilities, SampleRequest

CacheLife = Literal["5m", "1h"]


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
