"""What an answer says of its own cost, in every dialect that servers really speak: one table.

    Reported   usage, at least and (where the counts can be read in two ways) at most; the dollars
               that the server itself reckons; the tier it served; what else multiplies its price

A count is a whole number, also where a server writes it as 12.0 or "12". What cannot be read is as
if it were not there and is named in `unread`. No prompt has zero tokens and no text has none: such
counts are no usage. Prompt tokens come in two kinds of dialect: with cached reads and writes
inside the prompt's count (OpenAI and most), or beside it (Anthropic, Bedrock). Where names do not
tell, the total does; where neither does, both readings are kept and the dearer is the most.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from budgets.money import PICO
from budgets.usage import MOST_TOKENS, Usage, token_count

Path = tuple[str, ...]

PROMPT: tuple[Path, ...] = (
    ("prompt_tokens",),  # OpenAI chat and completions, and nearly everybody's
    ("input_tokens",),  # Anthropic; OpenAI's Responses
    ("promptTokenCount",),  # Gemini
    ("prompt_token_count",),  # Gemini's Python client
    ("inputTokens",),  # Bedrock Converse
    ("inputTokenCount",),  # Bedrock InvokeModel metrics
    ("prompt_eval_count",),  # Ollama
    ("tokens_evaluated",),  # llama.cpp
    ("input_token_count",),  # Replicate, watsonx
    ("promptTokens",),  # Vercel's AI SDK
    ("input",),  # RunPod
    ("billed_units", "input_tokens"),  # Cohere
    ("tokens", "input_tokens"),  # Cohere
)
OUTPUT: tuple[Path, ...] = (
    ("completion_tokens",),
    ("output_tokens",),
    ("candidatesTokenCount",),
    ("candidates_token_count",),
    ("outputTokens",),
    ("outputTokenCount",),
    ("eval_count",),
    ("tokens_predicted",),
    ("generated_tokens",),  # TGI
    ("output_token_count",),
    ("generated_token_count",),
    ("completionTokens",),
    ("output",),
    ("billed_units", "output_tokens"),
    ("tokens", "output_tokens"),
)
TOTAL: tuple[Path, ...] = (
    ("total_tokens",), ("totalTokenCount",), ("total_token_count",), ("totalTokens",),
)  # fmt: skip
CACHED: tuple[Path, ...] = (
    ("prompt_tokens_details", "cached_tokens"),  # OpenAI, Azure, vLLM, SGLang, xAI, Groq, ...
    ("input_tokens_details", "cached_tokens"),  # OpenAI's Responses
    ("prompt_token_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("cached_tokens",),  # Moonshot, Together
    ("num_cached_tokens",),  # Mistral, vLLM's offline engine
    ("cachedContentTokenCount",),  # Gemini
    ("cached_content_token_count",),
    ("cache_read_input_tokens",),  # Anthropic, LiteLLM, Bedrock's Claude
    ("cacheReadInputTokens",),  # Bedrock Converse
    ("cacheReadInputTokenCount",),
    ("cache_read_tokens",),
    ("cachedInputTokens",),
    ("cacheReadTokens",),
)
WRITTEN: tuple[Path, ...] = (
    ("cache_creation_input_tokens",),  # Anthropic, LiteLLM
    ("cacheWriteInputTokens",),  # Bedrock Converse
    ("cacheWriteInputTokenCount",),
    ("cacheCreationInputTokens",),
    ("cache_creation_tokens",),
    ("cache_write_tokens",),
    ("cache_write_input_tokens",),
    ("cacheWriteTokens",),
    ("prompt_tokens_details", "cache_write_tokens"),  # OpenRouter
    ("prompt_tokens_details", "cache_creation_tokens"),  # LiteLLM
    ("prompt_tokens_details", "cache_creation_input_tokens"),  # Aliyun
    ("input_tokens_details", "cache_creation_tokens"),
    ("input_tokens_details", "cache_write_tokens"),
)
SHORT_WRITES: tuple[Path, ...] = (
    ("cache_creation", "ephemeral_5m_input_tokens"),  # Anthropic
    ("prompt_tokens_details", "cache_creation_token_details", "ephemeral_5m_input_tokens"),
    ("prompt_tokens_details", "cache_creation", "ephemeral_5m_input_tokens"),
)
LONG_WRITES: tuple[Path, ...] = tuple((*path[:-1], "ephemeral_1h_input_tokens")
                                      for path in SHORT_WRITES)  # fmt: skip
REASONING: tuple[Path, ...] = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "thinking_tokens"),
    ("reasoningTokens",),
    ("reasoning_tokens",),  # SGLang, Perplexity
    ("thoughtsTokenCount",),  # Gemini
    ("thoughts_token_count",),
)
BESIDE_OUTPUT = frozenset({("thoughtsTokenCount",), ("thoughts_token_count",)})
"""Reasoning that the output's count leaves out, by the dialect's own definition."""
TOOL_PROMPT: tuple[Path, ...] = (("toolUsePromptTokenCount",), ("tool_use_prompt_token_count",))
"""Prompt tokens beside the prompt's count."""
BESIDE_PROMPT = frozenset({"input_tokens", "inputTokens", "inputTokenCount"})
"""Names of a prompt's count that leaves cached reads and writes out, where these have names of
Anthropic's kind."""
BESIDE_NAMES = frozenset({
    "cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount",
    "cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount",
    "cacheCreationInputTokens",
})  # fmt: skip

