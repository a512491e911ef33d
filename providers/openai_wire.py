"""OpenAI's chat and completions on the wire: the bodies of requests, without any network.

`request_body` turns a SampleRequest into the JSON object a server of that protocol takes; answers
are read by openai_answer.py. Both are pure, and shared by the live provider and the batch lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from providers.errors import InvalidRequest
from providers.sample import Capabilities, SampleRequest
from providers.stops import sent_stops

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
        body["stop"] = sent_stops(request, capabilities.max_stop)
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
