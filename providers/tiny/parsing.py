"""What a chat or completion request asks for, checked against what the model offers.

Fields of the OpenAI API that would change the text and are not offered here are refused unless
they have their neutral value; unknown fields are refused too, because an ignored sampling
parameter would be a silent lie. Fields about the caller (`user`, `metadata`, ...) are ignored.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any

from providers.tiny import fields
from providers.tiny.errors import ApiError
from providers.tiny.fields import RequestFields
from providers.tiny.job import GenerationJob
from providers.tiny.tokenizer import encode

DEFAULT_COMPLETION_TOKENS = 16
"""What /v1/completions generates where max_tokens is absent, as OpenAI documents."""

ROLES = ("system", "developer", "user", "assistant", "tool")

_SHARED = frozenset(
    {"model", "n", "max_tokens", "temperature", "top_p", "stop", "seed", "logprobs"}
    | {"stream", "stream_options"}
)
_CHAT = _SHARED | {"messages", "max_completion_tokens", "top_logprobs"}
_COMPLETION = _SHARED | {"prompt"}
_ABOUT_THE_CALLER = frozenset(
    {"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier"}
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "top_k": (0, -1),
    "min_p": (0,),
    "echo": (False,),
    "suffix": ("",),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "ignore_eos": (False,),
}


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """One request. Choice `i` of job `j` is choice `j * n + i` of the answer."""

    chat: bool
    model: str
    jobs: tuple[GenerationJob, ...]
    n: int
    seed: int | None
    stream: bool
    include_usage: bool

    @property
    def prompt_tokens(self) -> int:
        """Every prompt once, however many choices it has."""
        return sum(len(job.prompt) for job in self.jobs)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What the server has."""

    model: str
    context_tokens: int
    vocabulary: int
    max_choices: int


def read(body: RequestFields, offer: ServedModel, *, chat: bool) -> ParsedRequest:
    """The request in `body`; raises ApiError."""
    _check_names(body, _CHAT if chat else _COMPLETION)
    model = fields.string(body, "model")
    if model != offer.model:
        raise ApiError(
            f"The model `{model}` does not exist here; this server has `{offer.model}`.",
            status=404,
            param="model",
            code="model_not_found",
        )
    prompts = [_messages(body)] if chat else _prompts(body, offer.vocabulary)
    n = _integer(body, "n", 1, 1, offer.max_choices)
    if n * len(prompts) > offer.max_choices:
        raise fields.out_of_range("n", f"at most {offer.max_choices} choices in all prompts", n)
    given_seed = fields.integer(body, "seed", None, -(2**63), 2**64 - 1)
    stream = fields.boolean(body, "stream")
    template = GenerationJob(
        prompt=(),
        n=n,
        max_tokens=0,
        temperature=fields.number(body, "temperature", 1.0, 0.0, 2.0),
        top_p=fields.number(body, "top_p", 1.0, 0.0, 1.0),
        stop=fields.stop_strings(body),
        seed=secrets.randbits(63) if given_seed is None else given_seed,
        top_logprobs=_chat_logprobs(body) if chat else _completion_logprobs(body),
        streamed=stream,
    )
    limit = _limit(body, chat=chat)
    jobs = tuple(
        replace(template, prompt=prompt, max_tokens=_max_tokens(prompt, limit, offer, chat=chat))
        for prompt in prompts
    )
    include_usage = _include_usage(body, stream)
    return ParsedRequest(chat, model, jobs, n, given_seed, stream, include_usage)


def _check_names(body: RequestFields, known: frozenset[str]) -> None:
    """Refuse fields that would be ignored although they matter."""
    for name, value in body.items():
        if name in known or name in _ABOUT_THE_CALLER or value is None:
            continue
        if name == "best_of" and value == body.get("n", 1):
            continue
        if name not in _NEUTRAL:
            raise ApiError(
                f"Unrecognized request argument supplied: {name}", param=name, code="unknown_field"
            )
        if value not in _NEUTRAL[name]:
            raise ApiError(
                f"'{name}' is not supported by this server; leave it out.",
                param=name,
                code="unsupported_parameter",
            )


def _integer(body: RequestFields, name: str, default: int, low: int, high: int) -> int:
    value = fields.integer(body, name, default, low, high)
    return default if value is None else value