DOLLARS: tuple[tuple[Path, Decimal], ...] = (
    (("cost",), Decimal(1)),  # OpenRouter
    (("cost", "total_cost"), Decimal(1)),  # Perplexity
    (("total_cost",), Decimal(1)),
    (("cost_usd",), Decimal(1)),
    (("estimated_cost",), Decimal(1)),  # DeepInfra
    (("cost_in_usd_ticks",), Decimal(1).scaleb(-10)),  # xAI
)
"""Where a server says what it bills, and what one unit of it is in dollars."""
UPSTREAM: Path = ("cost_details", "upstream_inference_cost")
"""OpenRouter, with a key of one's own for the provider behind it: billed there, beside `cost`."""
COST_HEADERS = ("x-litellm-response-cost",)

TIERS: tuple[Path, ...] = (("service_tier",), ("serviceTier",), ("serviceTier", "type"),
                           ("trafficType",), ("speed",))  # fmt: skip
TIER_NAMES = frozenset(path[0] for path in TIERS)
STANDARD = frozenset({"", "default", "standard", "auto", "on_demand", "standard_only", "normal"})
"""Words for the tier that every price is for."""
CHEAPER: Mapping[str, int] = {
    "flex": 2, "batch": 2, "off_peak": 4, "scale": 0, "provisioned_throughput": 0, "reserved": 0,
}  # fmt: skip
"""Words for tiers that cost at most what the standard one does, and by how much it is divided where
no price of the tier is known; 0: it is paid for beforehand, and a request may cost nothing."""

SURCHARGES: tuple[tuple[Path, frozenset[str], str], ...] = (
    (("inference_geo",), frozenset({"global", "not_available"}), "inference in one region"),
    (("server_tool_use",), frozenset(), "tools run by the server"),  # Anthropic's web search
    (("server_side_tool_usage",), frozenset(), "tools run by the server"),  # xAI
    (("num_server_side_tools_used",), frozenset(), "tools run by the server"),
    (("num_sources_used",), frozenset(), "sources searched"),  # xAI
    (("num_search_queries",), frozenset(), "searches"),  # Perplexity
    (("citation_tokens",), frozenset(), "citations"),
    (("search_units",), frozenset(), "searches"),  # Cohere
    (("billed_units", "search_units"), frozenset(), "searches"),
    (("prompt_tokens_details", "audio_tokens"), frozenset(), "audio"),
    (("completion_tokens_details", "audio_tokens"), frozenset(), "audio"),
    (("prompt_tokens_details", "image_tokens"), frozenset(), "images"),
    (("completion_tokens_details", "image_tokens"), frozenset(), "images"),
    (("prompt_audio_seconds",), frozenset(), "audio"),  # Mistral
)
"""What changes a price beside the tokens: where it stands, which values mean nothing, its name."""


PLAIN = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})
"""All that most servers say: read without looking anything up."""


class Reported(msgspec.Struct, frozen=True):
    """What an answer says of its own cost."""

    usage: Usage | None = None
    """The least that its counts can mean; None: it says nothing credible."""
    most: Usage | None = None
    """The most that they can mean, where that is more."""
    pico: int | None = None
    """What the server itself says it bills, in picodollars, rounded up."""
    tier: str = ""
    """The tier it was served at, in lower case; "" for the standard one."""
    surcharges: tuple[str, ...] = ()
    """What else changes the price and is not counted in tokens."""
    unread: tuple[str, ...] = ()
    """Fields that are there and could not be read."""


NOTHING = Reported()


