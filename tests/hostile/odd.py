"""Shapes of answers that servers are reported to give: odd, and paid for all the same.

Each shape changes one plain answer of OpenAI's protocol as some server in the world writes it, and
says what of the plain answer's cost is on the bill. They join the faults of faults.py by name.
odd_bodies.py has those of bodies and wires, odd_refusals.py and odd_words.py those of errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.hostile.made import (
    Made,
    Shape,
    beside,
    body,
    choices,
    cost,
    cost_header,
    events,
    fields,
    gemini,
    header,
    instead,
    only_index,
    reasoning_beside,
    renamed,
    status,
    texts,
    usage,
    usage_set,
    written_beside,
)
from tests.hostile.odd_bodies import BODIES, CUT, DIALECTS, HELD_BODIES
from tests.hostile.odd_refusals import BETWEEN, LIMITED, OVERLOADED, PAID, SLIPS, WRONG
from tests.hostile.odd_words import ENDING, LIMITED_WORDS, OVERLOADED_WORDS, WRONG_WORDS

READABLE: dict[str, Shape] = {
    "details_list": Shape(usage_set(prompt_tokens_details=["x"])),
    "details_text": Shape(usage_set(prompt_tokens_details="none")),
    "details_odd": Shape(usage_set(completion_tokens_details=7, prompt_tokens_details=False)),
    "details_nested": Shape(usage_set(prompt_tokens_details={"cached_tokens": {"n": 1}})),
    "usage_floats": Shape(usage(lambda u: {k: float(v) for k, v in u.items()})),
    "usage_strings": Shape(usage(lambda u: {k: str(v) for k, v in u.items()})),
    "usage_renamed": Shape(renamed),
    "usage_gemini": Shape(gemini),
    "usage_more": Shape(usage_set(queue_time=0.1, total_time="1 s", x=None, cached_tokens=0)),
    "header_latin1": Shape(header("x-note", "caf\u00e9 \u00fc")),
    "mark_first": Shape(body(lambda b: b"\xef\xbb\xbf" + b)),
    "utf16": Shape(body(lambda b: b.decode().encode("utf-16"))),
    "nan_unused": Shape(body(lambda b: b[:-1] + b', "score": NaN, "up": Infinity}')),
    "digits": Shape(body(lambda b: b[:-1] + b', "big": ' + b"9" * 5000 + b"}")),
    "surrogate": Shape(texts(lambda t: t[:4] + "\ud83d" + t[4:])),
    "no_utf8": Shape(body(lambda b: b.replace(b" so", b" s\xff", 1))),
    "control": Shape(body(lambda b: b.replace(b" so", b" s\x07\t", 1))),
    "after_it": Shape(body(lambda b: b + b"\n\nOK")),
    "twice": Shape(body(lambda b: b + b)),
    "space_first": Shape(body(lambda b: b"\n\n  \n" + b + b"\n")),
    "status_201": Shape(status(201)),
    "status_203": Shape(status(203)),
    "events": Shape(events),
    "coding_utf8": Shape(header("content-encoding", "utf-8")),
    "one_choice": Shape(lambda m: m.document.update(
        choices=m.document["choices"][0]) if len(m.document["choices"]) == 1 else None),
    "index_text": Shape(only_index(str)),
    "index_none": Shape(only_index(lambda _: None)),
    "index_float": Shape(only_index(float)),
    "index_odd": Shape(only_index(lambda _: ["x"])),
    "content_parts": Shape(texts(lambda t: [{"type": "thinking", "thinking": "hm"},
                                             {"type": "text", "text": t}])),
    "content_texts": Shape(texts(lambda t: [t[:3], t[3:]])),
    "model_number": Shape(fields(model=4)),
    "id_number": Shape(fields(id=17)),
    "model_null": Shape(fields(model=None)),
    "finish_number": Shape(choices(finish_reason=1)),
    "finish_null": Shape(choices(finish_reason=None)),
    "finish_object": Shape(choices(finish_reason={"type": "stop", "matched": 7})),
    "finish_unknown": Shape(choices(finish_reason="because")),
    "logprobs_odd": Shape(choices(logprobs="none")),
    "error_null": Shape(fields(error=None)),
    "error_empty": Shape(fields(error={})),
    "more_fields": Shape(fields(system_fingerprint=3, created="now", object=None, x_groq={})),
    "cached_inside": Shape(usage_set(prompt_tokens_details={"cached_tokens": 5})),
    "cached_hit": Shape(usage_set(prompt_cache_hit_tokens=5, prompt_cache_miss_tokens=1)),
    "cached_beside": Shape(beside),
    "written_beside": Shape(written_beside),
    "reasoning_beside": Shape(reasoning_beside),
    "tier_default": Shape(fields(service_tier="default")),
    "cost_same": Shape(cost(1.0, lambda usd: {"cost": float(usd)})),
    "cost_header": Shape(cost_header),
    "dated": Shape(fields(model="hostile-2026-01-31"), model="hostile-2026-01-31"),
}  # fmt: skip
"""Its samples count, and its cost is settled exactly."""

DOUBTFUL: dict[str, Shape] = {
    "usage_array": Shape(usage(lambda u: [u])),
    "usage_text": Shape(usage(lambda u: json.dumps(u))),
    "usage_null": Shape(usage(lambda u: "null")),
    "usage_empty": Shape(usage(lambda u: u.clear())),
    "usage_zero": Shape(usage_set(prompt_tokens=0, completion_tokens=0, total_tokens=0)),
    "output_zero": Shape(usage(lambda u: u.update(completion_tokens=0,
                                                   total_tokens=u["prompt_tokens"]))),
    "prompt_zero": Shape(usage(lambda u: u.update(prompt_tokens=0,
                                                   total_tokens=u["completion_tokens"]))),
    "usage_negative": Shape(usage_set(completion_tokens=-5)),
    "usage_huge": Shape(usage_set(prompt_tokens=10**30)),
    "usage_true": Shape(usage_set(prompt_tokens=True)),
    "cost_lower": Shape(cost(0.5, lambda usd: {"cost": usd}), bill=0.5),
    "cost_higher": Shape(cost(1.3, lambda usd: {"cost": float(usd)}), bill=1.3),
    "cost_object": Shape(cost(1.2, lambda usd: {"cost": {"total_cost": float(usd)}}), bill=1.2),
    "cost_ticks": Shape(cost(0.7, lambda usd: {
        "cost_in_usd_ticks": int(float(usd) * 10**10)}), bill=0.7),
    "tier_flex": Shape(fields(service_tier="flex"), bill=0.5),
    "tier_priority": Shape(fields(service_tier="priority"), bill=1.75),
    "tier_unknown": Shape(fields(service_tier="quantum"), bill=1.5),
    "tier_in_usage": Shape(usage_set(service_tier="priority"), bill=2.0),
    "speed_fast": Shape(usage_set(speed="fast"), bill=2.0),
    "tools": Shape(usage_set(server_tool_use={"web_search_requests": 1}), bill=1.4),
    "sources": Shape(usage_set(num_sources_used=2), bill=1.4),
}  # fmt: skip
"""Its samples count, and not all of its cost is certain."""

OTHER_MODELS: dict[str, Shape] = {
    "fallback": Shape(fields(model="hostile-mini"), model="hostile-mini"),
}
"""Answered by a model whose own price is known."""

BROKEN: dict[str, Shape] = {
    "finish_error": Shape(choices(finish_reason="error")),
    "finish_abort": Shape(choices(finish_reason="abort")),
    "finish_resource": Shape(choices(finish_reason="insufficient_system_resource")),
    "finish_network": Shape(choices(finish_reason="network_error")),
    "choice_error": Shape(choices(error={"code": 502, "message": "the provider broke off"})),
    "error_and_text": Shape(fields(error={"code": 500, "message": "broke off"})),
    "events_cut": Shape(lambda m: (events(m), setattr(
        m, "body", (m.body or b"").replace(b'"finish_reason": "stop"',
                                           b'"finish_reason": null')))[0]),
    "no_choices": Shape(fields(choices=[])),
    "choices_null": Shape(fields(choices=None)),
    "choices_text": Shape(fields(choices="none")),
}  # fmt: skip
"""Paid for, and no answer of a model: its slots are censored, and nothing of it is judged."""

_WORDS = {
    402: ("insufficient_balance", "Insufficient Balance"),
    429: ("rate_limit_exceeded", "Too many requests, please try again in 0.2s"),
    500: ("server_error", "Something broke."),
    503: ("overloaded", "Overloaded, try again."),
}


def _inside(status: int, shape: str) -> Callable[[Made], None]:
    """An error in a 200, as one of several dialects writes it."""
    code, words = _WORDS[status]
    documents: dict[str, Any] = {
        "number": {"error": {"code": status, "message": words}},
        "text": {"error": {"code": str(status), "message": words, "metadata": {"raw": "{}"}}},
        "object": {"object": "error", "message": words, "type": code, "code": status},
        "word": {"error": {"type": code, "code": code, "message": words}},
        "list": [{"error": {"code": status, "message": words, "status": code.upper()}}],
        "typed": {"type": "error", "error": {"type": code, "message": words}},
        "choices": {"id": "x", "choices": [], "error": {"code": status, "message": words}},
    }
    return instead(documents[shape])


INSIDE: dict[str, Shape] = {
    f"inside_{status}_{shape}": Shape(_inside(status, shape), bill=0.0)
    for status, shapes in {
        429: ("number", "object", "word", "choices"),
        500: ("number", "list"),
        503: ("text", "typed", "number"),
        402: ("number", "word", "object"),
    }.items()
    for shape in shapes
}
"""Errors in a 200: nothing was billed. Those of 402 stop the run."""

SHAPES: dict[str, Shape] = {
    **READABLE, **DOUBTFUL, **OTHER_MODELS, **BROKEN, **INSIDE, **BODIES, **DIALECTS,
    **HELD_BODIES, **CUT, **LIMITED, **OVERLOADED, **BETWEEN, **WRONG, **SLIPS, **PAID,
    **LIMITED_WORDS, **OVERLOADED_WORDS, **WRONG_WORDS,
    **{name: shape for shapes in ENDING.values() for name, shape in shapes.items()},
}  # fmt: skip
NO_CREDIT_INSIDE = frozenset(name for name in INSIDE if "402" in name)
STOPPING = NO_CREDIT_INSIDE.union(*ENDING.values())
"""Those that end a run."""