def _messages(body: RequestFields) -> tuple[int, ...]:
    """The tokens of a conversation: the texts of its messages, one after the other."""
    messages = body.get("messages")
    if messages is None:
        raise fields.missing("messages")
    if not isinstance(messages, list):
        raise fields.wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise fields.out_of_range("messages", "at least one message", "an empty array")
    return _nonempty("messages", encode("".join(map(_message, range(len(messages)), messages))))


def _message(index: int, message: object) -> str:
    """The text of one message."""
    place = f"messages[{index}]"
    if not isinstance(message, dict):
        raise fields.wrong_type(place, "an object", message)
    role = message.get("role")
    if role is None:
        raise fields.missing(f"{place}.role")
    if role not in ROLES:
        raise fields.out_of_range(f"{place}.role", f"one of {', '.join(ROLES)}", repr(role))
    content = message.get("content")
    if content is None and role == "assistant":
        return ""
    if content is None:
        raise fields.missing(f"{place}.content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise fields.wrong_type(f"{place}.content", "a string or an array of text parts", content)
    parts = []
    for number, part in enumerate(content):
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise ApiError(
                f"Invalid value for '{place}.content[{number}]': only text parts are supported, "
                'such as {"type": "text", "text": "1+2="}.',
                param=f"{place}.content[{number}]",
                code="invalid_value",
            )
        parts.append(text)
    return "".join(parts)


def _prompts(body: RequestFields, vocabulary: int) -> list[tuple[int, ...]]:
    """The prompts of a completion: a text, token ids, or an array of either."""
    value = body.get("prompt")
    if value is None:
        raise fields.missing("prompt")
    wanted = "a string, an array of strings, or an array of token ids"
    several = isinstance(value, list) and any(isinstance(item, str | list) for item in value)
    prompts = []
    for item in value if several else [value]:
        if isinstance(item, str):
            tokens = encode(item)
        elif isinstance(item, list) and all(type(token) is int for token in item):
            tokens = item
        else:
            raise fields.wrong_type("prompt", wanted, item)
        if any(not 0 <= token < vocabulary for token in tokens):
            raise fields.out_of_range("prompt", f"token ids from 0 to {vocabulary - 1}", "another")
        prompts.append(_nonempty("prompt", tokens))
    return prompts


def _nonempty(name: str, tokens: list[int]) -> tuple[int, ...]:
    if not tokens:
        raise fields.out_of_range(name, "at least one token", "none")
    return tuple(tokens)


def _limit(body: RequestFields, *, chat: bool) -> tuple[str, int | None]:
    """Which field limits the output, and to how many tokens; None where none was sent."""
    name = "max_tokens"
    if chat and body.get("max_completion_tokens") is not None:
        name = "max_completion_tokens"
    return name, fields.integer(body, name, None, 1, 2**31 - 1)


def _max_tokens(
    prompt: tuple[int, ...], limit: tuple[str, int | None], offer: ServedModel, *, chat: bool
) -> int:
    """How many tokens may be generated after `prompt`."""
    name, asked = limit
    room = offer.context_tokens - len(prompt)
    if asked is None and room > 0:
        return room if chat else min(room, DEFAULT_COMPLETION_TOKENS)
    if room < 1 or (asked is not None and asked > room):
        requested = f" and {asked} more were requested by '{name}'" if asked else ""
        raise ApiError(
            f"This model's maximum context length is {offer.context_tokens} tokens, but the prompt "
            f"has {len(prompt)}{requested}. Shorten the prompt or lower '{name}'.",
            param="messages" if chat else "prompt",
            code="context_length_exceeded",
        )
    return room if asked is None else asked


def _chat_logprobs(body: RequestFields) -> int | None:
    """How many alternatives a token is reported with; None where not asked for."""
    wanted = fields.boolean(body, "logprobs")
    top = fields.integer(body, "top_logprobs", None, 0, 20)
    if top is not None and not wanted:
        raise ApiError(
            "'top_logprobs' is only allowed when 'logprobs' is true.",
            param="top_logprobs",
            code="invalid_value",
        )
    return (top or 0) if wanted else None


def _completion_logprobs(body: RequestFields) -> int | None:
    if body.get("logprobs") is False:
        return None
    return fields.integer(body, "logprobs", None, 0, 5)


def _include_usage(body: RequestFields, stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise fields.wrong_type("stream_options", "an object", options)
    if not stream:
        raise ApiError(
            "'stream_options' is only allowed when 'stream' is true.",
            param="stream_options",
            code="invalid_value",
        )
    return fields.boolean(options, "include_usage")
