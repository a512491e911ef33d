"""What errors mean, in the words of the servers that say them: one row each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers import errors
from providers.finish import WORDS, finish_of
from providers.refusals import Asked, refusal, refusal_inside
from providers.said import error_in, read_error

ASKED = Asked("vllm", "host", None, None, "m", "/chat/completions")


def said(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


ROWS: list[tuple[int, Any, type[errors.ProviderError], str]] = [
    (400, said("This model's maximum context length is 64 tokens.", code=400),
     errors.InvalidRequest, "`max_tokens`"),
    (400, said("API key not valid.", status="INVALID_ARGUMENT"), errors.AuthFailed, "key"),
    (401, {"detail": "Unauthorized"}, errors.AuthFailed, "api_key_env"),
    (402, said("Insufficient Balance"), errors.NoCredit, "no credit"),
    (403, said("Your input was flagged by our moderation system"), errors.InvalidRequest,
     "flagged"),
    (403, said("Country, region, or territory not supported",
               code="unsupported_country_region_territory"), errors.Forbidden, "whatever the key"),
    (404, {"detail": "Not Found"}, errors.UnknownModel, "/v1"),
    (404, said("The model `x` does not exist.", type="NotFoundError", code=404),
     errors.UnknownModel, "does not serve"),
    (404, said("This is a chat model and not supported in the v1/completions endpoint."),
     errors.UnknownModel, "`prompt_style` chat"),
    (405, {"detail": "Method Not Allowed"}, errors.UnknownModel, "/v1"),
    (413, said("Request too large for model `m`: Limit 6000, Requested 7000"),
     errors.InvalidRequest, "Request too large"),
    (429, said("Rate limit reached. Limit 30000, Used 29000, Requested 2000. Please try again in"
               " 2.5s."), errors.RateLimited, "try again"),
    (429, said("Request too large on tokens per min: Limit 30000, Requested 41234."),
     errors.InvalidRequest, "Limit"),
    (429, said("Rate limit reached for requests per day. Please try again in 8m24s"),
     errors.RateLimited, "day"),
    (429, said("You exceeded your daily quota."), errors.NoCredit, "daily"),
    (429, said("You exceeded your current quota", code="insufficient_quota"),
     errors.NoCredit, "quota"),
    (429, {"message": "Too many", "__type": "ThrottlingException"}, errors.RateLimited, "Too"),
    (500, {"error": "model requires more memory"}, errors.Overloaded, "memory"),
    (503, [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}}],
     errors.Overloaded, "overloaded"),
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
     errors.Overloaded, "Overloaded"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "words"), ROWS)
def test_a_refusal_is_what_it_says(
    status: int, body: Any, kind: type[errors.ProviderError], words: str
) -> None:
    error = refusal(status, {}, json.dumps(body).encode(), ASKED)
    assert type(error) is kind, error
    assert words in str(error)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 402, "message": "Insufficient credits"}}, errors.NoCredit),
        ({"object": "error", "message": "nope", "type": "x", "code": 429}, errors.RateLimited),
        ({"error": {"code": "429", "message": "slow"}}, errors.RateLimited),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
         errors.NoCredit),
        ({"code": "Arrearage", "message": "Access denied"}, errors.NoCredit),
        ({"success": False, "errors": [{"message": "overloaded", "code": 503}]},
         errors.Overloaded),
        ({"error": "something broke"}, errors.Overloaded),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}],
          "code": 422}, errors.InvalidRequest),
    ],
)  # fmt: skip
def test_an_error_inside_a_200(body: Any, kind: type[errors.ProviderError]) -> None:
    error = refusal_inside(error_in(body), {}, ASKED)
    assert type(error) is kind, error
    held = error.sent == "maybe_billed"
    assert held == (body == {"error": "something broke"})


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
         "'max_completion_tokens' instead.", "max_tokens"),
        ("Unrecognized request argument supplied: seed", "seed"),
        ('Invalid JSON payload received. Unknown name "seed": Cannot find field.', "seed"),
        ("seed: Extra inputs are not permitted", "seed"),
        ("n must be 1 when using greedy sampling, got 4.", "n"),
        ("Unsupported value: 'temperature' does not support 0.5 with this model.", ""),
        ("max_tokens is too large: 9000", ""),
    ],
)  # fmt: skip
def test_a_field_refused_by_name(message: str, field: str) -> None:
    error = refusal(400, {}, json.dumps(said(message)).encode(), ASKED)
    assert isinstance(error, errors.InvalidRequest) and error.field == field


def test_a_wait_in_words_is_a_wait() -> None:
    for text, seconds in (
        ("Please try again in 20s.", 20.0), ("try again in 6m0s", 360.0),
        ("Please retry after 3 seconds", 3.0), ("try again in 120ms", 0.12),
    ):  # fmt: skip
        assert read_error(json.dumps(said(text)).encode()).wait_s == pytest.approx(seconds)
    google = said("quota", details=[{"@type": "RetryInfo", "retryDelay": "34s"}])
    assert read_error(json.dumps(google).encode()).wait_s == 34.0


def test_every_word_for_an_end_means_one_thing() -> None:
    words = [word for group in WORDS.values() for word in group]
    assert len(words) == len(set(words))
    for raw, meaning in (
        ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("end_turn", "stop"),
        ("insufficient_system_resource", "broken"), ("error", "broken"), ("abort", "broken"),
        ("FINISH_REASON_STOP", "stop"), ("content-filter", "content_filter"), ("", "other"),
    ):  # fmt: skip
        assert finish_of(raw) == meaning
