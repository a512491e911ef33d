"""Whatever bytes and headers a server answers with: a sample, or one error that keeps what came.

ORCH_FUZZ says how many mutated answers each kind is tried with (docs/reliability.md).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from budgets.charge import charge
from budgets.headers import parse_retry_after, read_limits
from budgets.price_book import PriceBook
from providers.anthropic_answer import read_response as read_message
from providers.errors import BadResponse, ProviderError
from providers.laned import model_cards
from providers.lenient import read_lenient
from providers.load import read_load
from providers.openai_answer import read_response as read_chat
from providers.refusals import Asked, refusal
from providers.sample import SampleRequest, SampleResponse
from tests.mutated import mutated

ROUNDS = int(os.environ.get("ORCH_FUZZ", "150"))
ASKED = Asked("openai", "api.example", None, "OPENAI_API_KEY", "m", "/chat/completions", 443)
CHAT = SampleRequest("m", messages=({"role": "user", "content": "2+2?"},), n=2)
PRICE = PriceBook.load().find("gpt-4o-mini", "openai", datetime(2025, 6, 1, tzinfo=UTC))
BOUND = 10**15


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21,
         "prompt_tokens_details": {"cached_tokens": 2}, "cost": 0.0001}  # fmt: skip
ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "model": "m-1", "service_tier": "default",
    "choices": [
        {"index": i, "finish_reason": "stop", "logprobs": None,
         "message": {"role": "assistant", "content": "four", "refusal": None}}
        for i in range(2)
    ],
    "usage": USAGE,
}  # fmt: skip
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "c-1", "stop_reason":
    "end_turn", "content": [{"type": "text", "text": "four"}],
    "usage": {"input_tokens": 9, "cache_read_input_tokens": 0, "output_tokens": 12},
}  # fmt: skip
ERROR = {"error": {"message": "Rate limit reached for m. Please try again in 20s.", "type":
                   "requests", "param": None, "code": "rate_limit_exceeded"}}  # fmt: skip
GEMINI = {
    "candidates": [{"content": {"parts": [{"text": "4"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
}  # fmt: skip
PIECES = [
    {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "fo"}}]},
    {"choices": [{"index": 0, "delta": {"content": "ur"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": USAGE},
]
STREAM = b"".join(b"data: " + _json(piece) + b"\n\n" for piece in PIECES) + b"data: [DONE]\n\n"
CARDS = {"object": "list", "data": [{"id": "m", "owned_by": "vllm", "max_model_len": 4096}]}
METRICS = b"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{m=\"a\"} 3.0\n" \
    b"vllm:num_requests_waiting{m=\"a\"} 0.0\n"  # fmt: skip
HEADERS = (
    b"Retry-After: 20\nx-ratelimit-limit-requests: 60\nx-ratelimit-remaining-requests: 3\n"
    b"x-ratelimit-reset-requests: 1m12s\nRetry-After-Ms: 250\nx-litellm-response-cost: 0.0003\n"
    b"anthropic-ratelimit-tokens-reset: 2025-06-01T00:00:00Z\nDate: Tue, 15 Nov 1994 08:12:31 GMT\n"
)


def headers_in(content: bytes) -> dict[str, str]:
    """Header lines as a client hands them on: names in lower case, values without their ends."""
    lines = (line.partition(":") for line in content.decode("latin-1").split("\n"))
    return {name.strip().lower(): value.strip() for name, _, value in lines if name.strip()}


def chat(body: bytes, headers: dict[str, str]) -> SampleResponse:
    return read_chat(body, CHAT, headers, ASKED)


def message(body: bytes, headers: dict[str, str]) -> SampleResponse:
    return read_message(body, CHAT, headers, ASKED)


def refused(body: bytes, headers: dict[str, str]) -> None:
    raise refusal(429, headers, body, ASKED)


def broken(body: bytes, headers: dict[str, str]) -> None:
    raise refusal(500, headers, body, ASKED)


def cards(body: bytes, headers: dict[str, str]) -> object:
    return model_cards(body, "api.example")


def load(body: bytes, headers: dict[str, str]) -> object:
    return read_load(body.decode("utf-8", "replace"))


KINDS: dict[str, tuple[bytes, Callable[[bytes, dict[str, str]], object]]] = {
    "answer": (_json(ANSWER), chat),
    "stream": (STREAM, chat),
    "another protocol": (_json(GEMINI), chat),
    "an error as an answer": (_json(ERROR), chat),
    "message": (_json(MESSAGE), message),
    "refusal": (_json(ERROR), refused),
    "broken": (_json(ERROR), broken),
    "models": (_json(CARDS), cards),
    "metrics": (METRICS, load),
}


def look(response: object) -> None:
    """What may be counted on of an answer that was read."""
    if not isinstance(response, SampleResponse):
        return
    assert response.choices
    for choice in response.choices:
        assert isinstance(choice.text, str)
    charged = charge(PRICE, response.reported, BOUND)
    assert charged.settled is None or charged.settled >= 0
    assert charged.held >= 0


@pytest.mark.parametrize("kind", KINDS)
def test_any_answer_is_a_sample_or_one_error(kind: str) -> None:
    seed, read = KINDS[kind]
    for number in range(ROUNDS):
        rng = random.Random(f"{kind} {number}")
        body = mutated(seed, rng)
        headers = headers_in(mutated(HEADERS, rng) if number % 2 else HEADERS)
        try:
            look(read(body, headers))
        except ProviderError as error:
            assert str(error).strip(), (number, body)
            if isinstance(error, BadResponse) and read in (chat, message):
                assert error.body == body or error.sent == "maybe_billed", (number, body)
        except Exception as error:
            pytest.fail(f"{kind} {number}: {error!r} from {body[:300]!r} and {headers}")


def test_any_headers_are_waits_and_limits_that_end() -> None:
    for number in range(ROUNDS):
        headers = headers_in(mutated(HEADERS, random.Random(f"headers {number}")))
        wait = parse_retry_after(headers)
        assert wait is None or 0 <= wait < 10**9, (number, headers)
        for reading in read_limits(headers):
            assert reading.period_s >= 0


def test_a_string_that_is_never_closed_takes_no_time() -> None:
    begun = STREAM[:30] + b'{"choices": [{"text": "' + b"x" * 70_000
    for body in (b'{"choices": [{"text": "' + b"x" * 70_000, b'{"a": \'' + b"y" * 500, begun):
        with pytest.raises(ProviderError):
            look(message(body, {}))


def test_escapes_are_read_in_pairs() -> None:
    ends_so = {"a": 'x"y\\', "b": "\\\\n", "c": "\n"}
    assert read_lenient(json.dumps(ends_so)[:-1] + ",}").document == ends_so
    assert read_lenient(r"""{"a": "\d\\", 'b': 'it\'s'}""").document == {"a": "\\d\\", "b": "it's"}
