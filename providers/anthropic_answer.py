"""Answers of Anthropic's messages API: a 2xx body becomes a SampleResponse, whatever is odd.

As openai_answer.py: what can be read is kept, the rest is named and the body kept beside it, and an
error inside a 200 is raised as its own status would be. There is one choice per answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from budgets.dialects import read_usage
from providers import openai_answer
from providers.errors import BadResponse
from providers.finish import finish_of, word_of
from providers.foreign import answer_in
from providers.openai_answer import limit_headers
from providers.parts import content_of
from providers.refusals import Asked, refusal_inside
from providers.said import error_in
from providers.sample import Choice, SampleRequest, SampleResponse
from providers.tolerant import Unreadable, read_json


def read_response(
    body: bytes, request: SampleRequest, headers: Mapping[str, str], asked: Asked
) -> SampleResponse:
    """The SampleResponse that a 2xx answer stands for; raises ProviderError if it has no text."""
    try:
        document, mended = read_json(body)
    except Unreadable as broken:
        page = bool(body.strip()) and body.lstrip()[:1] not in (b"{", b"[", b"e", b"d", b"\xef")
        raise BadResponse(
            f"{asked.where} answered with something else than a message: {broken}",
            sent="maybe_billed", body=body, of_a_model=not page,
        ) from None  # fmt: skip
    odd = list(mended)
    answer = document if isinstance(document, Mapping) else {}
    content = answer.get("content")
    text = content_of(content, odd) or ""
    if content is None and (error := error_in(document)) is not None:
        raise refusal_inside(error, headers, asked)
    if content is None and answer_in(document) is not None:
        # A gateway's own protocol, or a message in its wrapping.
        return openai_answer.read_response(body, request, headers, asked)
    reported = read_usage(answer.get("usage"), answer, said=int(bool(text)), headers=headers)
    odd += reported.unread
    raw = word_of(answer.get("stop_reason"))
    meaning = finish_of(raw)
    if answer.get("error"):
        raw, meaning = raw or "error", "broken"
    choice = Choice(
        index=0,
        text=text,
        finish_reason=meaning,
        output_tokens=reported.usage.output_tokens if reported.usage is not None else None,
        finish_raw=raw,
        thought=_thought(content),
    )
    response = SampleResponse(
        choices=() if content is None else (choice,),
        usage=reported.usage,
        usage_raw=answer.get("usage"),
        model=_text(answer, "model", odd) or request.model,
        request_id=_text(answer, "id", odd) or "",
        headers=limit_headers(headers),
        reported=reported,
        odd="; ".join(dict.fromkeys(odd)),
        body=body if odd else b"",
    )
    if content is None:
        raise BadResponse(
            f"{asked.where} answered without any content", sent="maybe_billed", body=body,
            answer=response,
        )  # fmt: skip
    return response


def _thought(content: Any) -> bool:
    """Whether the model reasoned beside its text."""
    blocks = content if isinstance(content, list) else [content]
    return any(isinstance(one, Mapping) and "thinking" in str(one.get("type")) for one in blocks)


def _text(answer: Mapping[str, Any], name: str, odd: list[str]) -> str | None:
    value = answer.get(name)
    if value is None or isinstance(value, str):
        return value
    odd.append(name)
    return None
