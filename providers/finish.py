"""Why a choice ended, by every word that servers have for it: one table.

    stop            the model ended, or a stop string came
    length          cut at max_tokens or at the end of the context: kept and judged
    content_filter  the server, or the model itself, refused to say more: kept and judged
    tool_calls      a call of a tool was written instead
    broken          the server broke off: a failure of its own, never a wrong answer
    other           a word that is not known, or none: kept and judged

Read from the sources and references of OpenAI, Azure, Anthropic, Bedrock, Gemini, DeepSeek,
Mistral, Cohere, OpenRouter, Together, Groq, Fireworks, Zhipu, vLLM, SGLang, TGI, llama.cpp and
Ollama. Words are compared in lower case with - and spaces as _, without a name of the enumeration
before them. A word that is in no list goes by what it speaks of (a failure first, so that nothing
a server broke off is judged). The raw word is kept beside its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from providers.sample import FinishReason

WORDS: Mapping[FinishReason, tuple[str, ...]] = {
    "stop": (
        "stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed",
        "finish", "finished", "done", "end", "stop_token", "matched_stop", "success", "normal",
        "stopped_eos", "stopped_word", "word",
    ),
    "length": (
        "length", "max_tokens", "max_output_tokens", "max_length", "max_new_tokens",
        "model_length", "model_context_window_exceeded", "context_length", "context_window",
        "token_limit", "limit", "incomplete", "truncated", "stopped_limit",
    ),
    "content_filter": (
        "content_filter", "content_filtered", "safety", "recitation", "blocklist",
        "prohibited_content", "spii", "language", "refusal", "refused", "guardrail_intervened",
        "sensitive", "blocked", "moderation", "error_toxic", "image_safety",
    ),
    "tool_calls": ("tool_calls", "tool_call", "tool_use", "function_call", "function"),
    "broken": (
        "error", "insufficient_system_resource", "abort", "aborted", "cancelled", "canceled",
        "cancel", "user_cancel", "error_limit", "timeout", "timed_out", "time_limit",
        "network_error", "internal_error", "internal_server_error", "server_error",
        "engine_error", "model_error", "inference_error", "overloaded", "overloaded_error",
        "service_unavailable", "unavailable", "rate_limit", "rate_limited", "rate_limit_exceeded",
        "interrupted", "preempted", "shutdown", "failed", "failure", "disconnected",
        "connection_error", "upstream_error", "provider_error", "deadline_exceeded",
        "resource_exhausted", "out_of_memory", "oom", "evicted", "killed",
    ),
}  # fmt: skip

REFUSED = frozenset({
    "overloaded", "overloaded_error", "service_unavailable", "unavailable", "rate_limit",
    "rate_limited", "rate_limit_exceeded", "resource_exhausted",
})  # fmt: skip
"""Of the broken ones, those that say: refused before anything was generated."""

_MEANING: Mapping[str, FinishReason] = {
    word: meaning for meaning, words in WORDS.items() for word in words
}


SPEAKS_OF: tuple[tuple[FinishReason, re.Pattern[str]], ...] = (
    ("broken", re.compile(
        r"error|fail|abort|cancel|shut_?down|unavailable|overload|time_?out|timed|disconnect"
        r"|interrupt|evict|preempt|crash|killed|exception|rate_limit|insufficient|exhausted|lost")),
    ("length", re.compile(r"length|max|limit|budget|truncat|too_long")),
    ("content_filter", re.compile(
        r"filter|safety|block|moderat|refus|policy|guardrail|sensitive|prohibit|violat|toxic")),
    ("tool_calls", re.compile(r"tool|function_call")),
    ("stop", re.compile(r"stop|(^|_)eos|(^|_)end")),
)  # fmt: skip
"""What a word of no list means: the first that it speaks of."""

MALFORMED = re.compile(r"malformed|unexpected_tool|too_many_tool|unspecified")
"""What the model wrote is odd (a broken call of a tool), or nothing is said: kept and judged."""


def finish_of(raw: str) -> FinishReason:
    """What a server's word for the end of a choice means."""
    return "stop" if raw == "stop" else _finish_of(raw[:200])


@lru_cache(maxsize=1000)
def _finish_of(raw: str) -> FinishReason:
    word = raw.strip().rpartition(".")[2]
    if not word.isupper():
        word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word)
    word = re.sub(r"[-\s]+", "_", word.lower()).removeprefix("finish_reason_")
    if word in _MEANING:
        return _MEANING[word]
    if MALFORMED.search(word):
        return "other"
    return next((meaning for meaning, about in SPEAKS_OF if about.search(word)), "other")


def word_of(raw: Any) -> str:
    """The word in whatever a server writes there: a string, SGLang's {"type": ...}, or none."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, Mapping):
        return word_of(raw.get("type") or raw.get("reason") or raw.get("name"))
    if isinstance(raw, list) and raw:
        return word_of(raw[0])
    return "" if raw is None else str(raw)[:200]


def error_of(raw: Any) -> Any:
    """The error in a reason that says more than a word: SGLang's {"type": "abort", ...}."""
    if not isinstance(raw, Mapping) or finish_of(word_of(raw)) != "broken":
        return None
    code = raw.get("status_code") or raw.get("code")
    return {"message": raw.get("message"), "code": code} if code else None
