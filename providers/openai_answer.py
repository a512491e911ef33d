"""Answers of OpenAI's protocol: a 2xx body becomes a SampleResponse, whatever is odd about it.

An answer whose money or text can be read is kept; what cannot be read is named, and the body kept
beside it (openai_shape.py reads it). An error inside a 200 is raised as its own status would be.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from budgets.dialects import Reported, read_usage
from providers.errors import BadResponse
from providers.finish import REFUSED, finish_of
from providers.openai_shape import RawAnswer, RawChoice, decode
from providers.refusals import Asked, refusal_inside, status_of
from providers.said import means_error
from providers.sample import Choice, FinishReason, SampleRequest, SampleResponse
from providers.stops import cut_at_stops

KEPT_HEADERS = ("x-ratelimit-", "anthropic-ratelimit-", "retry-after", "x-litellm-response-cost",
                "x-queue-time")  # fmt: skip


def read_response(
    body: bytes, request: SampleRequest, headers: Mapping[str, str], asked: Asked
) -> SampleResponse:
    """The SampleResponse that a 2xx answer stands for; raises ProviderError if it has no choice."""
    answer, odd = decode(body, asked)
    if answer.error is not None or not answer.choices:
        _raise_inside(body, answer, request, headers, asked)
    ordinary = _ordinary(answer, request)
    if ordinary is not None:
        return _response(answer, body, request, headers, odd, ordinary)
    choices = [_choice(choice) for choice in answer.choices or ()]
    if all(choice.refused for choice in choices) and not _billed(answer, headers):
        # Each was refused before a word was written: the answer is a refusal as a whole.
        first = (answer.choices or [RawChoice()])[0]
        raise refusal_inside(first.error or {"code": first.finish_reason}, headers, asked)
    choices = _with_the_lost(choices, request.n)
    if request.stop:
        choices = [cut_at_stops(choice, request) for choice in choices]
    kept, surplus, missing = _sorted_out(choices, request.n)
    return _response(answer, body, request, headers, odd, kept, surplus, missing)


def _response(
    answer: RawAnswer, body: bytes, request: SampleRequest, headers: Mapping[str, str], odd: str,
    kept: tuple[Choice, ...] = (), surplus: tuple[Choice, ...] = (), missing: tuple[int, ...] = (),
) -> SampleResponse:  # fmt: skip
    spoken = [choice for choice in (*kept, *surplus) if choice.text]
    reported = _reported(answer, headers, len(spoken))
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
        request_id=(answer.id or "")[:MOST_ID],
        headers=limit_headers(headers),
        missing=missing,
        surplus=surplus,
        reported=reported,
        odd=odd,
        body=body if odd else b"",
    )


MOST_ID = 512
"""Characters of a request's id that are kept."""


def _reported(answer: RawAnswer, headers: Mapping[str, str], spoken: int = 0) -> Reported:
    beside, model = None, answer.model
    gemini = model is not None and "gemini" in model
    if answer.service_tier is not None or answer.cost is not None or gemini:
        beside = {"service_tier": answer.service_tier, "cost": answer.cost, "model": model}
    return read_usage(answer.usage, beside, said=spoken, headers=headers)


def _raise_inside(
    body: bytes, answer: RawAnswer, request: SampleRequest, headers: Mapping[str, str],
    asked: Asked,
) -> None:  # fmt: skip
    """Raise for an answer without a choice, or with an error; return where its choices count."""
    error = answer.error
    if error is not None and answer.choices and any(choice.said for choice in answer.choices):
        # It broke off after it had begun to write: what it wrote is its choices' own affair.
        for choice in answer.choices:
            choice.error = choice.error or error
        return
    if error is not None and not _billed(answer, headers):
        raise refusal_inside(error, headers, asked)
    kept = _response(answer, body, request, headers, "no choice")
    raise BadResponse(
        f"{asked.where} answered without a single choice", sent="maybe_billed", body=body,
        answer=kept,
    )  # fmt: skip


def _billed(answer: RawAnswer, headers: Mapping[str, str]) -> bool:
    reported = _reported(answer, headers)
    return bool(reported.usage and reported.usage.output_tokens) or bool(reported.pico)


USUAL_ENDS: Mapping[str | None, FinishReason] = {"stop": "stop", "length": "length"}


def _ordinary(answer: RawAnswer, request: SampleRequest) -> tuple[Choice, ...] | None:
    """The choices of an answer about which nothing is to be decided; None for any other.

    All that were asked for are there, each in its place, with a text and one of the two usual words
    for its end. So none is refused, broken, lost, surplus or to be cut: `_choice`,
    `_with_the_lost` and `_sorted_out` would give the same, which a test holds them to.
    """
    raws = answer.choices
    if raws is None or len(raws) != request.n or request.stop or answer.error is not None:
        return None
    choices = []
    for place, raw in enumerate(raws):
        meaning, text, message = USUAL_ENDS.get(raw.finish_reason), raw.said, raw.message
        if meaning is None or not text or raw.index != place:
            return None
        if raw.error is not None or raw.native_finish_reason:
            return None
        thought = message is not None and bool(message.reasoning_content or message.reasoning)
        choices.append(
            Choice(
                index=place,
                text=text,
                finish_reason=meaning,
                logprobs=raw.logprobs,
                finish_raw=meaning,
                thought=thought,
            )
        )
    return tuple(choices)


def _choice(choice: RawChoice) -> Choice:
    message, text = choice.message, choice.said
    raw, meaning = choice.finish_reason or "", finish_of(choice.finish_reason or "")
    if choice.native_finish_reason and finish_of(choice.native_finish_reason) == "broken":
        raw, meaning = choice.native_finish_reason, "broken"
    if not text and message is not None and message.refusal:
        text, meaning = message.refusal, "content_filter"
    refused = False
    if choice.error is not None and means_error(choice.error):
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


CUT = frozenset({"cut off", "aborted"})
"""Our own words for a choice that came in half."""


def _with_the_lost(choices: list[Choice], n: int) -> list[Choice]:
    """Of an answer that was cut, also the choices that did not come: they were drawn as well."""
    if len(choices) >= n or not any(choice.finish_raw in CUT for choice in choices):
        return choices
    there = {choice.index for choice in choices}
    return choices + [
        Choice(index=index, text="", finish_reason="broken", finish_raw="cut off")
        for index in range(n) if index not in there
    ]  # fmt: skip


def _sorted_out(
    choices: list[Choice], n: int
) -> tuple[tuple[Choice, ...], tuple[Choice, ...], tuple[int, ...]]:
    """Kept, surplus and missing; choices whose indices say nothing are numbered as they came."""
    if len(choices) == n == 1 and choices[0].index == 0:
        return (choices[0],), (), ()
    indices = {choice.index for choice in choices}
    beyond = max(indices) >= n >= len(choices)
    if len(indices) != len(choices) or min(indices) < 0 or beyond:
        choices = [
            msgspec.structs.replace(choice, index=place) for place, choice in enumerate(choices)
        ]
        indices = set(range(len(choices)))
    choices = sorted(choices, key=lambda choice: choice.index)
    kept = tuple(c for c in choices if c.index < n)
    surplus = tuple(c for c in choices if c.index >= n)
    return kept, surplus, tuple(i for i in range(n) if i not in indices)


def limit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of headers with names in lower case, those that speak of limits or of money."""
    return {name: value for name, value in headers.items() if name.startswith(KEPT_HEADERS)}