def read_usage(raw: object, answer: Mapping[str, Any] | None = None, *, said: int = 0,
               headers: Mapping[str, str] | None = None) -> Reported:  # fmt: skip
    """What the usage object `raw` of `answer` says; `said`: how many of its choices have text."""
    unread: list[str] = []
    plain = raw if type(raw) is dict and _is_plain(raw) else None
    # What is plain holds no word for a tier.
    tier = "" if plain is not None and not answer else _tier(answer or {}, raw)
    pico = _header_cost(headers)
    usual = not answer or (answer.get("cost") is None and not _thinks_beside(answer))
    if plain is not None and usual and not tier and pico is None:
        return _plain(plain, said)
    if not isinstance(raw, Mapping):
        unread += ["usage"] if raw is not None else []
        return Reported(pico=pico, tier=tier, unread=tuple(unread))
    usage, most = _counts(raw, said, unread, thinks=_thinks_beside(answer or {}))
    told = _cost(raw)
    told = _cost(answer) if told is None and answer else told
    unread = list(dict.fromkeys(unread))
    return Reported(usage, most, pico if told is None else told, tier, _surcharges(raw),
                    tuple(unread))  # fmt: skip


def usage_of(raw: object) -> Usage | None:
    """The least that a usage object can mean; None where it says nothing credible."""
    return read_usage(raw).usage


def _is_plain(raw: dict[str, Any]) -> bool:
    if raw.keys() <= PLAIN:
        return True
    return all(value is None or name in PLAIN for name, value in raw.items())


def _plain(raw: dict[str, Any], said: int) -> Reported:
    prompt, output = whole(raw.get("prompt_tokens")), whole(raw.get("completion_tokens"))
    total = whole(raw.get("total_tokens")) or 0
    if not (raw.get("prompt_tokens") and raw.get("completion_tokens")):
        # A count that is not there; one that cannot be read is another matter.
        prompt, output = _completed(prompt, output, total)
    if not prompt or output is None:
        return Reported(unread=("usage (counts that cannot be)",) if raw else ())
    beyond = max(0, total - prompt - output)
    if said and output + beyond < said:
        return Reported(unread=("usage (counts that cannot be)",))
    usage = Usage(input_tokens=prompt, output_tokens=output)
    if not beyond:
        return Reported(usage)
    # What the total counts beyond its parts may be thinking, which is billed as output, or not.
    return Reported(usage, Usage(input_tokens=prompt, output_tokens=output + beyond))


def _completed(prompt: int | None, output: int | None, total: int) -> tuple[int | None, int | None]:
    """A count that is not there, where the total and the other one give it."""
    if prompt is None and output is not None and total > output:
        return total - output, output
    if output is None and prompt is not None and total > prompt:
        return prompt, total - prompt
    return prompt, output


def _thinks_beside(answer: Mapping[str, Any]) -> bool:
    """Whether the model is one whose thinking only the total counts: Gemini at OpenAI's door."""
    return "gemini" in str(answer.get("model", "")).lower()


def _counts(
    raw: Mapping[str, Any], said: int, unread: list[str], *, thinks: bool
) -> tuple[Usage | None, Usage | None]:
    """The least and (if it differs) the most that the counts can mean."""
    place, prompt = _first(raw, PROMPT, unread)
    _, output = _first(raw, OUTPUT, unread)
    _, total = _first(raw, TOTAL, unread)
    if not unread:
        prompt, output = _completed(prompt, output, total or 0)
    if prompt is None or output is None:
        return None, None
    cached_at, cached = _first(raw, CACHED, unread, positive=True)
    written_at, written = _first(raw, WRITTEN, unread, positive=True)
    _, short = _first(raw, SHORT_WRITES, unread)
    _, long = _first(raw, LONG_WRITES, unread)
    reasoning_at, reasoning = _first(raw, REASONING, unread, positive=True)
    _, tools = _first(raw, TOOL_PROMPT, unread)
    cached, reasoning, total = cached or 0, reasoning or 0, total or 0
    written = (short or 0) + (long or 0) if written is None else written
    if reasoning_at in BESIDE_OUTPUT:
        output += reasoning
    prompt += tools or 0
    beside = _beside(place, cached_at, written_at, prompt, cached + written, output, total)
    inside = prompt + cached + written if beside else prompt
    beyond = max(0, total - inside - output)
    if thinks or beyond == reasoning:
        output, beyond = output + beyond, 0
    elif reasoning > output:
        # It cannot be part of the output's count, and no total tells what is.
        beyond = max(beyond, reasoning)
    if not inside or (said and output + beyond < said):
        unread.append("usage (counts that cannot be)")
        return None, None

    def meant(inside: int, output: int, writes_long: bool) -> Usage:
        read = min(cached, inside)
        wrote = min(written, inside - read)
        brief = min(short or 0, wrote) if writes_long else wrote - min(long or 0, wrote)
        return Usage(inside - read - wrote, read, brief, wrote - brief, output,
                     min(reasoning, output))  # fmt: skip

    least = meant(inside, output, False)
    # What the total counts beyond its parts may be thinking, which is billed as output, or not.
    most = meant(inside, output + beyond, True)
    if beside is None and cached + written:
        # Neither names nor the total tell whether they are part of the prompt's count.
        most = meant(prompt + cached + written, output + beyond, True)
    if any(path[0] in unread or ".".join(path) in unread for path in CACHED):
        # How much of the prompt was cached cannot be read: perhaps all of it.
        least = Usage(0, inside, 0, 0, output, min(reasoning, output))
    return least, None if most == least else most


