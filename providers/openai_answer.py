"""Answers of OpenAI's protocol: a 2xx body becomes a SampleResponse, whatever is odd about it.

An answer whose money or text can be read is kept; what cannot be read is named, and the body kept
beside it. An error inside a 200 is raised as its own status would be. The usual shape is decoded
straight into structs; any other goes through tolerant.py and is picked apart field by field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from budgets.dialects import read_usage, whole
from providers.errors import BadResponse
from providers.finish import REFUSED, finish_of, word_of
from providers.refusals import Asked, refusal_inside, status_of
from providers.said import error_in
from providers.sample import Choice, SampleRequest, SampleResponse
from providers.stops import cut_at_stops
from providers.tolerant import Unreadable, read_json

KEPT_HEADERS = ("x-ratelimit-", "anthropic-ratelimit-", "retry-after", "x-litellm-response-cost")


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None


class _Choice(msgspec.Struct):
    index: int | None = None
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    error: Any = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    model: str | None = None
    id: str | None = None
    error: Any = None
    service_tier: Any = None


_decoder = msgspec.json.Decoder(_Answer)


def read_response(
    body: bytes, request: SampleRequest, headers: Mapping[str, str], asked: Asked
) -> SampleResponse:
    """The SampleResponse that a 2xx answer stands for; raises ProviderError if it has no choice."""
    try:
        answer, odd = _decoder.decode(body), ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer, odd = _picked(body, asked)
    if answer.error or not answer.choices:
        _raise_inside(body, answer, request, headers, asked)
    choices = [_choice(choice) for choice in answer.choices or ()]
    if request.stop:
        choices = [cut_at_stops(choice, request) for choice in choices]
    kept, surplus, missing = _sorted_out(choices, request.n)
    return _response(answer, body, request, headers, odd, kept, surplus, missing)


def _response(
    answer: _Answer, body: bytes, request: SampleRequest, headers: Mapping[str, str], odd: str,
    kept: tuple[Choice, ...] = (), surplus: tuple[Choice, ...] = (), missing: tuple[int, ...] = (),
) -> SampleResponse:  # fmt: skip
    spoken = sum(1 for choice in (*kept, *surplus) if choice.text)
    tier = {"service_tier": answer.service_tier} if answer.service_tier else None
    reported = read_usage(answer.usage, tier, said=spoken, headers=headers)
    usage = reported.usage
    if usage is not None and len(kept) == 1 and not surplus:
        kept = (msgspec.structs.replace(kept[0], output_tokens=usage.output_tokens),)
    if reported.unread:
        odd = "; ".join(part for part in (odd, ", ".join(reported.unread)) if part)
    return SampleResponse(
        choices=kept,
        usage=usage,
        usage_raw=answer.usage,
        model=answer.model or request.model,
        request_id=answer.id or "",
        headers=limit_headers(headers),
        missing=missing,
        surplus=surplus,
        reported=reported,
        odd=odd,
        body=body if odd else b"",
    )


def _raise_inside(
    body: bytes, answer: _Answer, request: SampleRequest, headers: Mapping[str, str], asked: Asked
) -> None:
    """Raise for an answer without a choice, or with an error; return where its choices count."""
    try:
        document, _ = read_json(body)
    except Unreadable:
        document = None
    error = error_in(document)
    if error is not None and not answer.choices and not _billed(answer.usage):
        raise refusal_inside(error, headers, asked)
    if error is not None and answer.choices and any(map(_written, answer.choices)):
        # It broke off after it had begun to write: what it wrote is its choices' own affair.
        for choice in answer.choices:
            choice.error = choice.error or error
        return
    if error is not None and not _billed(answer.usage):
        raise refusal_inside(error, headers, asked)
    kept = _response(answer, body, request, headers, "no choice")
    raise BadResponse(
        f"{asked.where} answered without a single choice", sent="maybe_billed", body=body,
        answer=kept,
    )  # fmt: skip


def _billed(usage: Any) -> bool:
    reported = read_usage(usage)
    return bool(reported.usage and reported.usage.output_tokens) or bool(reported.pico)


def _written(choice: _Choice) -> bool:
    return bool(choice.text or (choice.message and choice.message.content))


def _choice(choice: _Choice) -> Choice:
    message = choice.message
    text = choice.text if message is None else message.content
    raw, meaning = choice.finish_reason or "", finish_of(choice.finish_reason or "")
    if not text and message is not None and message.refusal:
        text, meaning = message.refusal, "content_filter"
    refused = False
    if choice.error:
        raw, meaning = raw or "error", "broken"
        refused = status_of(choice.error) in (429, 503, 529)
    elif meaning == "broken":
        refused = raw.lower() in REFUSED
    return Choice(
        index=-1 if choice.index is None else choice.index,
        text=text or "",
        finish_reason=meaning,
        logprobs=choice.logprobs,
        finish_raw=raw,
        refused=refused and not text,
        thought=message is not None and bool(message.reasoning_content or message.reasoning),
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
            msgspec.structs.replace(choice, index=place) for place, choice in enumerate(choices)
        ]
        indices = set(range(len(choices)))
    choices = sorted(choices, key=lambda choice: choice.index)
    kept = tuple(c for c in choices if c.index < n)
    surplus = tuple(c for c in choices if c.index >= n)
    return kept, surplus, tuple(i for i in range(n) if i not in indices)


# What is not of the usual shape.


def _picked(body: bytes, asked: Asked) -> tuple[_Answer, str]:
    """The answer field by field, and what was odd; raises BadResponse."""
    try:
        document, mended = read_json(body)
    except Unreadable as error:
        page = bool(body.strip()) and body.lstrip()[:1] not in (b"{", b"[", b"d", b"\xef")
        raise BadResponse(
            f"{asked.where} answered with something else than a completion: {error}",
            sent="maybe_billed", body=body, of_a_model=not page,
        ) from None  # fmt: skip
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, Mapping):
        raise BadResponse(
            f"{asked.where} answered with something else than a completion: no JSON object",
            sent="maybe_billed", body=body,
        )  # fmt: skip
    odd = list(mended)
    raw = document.get("choices")
    if isinstance(raw, Mapping):
        raw = [raw]
    choices = [_picked_choice(one, odd) for one in raw] if isinstance(raw, Sequence) and not (
        isinstance(raw, str)) else None  # fmt: skip
    if choices is None and raw is not None:
        odd.append("choices")
    return _Answer(
        choices=choices,
        usage=document.get("usage"),
        model=_text(document, "model", odd),
        id=_text(document, "id", odd),
        error=document.get("error"),
        service_tier=document.get("service_tier"),
    ), "; ".join(dict.fromkeys(odd))


def _picked_choice(raw: Any, odd: list[str]) -> _Choice:
    if not isinstance(raw, Mapping):
        if not isinstance(raw, str):
            odd.append("a choice")
        return _Choice(text=raw if isinstance(raw, str) else None, finish_reason="error"
                       if not isinstance(raw, str) else None)  # fmt: skip
    message = raw.get("message") or raw.get("delta")
    text = _said(raw.get("text"), odd)
    made = _Message(content=_said(message, odd)) if isinstance(message, str) else None
    if isinstance(message, Mapping):
        content = message.get("content")
        made = _Message(
            content=_said(content, odd),
            refusal=_text(message, "refusal", odd),
            reasoning_content=message.get("reasoning_content") or message.get("reasoning"),
        )
    elif message is not None and made is None:
        odd.append("message")
    index = raw.get("index")
    return _Choice(
        index=whole(index),
        message=made,
        text=text,
        finish_reason=word_of(raw.get("finish_reason")) or None,
        logprobs=raw.get("logprobs"),
        error=raw.get("error"),
    )


def _said(content: Any, odd: list[str]) -> str | None:
    """The text of a content that is a text, a part, or a list of parts."""
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type") in (None, "text", "output_text"):
            text = part.get("text")
            texts.append(text if isinstance(text, str) else "")
            if not isinstance(text, str):
                odd.append("a part of the content")
        elif not isinstance(part, Mapping):
            odd.append("a part of the content")
    return "".join(texts)


def _text(holder: Mapping[str, Any], name: str, odd: list[str]) -> str | None:
    value = holder.get(name)
    if value is None or isinstance(value, str):
        return value
    odd.append(name)
    return str(value) if isinstance(value, int) else None


def limit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of headers with names in lower case, those that speak of limits or of money."""
    return {name: value for name, value in headers.items() if name.startswith(KEPT_HEADERS)}
