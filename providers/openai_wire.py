"""OpenAI's chat and completions on the wire: request bodies and answers, without any network.

`request_body` turns a SampleRequest into the JSON object a server of that protocol takes;
`read_response` turns a 200 answer into a SampleResponse, whatever it leaves out. Both are pure,
and shared by the live provider, the batch lane and the replay server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from budgets.usage import Usage, token_count
from providers.errors import BadResponse, InvalidRequest
from providers.sample import Capabilities, Choice, FinishReason, SampleRequest, SampleResponse

FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}

OWNED = frozenset({"model", "messages", "prompt", "n", "stream", "max_tokens", "seed"})
"""Body fields that a SampleRequest's `extra` may not overwrite."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one provider's imitation of the protocol differs."""

    max_tokens_field: str = "max_tokens"
    prompt_cache_key: bool = False
    """Whether the body may carry `prompt_cache_key`, which keeps equal prompts on one cache."""
    first_slot: bool = False
    """Whether the body tells which attempt the first choice is (a replay server)."""


class _Message(msgspec.Struct):
    content: str | list[Any] | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None
    id: str | None = None


_decoder = msgspec.json.Decoder(_Answer)


def request_body(
    request: SampleRequest, capabilities: Capabilities, dialect: Dialect
) -> dict[str, Any]:
    """The JSON body of `request`; raises InvalidRequest for what the protocol cannot say."""
    refuse_unsupported(request, capabilities)
    body: dict[str, Any] = {"model": request.model}
    if request.messages is not None:
        body["messages"] = request.messages
        body[dialect.max_tokens_field] = request.max_tokens
    else:
        body["prompt"] = request.prompt
        body["max_tokens"] = request.max_tokens
    if request.n != 1:
        body["n"] = request.n
    if capabilities.temperature:
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
    if request.stop:
        body["stop"] = request.stop
    if request.seed is not None and capabilities.seed:
        body["seed"] = request.seed
    if request.logprobs:
        body["logprobs"] = True if request.messages is not None else 1
    if request.cache_prompt and dialect.prompt_cache_key:
        body["prompt_cache_key"] = prompt_digest(request)
    if dialect.first_slot and request.first_slot is not None:
        body["first_slot"] = request.first_slot
    if request.extra:
        body.update(request.extra)
    return body


def prompt_digest(request: SampleRequest) -> str:
    """A short name of the request's model and prompt, equal for all attempts at one problem."""
    from hashlib import blake2b

    asked = msgspec.json.encode([request.model, request.prompt, request.messages])
    return blake2b(asked, digest_size=12).hexdigest()


def refuse_unsupported(request: SampleRequest, capabilities: Capabilities) -> None:
    """Raises InvalidRequest, with nothing sent, for a request that the API has no words for."""
    if (request.prompt is None) == (request.messages is None):
        raise InvalidRequest("a request needs either a prompt or messages", sent="not_sent")
    if request.prompt is not None and not capabilities.raw_completions:
        raise InvalidRequest(
            "this provider takes chat messages only, not a raw prompt", sent="not_sent"
        )
    if not 1 <= request.n <= capabilities.max_n:
        raise InvalidRequest(
            f"n={request.n}: this provider takes 1 to {capabilities.max_n} choices a request",
            sent="not_sent",
        )
    if request.logprobs and not capabilities.logprobs:
        raise InvalidRequest("this provider gives no logprobs", sent="not_sent")
    if request.extra and (owned := OWNED.intersection(request.extra)):
        raise InvalidRequest(
            f"extra body fields may not set {', '.join(sorted(owned))}", sent="not_sent"
        )