def _beside(
    place: Path, cached_at: Path, written_at: Path, prompt: int, cache: int, output: int, total: int
) -> bool | None:
    """Whether cached tokens stand beside the prompt's count; None: it does not say."""
    if not cache:
        return False
    if total == prompt + output + cache:
        return True
    beside = {path[-1] for path in (cached_at, written_at) if path} & BESIDE_NAMES
    if not beside:
        return False if cache <= prompt else None
    if cache > prompt or (len(place) == 1 and place[0] in BESIDE_PROMPT):
        return True
    return False if total == prompt + output else None


def _first(
    raw: Mapping[str, Any], places: tuple[Path, ...], unread: list[str], *, positive: bool = False
) -> tuple[Path, int | None]:
    """The first of `places` that holds a count; `positive`: that is more than nothing."""
    found: tuple[Path, int | None] = ((), None)
    for path in places:
        if path[0] not in raw:
            continue
        there, value = _at(raw, path)
        if not there or value is None:
            continue
        count = whole(value)
        if count is None:
            unread.append(".".join(path))
        elif count or not positive:
            return path, count
        elif found[1] is None:
            found = (path, count)
    for top in _holders(places):
        if raw.get(top) is not None and not isinstance(raw[top], Mapping):
            unread.append(top)
    return found


@cache
def _holders(places: tuple[Path, ...]) -> frozenset[str]:
    """Names under which counts stand one level deeper."""
    return frozenset(path[0] for path in places if len(path) > 1)


def _at(raw: Mapping[str, Any], path: Path) -> tuple[bool, Any]:
    value: Any = raw
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return False, None
        value = value[name]
    return True, value


def whole(value: object) -> int | None:
    """A count however it is written: 12, 12.0 or "12"; None for what is none."""
    if type(value) is int:
        return value if 0 <= value <= MOST_TOKENS else None
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return token_count(value)


def _tier(answer: Mapping[str, Any], raw: object) -> str:
    for holder in (answer, raw if isinstance(raw, Mapping) else {}):
        if TIER_NAMES.isdisjoint(holder):
            continue
        for path in TIERS:
            word = _word(_at(holder, path)[1])
            if word not in STANDARD:
                return word
    return ""


def _word(value: Any) -> str:
    """A tier's name in lower case, however it is written; "" for none."""
    if isinstance(value, Mapping):
        value = value.get("type") or value.get("name") or value.get("tier") or next(
            iter(value.values()), None)  # fmt: skip
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None or isinstance(value, Mapping | list) else str(value).strip().lower()


def _surcharges(raw: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    for path, neutral, name in SURCHARGES:
        there, value = _at(raw, path)
        if there and not _nothing(value, neutral):
            found.append(f"{name} ({'.'.join(path)})")
    return tuple(found)


def _nothing(value: object, neutral: frozenset[str]) -> bool:
    """Whether a value is empty, zero, or one of the words that mean nothing."""
    if isinstance(value, Mapping):
        return all(_nothing(one, neutral) for one in value.values())
    if isinstance(value, str):
        return not value or value.lower() in neutral
    return not value


def _cost(raw: Mapping[str, Any]) -> int | None:
    for path, unit in DOLLARS:
        _, value = _at(raw, path)
        pico = _pico(value, unit)
        if pico is not None:
            own_key = raw.get("is_byok") is True
            return pico + ((_pico(_at(raw, UPSTREAM)[1], Decimal(1)) or 0) if own_key else 0)
    return None


def _header_cost(headers: Mapping[str, str] | None) -> int | None:
    for name in COST_HEADERS:
        if headers and name in headers:
            return _pico(headers[name], Decimal(1))
    return None


def _pico(value: object, unit: Decimal) -> int | None:
    """Picodollars, rounded up; None for what is no amount."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        # A float as it was written: the shortest digits that mean it.
        amount = Decimal(str(value)) * unit * PICO
    except ArithmeticError:
        return None
    if not amount.is_finite() or not 0 <= amount < Decimal(10) ** 17:
        return None
    return -int(-amount // 1)
