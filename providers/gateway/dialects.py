"""The dialects that the gateway passes on: paths, what a call may cost, where usage stands.

One ApiPath a path. What differs between them is here as data and small functions; how a call is
metered and sent is the same for all (exchange.py). Nothing is translated: an upstream that does not
speak a dialect is not asked in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from budgets.dialects import usage_of
from budgets.usage import Usage, token_count
from providers.gateway.bounds import (
    Bound,
    choices,
    prompt_bound,
    refuse_tools,
    whole_number,
)
from providers.gateway.errors import ApiShape, GatewayRefusal

Body = dict[str, Any]
UsageOf = Callable[[Mapping[str, Any] | None], Usage | None]


@dataclass(frozen=True, slots=True)
class ApiPath:
    """One path of an API."""

    path: str
    """Below the upstream's base URL of OpenAI's protocol, that is without /v1."""
    shape: ApiShape
    stop_status: int
    """The refusal at which agents of this dialect stop at once (measured: docs/agents.md)."""
    method: str = "POST"
    bound: Callable[[Body], Bound] | None = None
    """None: a call that is not billed."""
    output_fields: tuple[str, ...] = ()
    """Where a call says how long its answer may be; the first is set where none is."""
    usage_of: UsageOf = usage_of

    @property
    def billed(self) -> bool:
        return self.bound is not None

    def asked_output(self, body: Body) -> int | None:
        """The longest answer that a call asks for; None where it does not say."""
        asked = [whole_number(body, name) for name in self.output_fields]
        return max((tokens for tokens in asked if tokens is not None), default=None)

    def limit_output(self, body: Body, most: int, field: str = "") -> None:
        """Let no answer be longer than `most` tokens. `field`: the one to set where none is."""
        said = [name for name in self.output_fields if body.get(name) is not None]
        for name in said or [field or self.output_fields[0]]:
            body[name] = min(body.get(name) or most, most)


def _messages(body: Body, name: str = "messages") -> int:
    found = body.get(name)
    if not isinstance(found, list) or not found:
        raise GatewayRefusal(400, f"{name} must be a list of at least one message.")
    return len(found)


def _output(body: Body, fields: tuple[str, ...]) -> int:
    return max((whole_number(body, name) or 0 for name in fields), default=0)


_CHAT_OUTPUT = ("max_tokens", "max_completion_tokens")


def _chat(body: Body) -> Bound:
    refuse_tools(body, ("function", "custom"))
    prompt = prompt_bound(body, _messages(body))
    return Bound(prompt, _output(body, _CHAT_OUTPUT) * choices(body))


def _completion(body: Body) -> Bound:
    prompt = body.get("prompt", "")
    # A list of texts, or of lists of tokens, is as many prompts.
    several = isinstance(prompt, list) and bool(prompt) and not isinstance(prompt[0], int)
    prompts = len(prompt) if several else 1
    each = max(choices(body), choices(body, "best_of"))
    return Bound(prompt_bound(body, 0), _output(body, ("max_tokens",)) * each * prompts)


def _embeddings(body: Body) -> Bound:
    return Bound(prompt_bound(body, 0), 0)


def _responses(body: Body) -> Bound:
    refuse_tools(body, ("function", "custom", "local_shell", "apply_patch"))
    asked = body.get("input")
    if body.get("prompt") is not None:
        raise GatewayRefusal(400, "A stored prompt is not passed on: send its text as input.")
    messages = len(asked) if isinstance(asked, list) else 1
    return Bound(prompt_bound(body, messages), _output(body, ("max_output_tokens",)))


def _message(body: Body) -> Bound:
    refuse_tools(body, ("custom", "bash_", "text_editor_", "computer_", "memory_"))
    prompt = prompt_bound(body, _messages(body))
    return Bound(prompt, _output(body, ("max_tokens",)), cache_write=True)


def embeddings_usage(raw: Mapping[str, Any] | None) -> Usage | None:
    """Usage of embeddings, which have no output."""
    tokens = token_count(raw.get("prompt_tokens")) if raw else None
    return None if tokens is None else Usage(input_tokens=tokens)


CHAT = ApiPath("/chat/completions", "openai", 401, bound=_chat, output_fields=_CHAT_OUTPUT)
COMPLETIONS = ApiPath(
    "/completions", "openai", 401, bound=_completion, output_fields=("max_tokens",)
)
EMBEDDINGS = ApiPath(
    "/embeddings", "openai", 401, bound=_embeddings, usage_of=embeddings_usage
)  # fmt: skip
RESPONSES = ApiPath(
    "/responses", "openai", 400,
    bound=_responses, output_fields=("max_output_tokens",),
)  # fmt: skip
MESSAGES = ApiPath(
    "/messages", "anthropic", 403,
    bound=_message, output_fields=("max_tokens",),
)  # fmt: skip
COUNT_TOKENS = ApiPath("/messages/count_tokens", "anthropic", 403)
MODELS = ApiPath("/models", "openai", 401, method="GET")

ENDPOINTS = {
    endpoint.path: endpoint
    for endpoint in (
        CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, COUNT_TOKENS, MODELS,
    )
}  # fmt: skip

_OF_ANTHROPIC = frozenset({MESSAGES.path, COUNT_TOKENS.path, MODELS.path})
_OF_OPENAI = frozenset(ENDPOINTS) - {MESSAGES.path, COUNT_TOKENS.path}
_OF_SERVERS = frozenset(ENDPOINTS)
"""Servers of one's own speak whatever they were built to speak, and say so themselves."""


def spoken(provider: str, protocol: str) -> frozenset[str]:
    """The paths that may be passed on to a provider."""
    if protocol == "anthropic":
        return _OF_ANTHROPIC
    return _OF_SERVERS if provider in ("vllm", "compatible", "replay") else _OF_OPENAI
