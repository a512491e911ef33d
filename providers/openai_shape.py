"""The shape of an answer of OpenAI's protocol: decoded at once where it is usual, else by field.

`decode` gives what an answer holds and names what was odd about it. The usual shape is decoded
straight into structs. Any other is read as far as it can be (tolerant.py), put into this protocol's
shape where it is another's (foreign.py), and picked apart field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from budgets.dialects import whole
from providers.errors import BadResponse
from providers.finish import error_of, finish_of, word_of
from providers.foreign import TEXTS, WRAPPERS, answer_in, finish_in
from providers.parts import content_of, refusal_in
from providers.refusals import Asked
from providers.said import error_in
from providers.tolerant import Unreadable, read_cut


class RawMessage(msgspec.Struct):
    """What a chat choice says."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None


class RawChoice(msgspec.Struct):
    """One choice as it came."""

    index: int | None = None
    message: RawMessage | None = None
    text: str | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    logprobs: Any = None
    error: Any = None

    @property
    def said(self) -> str | None:
        """Its text, wherever it stands."""
        content = None if self.message is None else self.message.content
        return self.text if content is None else content


class RawAnswer(msgspec.Struct):
    """An answer as it came."""

    choices: list[RawChoice] | None = None
    usage: Any = None
    model: str | None = None
    id: str | None = None
    error: Any = None
    service_tier: Any = None
    cost: Any = None


HOLDING = frozenset({"choices", "candidates", "message", *WRAPPERS, *TEXTS})
"""Members that hold what a model wrote: an answer that breaks off in one is not whole."""

CHOICE_TEXTS = ("text", "content", "tokens", "generated_text", "generation", "output_text",
                "response", "output")  # fmt: skip
"""Where a choice says its text beside a message: completions, RunPod, TGI and others."""
SILENT = frozenset({"message", "delta", "messages", *CHOICE_TEXTS})
"""Members whose emptiness means that the model said nothing."""

WITH_TEXT = frozenset({"stop", "length", "other"})
"""Ends that have something before them."""

_decoder = msgspec.json.Decoder(RawAnswer)


def decode(body: bytes, asked: Asked) -> tuple[RawAnswer, str]:
    """The answer in the body of a 2xx, and what was odd; raises BadResponse for what holds none."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _picked(body, asked)
    return (answer, "") if _usual(answer) else _picked(body, asked)


def _usual(answer: RawAnswer) -> bool:
    """Whether nothing of an answer can stand anywhere else."""
    if not answer.choices or answer.error is not None or type(answer.usage) is not dict:
        return False
    return not [one for one in answer.choices if not one.finish_reason or one.said is None]


def _picked(body: bytes, asked: Asked) -> tuple[RawAnswer, str]:
    try:
        document, mended, cut = read_cut(body)
    except Unreadable as why:
        raise BadResponse(
            f"{asked.where} answered with something else than a completion: {why}",
            sent="maybe_billed", body=body, of_a_model=of_a_model(body),
        ) from None  # fmt: skip
    if isinstance(document, str) and document.lstrip()[:1] == "{":
        return _picked(document.encode("utf-8", "surrogatepass"), asked)
    found = answer_in(document)
    error = error_in(document)
    if found is None and not isinstance(document, Mapping | list):
        raise BadResponse(
            f"{asked.where} answered with something else than a completion: no JSON object",
            sent="maybe_billed", body=body,
        )  # fmt: skip
    odd = list(mended)
    held = found or (document if isinstance(document, Mapping) else {})
    choices = None if found is None else [_choice(one, odd) for one in found["choices"]]
    if choices is None and held.get("choices") is not None:
        odd.append("choices")
    if cut in HOLDING:
        # Of choices that are not all whole none is kept: the short ones would be left over.
        for choice in choices or ():
            choice.finish_reason, choice.error = "cut off", choice.error or "the answer is cut off"
    return RawAnswer(
        choices=choices,
        usage=None if cut in HOLDING or (cut and "usage" in cut.lower()) else held.get("usage"),
        model=_text(held, "model", odd),
        id=_text(held, "id", odd),
        error=error,
        service_tier=held.get("service_tier"),
        cost=held.get("cost"),
    ), "; ".join(dict.fromkeys(odd))


def of_a_model(body: bytes) -> bool:
    """Whether what cannot be read may be what a model wrote; else it is a page of a gateway."""
    start = body.strip(b"\0 \r\n\t\xef\xbb\xbf")[:1]
    told = (b'"choices"', b"'choices'", b'"content"', b"data:")
    return not start or start in b"{[d:" or any(word in body for word in told)


def _choice(raw: Any, odd: list[str]) -> RawChoice:
    if not isinstance(raw, Mapping):
        if not isinstance(raw, str):
            odd.append("a choice")
        return RawChoice(text=raw if isinstance(raw, str) else None, finish_reason="error"
                         if not isinstance(raw, str) else None)  # fmt: skip
    message = raw.get("message") or raw.get("delta") or raw.get("messages")
    if isinstance(message, list) and message:
        message = message[-1]
    text = content_of(_beside_message(raw), odd)
    made = None
    if isinstance(message, Mapping):
        made = RawMessage(
            content=content_of(message.get("content", message.get("text")), odd),
            refusal=_text(message, "refusal", odd) or refusal_in(message.get("content")),
            reasoning_content=message.get("reasoning_content") or message.get("reasoning"),
        )
    elif isinstance(message, str):
        made = RawMessage(content=message)
    elif message is not None:
        odd.append("message")
    native, end = raw.get("native_finish_reason"), finish_in(raw)
    meaning = finish_of(word_of(end))
    if message is None and text is None and not raw.keys() & SILENT and meaning in WITH_TEXT:
        # What it says stands where nobody looks: it is no empty answer.
        odd.append("a choice")
        end = "error"
    return RawChoice(
        index=whole(raw.get("index")),
        message=made,
        text=text,
        finish_reason=word_of(end) or None,
        native_finish_reason=native if isinstance(native, str) else None,
        logprobs=raw.get("logprobs"),
        error=raw.get("error") or error_of(end),
    )


def _beside_message(raw: Mapping[str, Any]) -> Any:
    """What a choice says where it has no message; numbers of tokens are no text."""
    for name in CHOICE_TEXTS:
        said = raw.get(name)
        numbers = isinstance(said, list) and any(isinstance(one, int | float) for one in said)
        if said is not None and not numbers:
            return said
    return None


def _text(holder: Mapping[str, Any], name: str, odd: list[str]) -> str | None:
    value = holder.get(name)
    if value is None or isinstance(value, str):
        return value
    odd.append(name)
    return str(value) if isinstance(value, int) else None
