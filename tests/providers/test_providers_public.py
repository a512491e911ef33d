"""Answers and refusals as people report them of the servers in use: what is made of each.

The expectation stands beside each shape. What becomes of a run that meets such answers is tested
in tests/hostile; here one request's outcome is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from providers import errors
from providers.openai_answer import read_response
from providers.refusals import Asked, refusal
from providers.sample import SampleRequest, SampleResponse

ASKED = Asked("compatible", "host", None, None, "m", "/chat/completions")
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def chat(content: Any = "42", index: Any = 0, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    return {"index": index, "message": message, "finish_reason": finish, **more}


def answer(*choices: Any, usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": list(choices),
            "usage": usage, **more}  # fmt: skip


def stream(*events: Any, end: str = "data: [DONE]\n\n", lead: str = "data: ") -> bytes:
    return ("".join(f"{lead}{json.dumps(one)}\n\n" for one in events) + end).encode()


def piece(delta: Any = None, index: int = 0, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish, **more.pop("choice", {})}
    return {"id": "x", "model": "m", "choices": [choice], **more}


def read(body: Any, n: int = 1, headers: Mapping[str, str] | None = None) -> SampleResponse:
    request = SampleRequest("m", messages=({"role": "user", "content": "6*7?"},), n=n)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_response(raw, request, headers or {}, ASKED)


THOUGHT = {"reasoning_content": "hm", "tool_calls": [], "function_call": None}
LOGPROB = {"token": "4", "logprob": -9999.0, "bytes": None, "top_logprobs": []}

# Name, body, n, texts, meanings of the finish reasons, prompt and output tokens (None: no usage).
KEPT: list[tuple[str, Any, int, list[str], list[str], tuple[int, int] | None]] = [
    ("vLLM, thoughts beside", answer(chat(message=THOUGHT, stop_reason=None), usage={
        **USAGE, "prompt_tokens_details": None}), 1, ["42"], ["stop"], (10, 5)),
    ("vLLM, thoughts alone", answer(chat(None, message={"reasoning": "hm"}, finish="length")),
     1, [""], ["length"], (10, 5)),
    ("SGLang, matched stop", answer(chat(matched_stop=151645)), 1, ["42"], ["stop"], (10, 5)),
    ("SGLang, its own protocol", [{"text": "42", "meta_info": {
        "prompt_tokens": 10, "completion_tokens": 5, "finish_reason": {"type": "length",
        "length": 5}}}], 1, ["42"], ["length"], (10, 5)),
    ("llama.cpp, timings", answer(chat(), timings={"prompt_n": 1}, __verbose={"content": "no"}),
     1, ["42"], ["stop"], (10, 5)),
    ("LiteLLM, its own fields", answer(chat(message={"provider_specific_fields": {"x": None},
        "annotations": [], "images": None}), usage={**USAGE, "completion_tokens_details": {
        "reasoning_tokens": 3, "text_tokens": 2, "accepted_prediction_tokens": None}}),
     1, ["42"], ["stop"], (10, 5)),
    ("OpenRouter, details of thoughts", answer(chat(native_finish_reason="STOP", message={
        "refusal": None, "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}),
        provider="Z"), 1, ["42"], ["stop"], (10, 5)),
    ("Together, seed and eos", answer(chat(finish="eos", seed=7, logprobs={"tokens": ["4"],
        "token_logprobs": [None]}), prompt=[]), 1, ["42"], ["stop"], (10, 5)),
    ("Groq, usage in its own field", answer(chat(), usage=None, x_groq={"id": "r", "usage": USAGE}),
     1, ["42"], ["stop"], (10, 5)),
    ("Azure, filter without a message", answer({"index": 0, "finish_reason": "content_filter",
        "content_filter_results": {"violence": {"filtered": True}}}),
     1, [""], ["content_filter"], (10, 5)),
    ("Azure, filter's own error", answer(chat(content_filter_result={"error": {
        "code": "content_filter_error", "message": "could not be completed"}})),
     1, ["42"], ["stop"], (10, 5)),
    ("Bedrock's gateway, a tool", answer(chat("", finish="tool_calls", message={"tool_calls": [
        {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]})),
     1, [""], ["tool_calls"], (10, 5)),
    ("Mistral, thinking in parts", answer(chat([{"type": "thinking", "thinking": [
        {"type": "text", "text": "hm"}]}, {"type": "text", "text": "42"}])),
     1, ["42"], ["stop"], (10, 5)),
    ("content null", answer(chat(None)), 1, [""], ["stop"], (10, 5)),
    ("a part's text as a value", answer(chat([{"type": "text", "text": {
        "value": "42", "annotations": []}}])), 1, ["42"], ["stop"], (10, 5)),
    ("a part that refuses", answer(chat([{"type": "refusal", "refusal": "I will not."}])),
     1, ["I will not."], ["content_filter"], (10, 5)),
    ("more choices than asked for", answer(chat("1"), chat("2", 1), chat("3", 2)),
     2, ["1", "2"], ["stop", "stop"], (10, 5)),
    ("the same index twice", answer(chat("1"), chat("2")), 2, ["1", "2"], ["stop"] * 2, (10, 5)),
    ("indices from one", answer(chat("1", 1), chat("2", 2)), 2, ["1", "2"], ["stop"] * 2, (10, 5)),
    ("indices far off", answer(chat("1", 5), chat("2", 9)), 2, ["1", "2"], ["stop"] * 2, (10, 5)),
    ("one far off", answer(chat("1", 17)), 1, ["1"], ["stop"], (10, 5)),
    ("choices by number", {**answer(), "choices": {"0": chat("1"), "1": chat("2", 1)}},
     2, ["1", "2"], ["stop"] * 2, (10, 5)),
    ("logprobs of nothing", answer(chat(logprobs={"content": None, "refusal": None})),
     1, ["42"], ["stop"], (10, 5)),
    ("logprobs without end", answer(chat(logprobs={"content": [LOGPROB]})),
     1, ["42"], ["stop"], (10, 5)),
    ("usage at the end of a stream", stream(
        piece({"role": "assistant", "content": ""}), piece({"content": "4"}),
        piece({"content": "2"}), piece({}, finish="stop"), {"choices": None, "usage": USAGE}),
     1, ["42"], ["stop"], (10, 5)),
    ("usage in every piece, growing", stream(
        piece({"content": "4"}, usage={"prompt_tokens": 10, "completion_tokens": 1,
                                       "total_tokens": 11}),
        piece({"content": "2"}, finish="stop", usage=USAGE)), 1, ["42"], ["stop"], (10, 5)),
    ("usage in the last choice", stream(
        piece({"content": "42"}), piece({}, finish="stop", choice={"usage": USAGE})),
     1, ["42"], ["stop"], (10, 5)),
    ("usage in Groq's field of a stream", stream(
        piece({"content": "42"}), piece({}, finish="stop", x_groq={"id": "r", "usage": USAGE})),
     1, ["42"], ["stop"], (10, 5)),
    ("thoughts first in a stream", stream(
        piece({"role": "assistant", "reasoning_content": "h"}), piece({"reasoning_content": "m"}),
        piece({"content": "42"}), piece({}, finish="stop", usage=USAGE)),
     1, ["42"], ["stop"], (10, 5)),
    ("no end of a stream that is told", stream(
        piece({"content": "42"}), piece({}, finish="stop", usage=USAGE), end=""),
     1, ["42"], ["stop"], (10, 5)),
    ("remarks in a stream", b": OPENROUTER PROCESSING\n\nevent: ping\ndata: {}\n\n" + stream(
        piece({"content": "42"}, finish="stop", usage=USAGE)), 1, ["42"], ["stop"], (10, 5)),
    ("two choices in one stream", stream(
        piece({"content": "1"}), piece({"content": "2"}, 1), piece({"content": "1"}),
        piece({"content": "2"}, 1), piece({}, 1, "stop"), piece({}, 0, "length", usage=USAGE)),
     2, ["11", "22"], ["length", "stop"], (10, 5)),
    ("a stream without usage", stream(piece({"content": "42"}), piece({}, finish="stop")),
     1, ["42"], ["stop"], None),
    ("no space after data", stream(piece({"content": "42"}, finish="stop", usage=USAGE),
                                   lead="data:"), 1, ["42"], ["stop"], (10, 5)),
    ("parts in a stream", stream(
        piece({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
        piece({"content": [{"type": "text", "text": "42"}]}, finish="stop", usage=USAGE)),
     1, ["42"], ["stop"], (10, 5)),
    ("the whole message after its pieces", stream(
        piece({"content": "4"}), piece({"content": "2"}),
        piece(None, finish="stop", choice={"message": {"role": "assistant", "content": "42"}},
              usage=USAGE)), 1, ["42"], ["stop"], (10, 5)),
    ("a stream of raw texts", stream(
        {"choices": [{"index": 0, "text": "4", "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "2", "finish_reason": "stop"}], "usage": USAGE}),
     1, ["42"], ["stop"], (10, 5)),
    ("Replicate, pieces of the output", {"id": "x", "status": "succeeded", "error": None,
        "output": ["4", "2"], "metrics": {"input_token_count": 10, "output_token_count": 5}},
     1, ["42"], ["other"], (10, 5)),
    ("a total of nothing", answer(chat(), usage={**USAGE, "total_tokens": 0}),
     1, ["42"], ["stop"], (10, 5)),
    ("a tool call without content", answer({"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}),
     1, [""], ["stop"], (10, 5)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "n", "texts", "ends", "tokens"), [row[1:] for row in KEPT], ids=[r[0] for r in KEPT]
)
def test_an_answer_is_kept(
    body: Any, n: int, texts: list[str], ends: list[str], tokens: tuple[int, int] | None
) -> None:
    got = read(body, n)
    assert [choice.text for choice in got.choices] == texts
    assert [choice.finish_reason for choice in got.choices] == ends
    assert [choice.index for choice in got.choices] == list(range(n))
    assert not got.missing
    if tokens is None:
        assert got.usage is None
    else:
        assert got.usage is not None
        assert (got.usage.prompt_tokens, got.usage.output_tokens) == tokens


def test_fewer_choices_than_asked_for_are_missing() -> None:
    assert read(answer(chat("1"), chat("2", 1)), 3).missing == (2,)
    assert read(answer(chat("1")), 4).missing == (1, 2, 3)
    assert read(answer(chat("3", 2), chat("1")), 3).missing == (1,)


@pytest.mark.parametrize(
    "body",
    [
        stream(piece({"content": "4"}), {"error": {"message": "Provider broke off", "code": 502}}),
        stream(piece({"content": "4"}), piece({"content": ""}, finish="error")),
        answer(chat("4", finish={"type": "abort", "message": "Abort in the queue"})),
    ],
    ids=["an error after text", "an end by error", "SGLang's abort"],
)
def test_what_was_broken_off_is_no_sample(body: Any) -> None:
    assert {choice.finish_reason for choice in read(body).choices} == {"broken"}


INSIDE: list[tuple[str, Any, type[errors.ProviderError], str]] = [
    ("OpenRouter's 502", {"error": {"message": "Provider returned error", "code": 502, "metadata": {
        "raw": "upstream", "provider_name": "Z"}}, "user_id": "u"}, errors.Overloaded,
     "maybe_billed"),
    ("a choice's 429", {"choices": [{"error": {"code": 429, "message": "slow"}, "index": 0,
        "finish_reason": "error", "message": {"content": ""}}]}, errors.RateLimited, "rejected"),
    ("FastAPI, busy", {"detail": "Model busy, retry later"}, errors.Overloaded, "rejected"),
    ("RunPod, failed", {"id": "r", "status": "FAILED", "error": "CUDA out of memory"},
     errors.Overloaded, "maybe_billed"),
    ("RunPod, in its queue", {"id": "r", "status": "IN_QUEUE"}, errors.BadResponse,
     "maybe_billed"),
    ("API Gateway", {"message": "Endpoint request timed out"}, errors.ProviderError,
     "maybe_billed"),
    ("a page", b"<html><head><title>Sign in</title></head></html>", errors.BadResponse,
     "maybe_billed"),
    ("SGLang, its queue", {"choices": [chat("", finish={"type": "abort", "message":
        "The request queue is full.", "status_code": 503})], "usage": {"prompt_tokens": 10,
        "completion_tokens": 0, "total_tokens": 10}}, errors.Overloaded, "rejected"),
    ("an error first in a stream", stream({"error": {"type": "overloaded_error",
                                                      "message": "Overloaded"}}),
     errors.Overloaded, "rejected"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "kind", "sent"), [row[1:] for row in INSIDE], ids=[r[0] for r in INSIDE]
)
def test_an_error_in_a_200(body: Any, kind: type[errors.ProviderError], sent: str) -> None:
    with pytest.raises(kind) as caught:
        read(body)
    assert caught.value.sent == sent


def said(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


TOO_LONG: list[tuple[str, int, Any]] = [
    ("vLLM", 400, {"object": "error", "type": "BadRequestError", "code": 400, "message": "This"
        " model's maximum context length is 64 tokens. However, you requested 80 tokens (70 in the"
        " messages, 10 in the completion). Please reduce the length of the messages."}),
    ("vLLM, later", 400, said("'max_tokens' or 'max_completion_tokens' is too large: 9999. This"
        " model's maximum context length is 64 tokens and your request has 10 input tokens (9999 >"
        " 64 - 10). None", type="BadRequestError", code=400)),
    ("vLLM, the prompt", 400, said("The decoder prompt (length 90) is longer than the maximum model"
        " length of 64. Make sure that `max_model_len` is no smaller than the number of text"
        " tokens.")),
    ("SGLang", 400, {"object": "error", "message": "The input (5000 tokens) is longer than the"
        " model's context length (4096 tokens).", "type": "BadRequestError", "code": 400}),
    ("SGLang, asked", 400, {"object": "error", "message": "Requested token count exceeds the"
        " model's maximum context length of 4096 tokens. You requested a total of 5000 tokens."}),
    ("llama.cpp", 400, said("the request exceeds the available context size, try increasing it",
        code=400, type="exceed_context_size_error", n_prompt_tokens=9000, n_ctx=4096)),
    ("llama.cpp, 500", 500, said("the request exceeds the available context size. try increasing"
        " the context size or enable context shift", code=500, type="server_error")),
    ("TGI", 422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <="
        " 4096. Given: 4000 `inputs` tokens and 500 `max_new_tokens`",
        "error_type": "validation"}),
    ("TGI, the prompt", 422, {"error": "Input validation error: `inputs` must have less than 4095"
        " tokens. Given: 9000", "error_type": "validation"}),
    ("Ollama", 400, {"error": "the input length exceeds the context length"}),
    ("Anthropic", 400, said("prompt is too long: 210000 tokens > 200000 maximum",
        type="invalid_request_error")),
    ("Anthropic, both", 400, said("input length and `max_tokens` exceed context limit: 190000 +"
        " 20000 > 200000, decrease input length or `max_tokens` and try again",
        type="invalid_request_error")),
    ("Gemini", 400, said("The input token count (1200000) exceeds the maximum number of tokens"
        " allowed (1048576).", code=400, status="INVALID_ARGUMENT")),
    ("Bedrock", 400, {"__type": "ValidationException",
                      "message": "Input is too long for requested model."}),
    ("Groq", 400, said("Please reduce the length of the messages or completion.",
        type="invalid_request_error", code="context_length_exceeded", param="messages")),
    ("Mistral", 400, {"object": "error", "message": "Prompt contains 40000 tokens and 0 draft"
        " tokens, too large for model with 32768 maximum context length", "code": "3051",
        "type": "invalid_request_prompt"}),
    ("xAI", 400, {"code": "Client specified an invalid argument", "error": "This model's maximum"
        " prompt length is 131072 but the request contains 140000 tokens."}),
    ("Zhipu", 400, said("Prompt exceeds max length", code="1261")),
    ("DashScope", 400, said("<400> InternalError.Algo.InvalidParameter: Range of input length"
        " should be [1, 30720]", code="invalid_parameter_error",
        type="invalid_request_error")),
    ("Moonshot", 400, said("Invalid request: Your request exceeded model token limit: 8192",
        type="invalid_request_error")),
    ("LiteLLM", 400, said("litellm.ContextWindowExceededError: litellm.BadRequestError: it is too"
        " long", type=None, param=None, code="400")),
    ("GitHub", 413, said("Request body too large for gpt-4o model. Max size: 8000 tokens.",
        code="tokens_limit_reached", details="Request body too large")),
    ("Cohere", 400, {"message": "too many tokens: total number of tokens in the prompt cannot"
        " exceed 4081 - received 5000. Try using a shorter prompt"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body"), [row[1:] for row in TOO_LONG], ids=[row[0] for row in TOO_LONG]
)
def test_a_prompt_too_long_is_one_unfillable_problem(status: int, body: Any) -> None:
    error = refusal(status, {}, json.dumps(body).encode(), ASKED)
    assert type(error) is errors.InvalidRequest and error.sent == "rejected"
    assert error.too_long and not error.field


GEMINIS = "You exceeded your current quota, please check your plan and billing details. "
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"


def geminis(quota: str, delay: str) -> dict[str, Any]:
    return said(
        f"{GEMINIS}* Quota exceeded for metric: generate_content_free_tier_requests, limit: 50\n"
        f"Please retry in {delay}.", code=429, status="RESOURCE_EXHAUSTED", details=[
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
             "violations": [{"quotaMetric": "free_tier_requests", "quotaId": quota}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}],
    )  # fmt: skip


# Name, status, headers, body, kind, seconds to wait.
REFUSED: list[
    tuple[str, int, dict[str, str], Any, type[errors.ProviderError], float | None]
] = [
    ("Gemini, a minute", 429, {}, geminis(MINUTE, "37s"), errors.RateLimited, 37),
    ("Gemini, a day", 429, {}, geminis(DAY, "37s"), errors.NoCredit, 37),
    ("Gemini, a day, both told", 429, {}, geminis(f"{MINUTE}\n{DAY}", "0.2s"), errors.NoCredit,
     0.2),
    ("Azure, tokens", 429, {"retry-after": "6"}, said("Requests to the ChatCompletions_Create"
        " Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of"
        " your current OpenAI S0 pricing tier. Please retry after 6 seconds.", code="429"),
     errors.RateLimited, 6),
    ("Azure, milliseconds", 429, {"retry-after-ms": "1500"}, said("slow", code="429"),
     errors.RateLimited, 1.5),
    ("Azure, peak load", 429, {}, said("The system is currently experiencing high demand and cannot"
        " process your request. Your request exceeds the maximum usage size allowed during peak"
        " load.", code="NoCapacity"), errors.RateLimited, None),
    ("Azure, filter", 400, {}, said("The response was filtered due to the prompt triggering Azure"
        " OpenAI's content management policy.", code="content_filter", param="prompt",
        innererror={"code": "ResponsibleAIPolicyViolation"}), errors.InvalidRequest, None),
    ("Groq, a day", 429, {}, said("Rate limit reached for model `m` in organization `o` on tokens"
        " per day (TPD): Limit 100000, Used 99800, Requested 500. Please try again in 4m19s.",
        type="tokens", code="rate_limit_exceeded"), errors.RateLimited, 259),
    ("Groq, too large", 413, {}, said("Request too large for model `m` on tokens per minute (TPM):"
        " Limit 6000, Requested 7012", type="tokens", code="rate_limit_exceeded"),
     errors.InvalidRequest, None),
    ("OpenRouter, afford", 402, {}, said("This request requires more credits, or fewer max_tokens."
        " You requested up to 4096 tokens, but can only afford 2000.", code=402),
     errors.NoCredit, None),
    ("OpenRouter, free a day", 429, {}, said("Rate limit exceeded: free-models-per-day. Add 10"
        " credits to unlock 1000 free model requests per day", code=429), errors.NoCredit, None),
    ("OpenRouter, free a minute", 429, {}, said("Rate limit exceeded: free-models-per-min. ",
        code=429), errors.RateLimited, None),
    ("OpenRouter, no endpoints", 404, {}, said("No endpoints found for z/z.", code=404),
     errors.UnknownModel, None),
    ("OpenRouter, nobody", 401, {}, said("User not found.", code=401), errors.AuthFailed, None),
    ("OpenRouter, upstream", 429, {}, said("Provider returned error", code=429, metadata={
        "raw": "z/z:free is temporarily rate-limited upstream. Please retry shortly"}),
     errors.RateLimited, None),
    ("DeepInfra, busy", 429, {}, {"detail": {"error": "Model busy, retry later"}},
     errors.RateLimited, None),
    ("LiteLLM, cooldown", 429, {}, said("litellm.RateLimitError: No deployments available for"
        " selected model, Try again in 60 seconds. Passed model=m. pre-call-checks=False",
        type="None", param="None", code="429"), errors.RateLimited, 60),
    ("LiteLLM, budget", 400, {}, said("Budget has been exceeded! Current cost: 1.2, Max budget:"
        " 1.0", type="budget_exceeded", code="400"), errors.NoCredit, None),
    ("Anthropic, a minute", 429, {"retry-after": "12"}, said("This request would exceed your"
        " organization's rate limit of 50,000 input tokens per minute.", type="rate_limit_error"),
     errors.RateLimited, 12),
    ("Anthropic, a month", 400, {}, said("You have reached your specified API usage limits. You"
        " will regain access on 2026-12-01 at 00:00 UTC.", type="invalid_request_error"),
     errors.NoCredit, None),
    ("Vertex", 429, {}, said("Resource exhausted. Please try again later.", code=429,
        status="RESOURCE_EXHAUSTED"), errors.RateLimited, None),
    ("Bedrock, expired", 403, {}, {"__type": "ExpiredTokenException", "message": "The security"
        " token included in the request is expired"}, errors.AuthFailed, None),
    ("Bedrock, not ready", 429, {}, {"__type": "ModelNotReadyException", "message": "Model is not"
        " ready for inference."}, errors.RateLimited, None),
    ("Bedrock, the model's error", 424, {}, {"__type": "ModelErrorException", "message": "The"
        " system encountered an unexpected error during processing."}, errors.Overloaded, None),
    ("Ollama, pending", 503, {}, {"error": "server busy, please try again. maximum pending requests"
        " exceeded"}, errors.Overloaded, None),
    ("llama.cpp, loading", 503, {}, said("Loading model", code=503, type="unavailable_error"),
     errors.Overloaded, None),
    ("llama.cpp, not for that", 501, {}, said("This server does not support completions. Start it"
        " with another model", code=501, type="not_supported_error"), errors.InvalidRequest, None),
    ("Together, dynamic", 429, {}, said("Request was rejected due to request rate limiting",
        type="dynamic_request_limited"), errors.RateLimited, None),
    ("Fireworks, suspended", 412, {}, said("Account a is suspended, possibly due to reaching the"
        " monthly spending limit or failure to pay past invoices."), errors.NoCredit, None),
    ("Volcengine, its own limit", 429, {}, said("Your account [2] has reached the set inference"
        " limit for the [m] model, and the model service has been paused.",
        code="SetLimitExceeded"), errors.NoCredit, None),
    ("SiliconFlow, balance", 403, {}, {"code": 30001, "message": "Sorry, your account balance is"
        " insufficient", "data": None}, errors.NoCredit, None),
    ("Novita, balance", 403, {}, {"code": 403, "reason": "NOT_ENOUGH_BALANCE",
        "message": "not enough balance"}, errors.NoCredit, None),
    ("Cohere, a month", 429, {}, {"message": "You are using a Trial key, which is limited to 1000"
        " API calls / month. You can continue to use the Trial key for free or upgrade"},
     errors.NoCredit, None),
    ("Cohere, a minute", 429, {}, {"message": "You are using a Trial key, which is limited to 20"
        " API calls / minute."}, errors.RateLimited, None),
    ("GitHub, a minute", 429, {}, said("Rate limit of 10 per 60s exceeded for UserByModelByMinute."
        " Please wait 8 seconds before retrying.", code="RateLimitReached"),
     errors.RateLimited, 8),
    ("GitHub, a day", 429, {}, said("Rate limit of 50 per 86400s exceeded for UserByModelByDay."
        " Please wait 80000 seconds before retrying.", code="RateLimitReached"),
     errors.NoCredit, 80000),
    ("Cerebras, a day", 429, {}, {"message": "Tokens per day limit exceeded - too many tokens"
        " processed.", "type": "too_many_tokens_error", "code": "token_quota_exceeded"},
     errors.NoCredit, None),
    ("Cerebras, traffic", 429, {}, {"message": "We're experiencing high traffic right now! Please"
        " try again soon.", "code": "queue_exceeded"}, errors.RateLimited, None),
    ("Mistral, capacity", 429, {}, {"object": "error", "message": "Service tier capacity exceeded"
        " for this model.", "type": "service_tier_capacity_exceeded", "code": "3505"},
     errors.RateLimited, None),
    ("xAI, credits", 403, {}, {"code": "The caller does not have permission", "error": "Your newly"
        " created team doesn't have any credits yet."}, errors.NoCredit, None),
    ("xAI, spent", 429, {}, {"code": "Some resource has been exhausted", "error": "Your team t has"
        " either used all available credits or reached its monthly spending limit."},
     errors.NoCredit, None),
    ("Hugging Face, a month", 402, {}, {"error": "You have exceeded your monthly included credits"
        " for Inference Providers."}, errors.NoCredit, None),
    ("Copilot, the model", 400, {}, said("The requested model is not supported.",
        code="model_not_supported", param="model"), errors.UnknownModel, None),
    ("OpenAI, access", 403, {}, said("Project `p` does not have access to model `m`",
        code="model_not_found", type="invalid_request_error"), errors.UnknownModel, None),
    ("OpenAI, verify", 403, {}, said("Your organization must be verified to use the model `m`.",
        type="invalid_request_error"), errors.AuthFailed, None),
    ("Cloudflare's 1015", 429, {}, b"error code: 1015", errors.RateLimited, None),
    ("an overloaded 529", 529, {}, b"", errors.Overloaded, None),
    ("nginx, too large", 413, {}, b"<html><head><title>413 Request Entity Too Large</title></head>",
     errors.InvalidRequest, None),
    ("too early", 425, {}, b"", errors.Overloaded, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "wait_s"), [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)  # fmt: skip
def test_a_refusal_is_told_by_its_kind(
    status: int, headers: dict[str, str], body: Any, kind: type[errors.ProviderError],
    wait_s: float | None,
) -> None:  # fmt: skip
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = refusal(status, headers, raw, ASKED)
    assert type(error) is kind, error
    assert error.sent == "rejected"
    assert error.retry_after_s == (None if wait_s is None else pytest.approx(wait_s))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (said("litellm.UnsupportedParamsError: xai does not support parameters: ['seed'], for"
              " model=m. To drop these, set `litellm.drop_params=True`", code="400"), "seed"),
        (said("Unsupported parameter: 'max_tokens' is not supported with this model. Use"
              " 'max_completion_tokens' instead.", param="max_tokens",
              code="unsupported_parameter"), "max_tokens"),
        (said("property 'seed' is unsupported"), "seed"),
        (said("seed: Extra inputs are not permitted", type="invalid_request_error"), "seed"),
        (said("Unknown name \"seed\" at 'generation_config': Cannot find field."), "seed"),
        (said("This model supports at most 1 candidate: n must be 1"), "n"),
    ],
)  # fmt: skip
def test_a_field_that_is_refused_is_found(body: Any, field: str) -> None:
    error = refusal(400, {}, json.dumps(body).encode(), ASKED)
    assert type(error) is errors.InvalidRequest and error.field == field