def read_response(
    body: bytes, request: SampleRequest, headers: Mapping[str, str], where: str
) -> SampleResponse:
    """The SampleResponse that a 200 answer stands for; raises BadResponse if it has no choice."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadResponse(
            f"{where} answered with something else than a completion: {error}", sent="maybe_billed"
        ) from None
    if not answer.choices:
        raise BadResponse(f"{where} answered without a single choice", sent="maybe_billed")
    usage = usage_of(answer.usage)
    output_tokens = usage.output_tokens if usage and len(answer.choices) == 1 else None
    choices = [_choice(choice, output_tokens) for choice in answer.choices]
    kept, surplus, missing = _sorted_out(choices, request.n)
    return SampleResponse(
        choices=kept,
        usage=usage,
        usage_raw=answer.usage,
        model=answer.model or request.model,
        request_id=answer.id or "",
        headers=limit_headers(headers),
        missing=missing,
        surplus=surplus,
    )


def _choice(choice: _Choice, output_tokens: int | None) -> Choice:
    text: Any = choice.text if choice.message is None else choice.message.content
    if text is None:
        text = ""
    elif not isinstance(text, str):
        text = "".join(part["text"] for part in text if isinstance(part, dict) and "text" in part)
    return Choice(
        index=-1 if choice.index is None else choice.index,
        text=text,
        finish_reason=FINISH.get(choice.finish_reason or "", "other"),
        output_tokens=output_tokens,
        logprobs=choice.logprobs,
    )


def _sorted_out(
    choices: list[Choice], n: int
) -> tuple[tuple[Choice, ...], tuple[Choice, ...], tuple[int, ...]]:
    """Kept, surplus and missing; choices whose indices say nothing are numbered as they came."""
    if len(choices) == n == 1 and choices[0].index == 0:
        return (choices[0],), (), ()
    indices = {choice.index for choice in choices}
    if len(indices) != len(choices) or min(indices) < 0:
        choices = [
            Choice(i, c.text, c.finish_reason, c.output_tokens, c.logprobs)
            for i, c in enumerate(choices)
        ]
        indices = set(range(len(choices)))
    choices = sorted(choices, key=lambda choice: choice.index)
    kept = tuple(c for c in choices if c.index < n)
    surplus = tuple(c for c in choices if c.index >= n)
    return kept, surplus, tuple(i for i in range(n) if i not in indices)


def usage_of(raw: Mapping[str, Any] | None) -> Usage | None:
    """Usage by billing kind from the object `usage`; None where it says nothing credible.

    `prompt_tokens` includes cached tokens in this protocol. Where `total_tokens` is more than
    prompt and completion (reasoning counted apart), the difference is output: it is billed so.
    """
    if not raw:
        return None
    prompt = token_count(raw.get("prompt_tokens"))
    completion = token_count(raw.get("completion_tokens"))
    total = token_count(raw.get("total_tokens") or 0)
    if prompt is None or completion is None or total is None:
        return None
    cached = written = reasoning = 0
    if details := raw.get("prompt_tokens_details"):
        cached = min(count_at(details, "cached_tokens"), prompt)
        written = min(count_at(details, "cache_write_tokens"), prompt - cached)
    if not cached and "prompt_cache_hit_tokens" in raw:
        cached = min(count_at(raw, "prompt_cache_hit_tokens"), prompt - written)
    if details := raw.get("completion_tokens_details"):
        reasoning = count_at(details, "reasoning_tokens")
    output = max(completion, total - prompt)
    return Usage(
        input_tokens=prompt - cached - written,
        cached_input_tokens=cached,
        cache_write_5m_tokens=written,
        output_tokens=output,
        reasoning_tokens=min(reasoning, output),
    )


def count_at(holder: Mapping[str, Any], name: str) -> int:
    """A number of tokens in a usage object; 0 where it is not there or none."""
    value = holder.get(name)
    return value if isinstance(value, int) and value > 0 else 0


KEPT_HEADERS = ("x-ratelimit-", "anthropic-ratelimit-", "retry-after")


def limit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of headers with names in lower case, those that speak of limits."""
    return {name: value for name, value in headers.items() if name.startswith(KEPT_HEADERS)}
