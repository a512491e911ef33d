"""Shapes of answers that servers are reported to give: odd, and paid for all the same.

Each shape changes one plain answer of OpenAI's protocol as some server in the world writes it, and
says what of the plain answer's cost is on the bill. They join the faults of faults.py by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass
class Made:
    """An answer on its way out."""

    document: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent as it is where a shape is one of bytes."""

    def encoded(self) -> bytes:
        return json.dumps(self.document).encode() if self.body is None else self.body


@dataclass(frozen=True)
class Shape:
    """One odd answer."""

    change: Callable[[Made], None]
    bill: float = 1.0
    """What is on the bill, as a share of the plain answer's cost."""
    model: str = ""
    """The model on the bill, where another one answered."""
    prompt_only: bool = False
    """Whether only the prompt is billed."""


def _usage(change: Callable[[Document], Any]) -> Callable[[Made], None]:
    """Change the usage object, or put another value in its place."""

    def apply(made: Made) -> None:
        other = change(made.document["usage"])
        if other is not None:
            made.document["usage"] = None if other == "null" else other

    return apply


def _set(**values: Any) -> Callable[[Made], None]:
    return lambda made: made.document.update(values)


def _usage_set(**values: Any) -> Callable[[Made], None]:
    return _usage(lambda usage: usage.update(values))


def _choices(**values: Any) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        for choice in made.document["choices"]:
            choice.update(values)

    return apply


def _texts(change: Callable[[str], Any]) -> Callable[[Made], None]:
    """Change every choice's text."""

    def apply(made: Made) -> None:
        for choice in made.document["choices"]:
            if "message" in choice:
                choice["message"]["content"] = change(choice["message"]["content"])
            else:
                choice["text"] = change(choice["text"])

    return apply


def _body(change: Callable[[bytes], bytes]) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        made.body = change(made.encoded())

    return apply


def _status(status: int) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        made.status = status

    return apply


def _header(name: str, value: str) -> Callable[[Made], None]:
    return lambda made: made.headers.update({name: value})


def _instead(document: Any) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        made.document = document

    return apply


def _only_index(change: Callable[[int], Any]) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        for choice in made.document["choices"]:
            choice["index"] = change(choice["index"])

    return apply


def _events(made: Made) -> None:
    """A stream of events, though one document was asked for."""
    whole = made.document
    head = {name: whole[name] for name in ("id", "model")}
    lines = [": a comment to keep the connection"]
    for choice in whole["choices"]:
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        for part, reason in ((text[:5], None), (text[5:], choice["finish_reason"])):
            piece = {"index": choice["index"], "delta": {"content": part}, "finish_reason": reason}
            lines.append("data: " + json.dumps({**head, "choices": [piece]}))
    lines.append("data: " + json.dumps({**head, "choices": [], "usage": whole["usage"]}))
    made.body = ("\n\n".join(lines) + "\n\ndata: [DONE]\n\n").encode()


def _beside(made: Made) -> None:
    """Cached tokens that the prompt's count leaves out, told apart by the total."""
    usage = made.document["usage"]
    cached = usage["prompt_tokens"] // 2
    usage["prompt_tokens"] -= cached
    usage["cache_read_input_tokens"] = cached


def _written_beside(made: Made) -> None:
    usage = made.document["usage"]
    written = usage["prompt_tokens"] // 3
    usage["prompt_tokens"] -= written
    usage["cache_creation_input_tokens"] = written


def _reasoning_beside(made: Made) -> None:
    """Reasoning that only the total counts."""
    usage = made.document["usage"]
    hidden = usage["completion_tokens"] // 2
    usage["completion_tokens"] -= hidden
    usage["completion_tokens_details"] = {"reasoning_tokens": hidden}
    if usage["completion_tokens"] < len(made.document["choices"]):
        usage["completion_tokens"] += hidden


def _renamed(made: Made) -> None:
    usage = made.document["usage"]
    made.document["usage"] = {
        "input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"],
    }  # fmt: skip


def _gemini(made: Made) -> None:
    usage = made.document["usage"]
    made.document["usage"] = {
        "promptTokenCount": usage["prompt_tokens"],
        "candidatesTokenCount": usage["completion_tokens"],
        "totalTokenCount": usage["total_tokens"],
    }


def _cost(share: float, place: Callable[[str], Document]) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        made.document["usage"].update(place(f"{made.document['plain_usd'] * share:.12f}"))

    return apply


def _cost_header(made: Made) -> None:
    made.headers["x-litellm-response-cost"] = f"{made.document['plain_usd']:.12f}"


READABLE: dict[str, Shape] = {
    "details_list": Shape(_usage_set(prompt_tokens_details=["x"])),
    "details_text": Shape(_usage_set(prompt_tokens_details="none")),
    "details_odd": Shape(_usage_set(completion_tokens_details=7, prompt_tokens_details=False)),
    "details_nested": Shape(_usage_set(prompt_tokens_details={"cached_tokens": {"n": 1}})),
    "usage_floats": Shape(_usage(lambda u: {k: float(v) for k, v in u.items()})),
    "usage_strings": Shape(_usage(lambda u: {k: str(v) for k, v in u.items()})),
    "usage_renamed": Shape(_renamed),
    "usage_gemini": Shape(_gemini),
    "usage_more": Shape(_usage_set(queue_time=0.1, total_time="1 s", x=None, cached_tokens=0)),
    "header_latin1": Shape(_header("x-note", "caf\u00e9 \u00fc")),
    "mark_first": Shape(_body(lambda b: b"\xef\xbb\xbf" + b)),
    "utf16": Shape(_body(lambda b: b.decode().encode("utf-16"))),
    "nan_unused": Shape(_body(lambda b: b[:-1] + b', "score": NaN, "up": Infinity}')),
    "digits": Shape(_body(lambda b: b[:-1] + b', "big": ' + b"9" * 5000 + b"}")),
    "surrogate": Shape(_texts(lambda t: t[:4] + "\ud83d" + t[4:])),
    "no_utf8": Shape(_body(lambda b: b.replace(b" so", b" s\xff", 1))),
    "control": Shape(_body(lambda b: b.replace(b" so", b" s\x07\t", 1))),
    "after_it": Shape(_body(lambda b: b + b"\n\nOK")),
    "twice": Shape(_body(lambda b: b + b)),
    "space_first": Shape(_body(lambda b: b"\n\n  \n" + b + b"\n")),
    "status_201": Shape(_status(201)),
    "status_203": Shape(_status(203)),
    "events": Shape(_events),
    "coding_utf8": Shape(_header("content-encoding", "utf-8")),
    "one_choice": Shape(lambda m: m.document.update(
        choices=m.document["choices"][0]) if len(m.document["choices"]) == 1 else None),
    "index_text": Shape(_only_index(str)),
    "index_none": Shape(_only_index(lambda _: None)),
    "index_float": Shape(_only_index(float)),
    "index_odd": Shape(_only_index(lambda _: ["x"])),
    "content_parts": Shape(_texts(lambda t: [{"type": "thinking", "thinking": "hm"},
                                             {"type": "text", "text": t}])),
    "content_texts": Shape(_texts(lambda t: [t[:3], t[3:]])),
    "model_number": Shape(_set(model=4)),
    "id_number": Shape(_set(id=17)),
    "model_null": Shape(_set(model=None)),
    "finish_number": Shape(_choices(finish_reason=1)),
    "finish_null": Shape(_choices(finish_reason=None)),
    "finish_object": Shape(_choices(finish_reason={"type": "stop", "matched": 7})),
    "finish_unknown": Shape(_choices(finish_reason="because")),
    "logprobs_odd": Shape(_choices(logprobs="none")),
    "error_null": Shape(_set(error=None)),
    "error_empty": Shape(_set(error={})),
    "more_fields": Shape(_set(system_fingerprint=3, created="now", object=None, x_groq={"id": 1})),
    "cached_inside": Shape(_usage_set(prompt_tokens_details={"cached_tokens": 5})),
    "cached_hit": Shape(_usage_set(prompt_cache_hit_tokens=5, prompt_cache_miss_tokens=1)),
    "cached_beside": Shape(_beside),
    "written_beside": Shape(_written_beside),
    "reasoning_beside": Shape(_reasoning_beside),
    "tier_default": Shape(_set(service_tier="default")),
    "cost_same": Shape(_cost(1.0, lambda usd: {"cost": float(usd)})),
    "cost_header": Shape(_cost_header),
    "dated": Shape(_set(model="hostile-2026-01-31"), model="hostile-2026-01-31"),
}  # fmt: skip
"""Its samples count, and its cost is settled exactly."""

DOUBTFUL: dict[str, Shape] = {
    "usage_array": Shape(_usage(lambda u: [u])),
    "usage_text": Shape(_usage(lambda u: json.dumps(u))),
    "usage_null": Shape(_usage(lambda u: "null")),
    "usage_empty": Shape(_usage(lambda u: u.clear())),
    "usage_zero": Shape(_usage_set(prompt_tokens=0, completion_tokens=0, total_tokens=0)),
    "output_zero": Shape(_usage(lambda u: u.update(completion_tokens=0,
                                                   total_tokens=u["prompt_tokens"]))),
    "prompt_zero": Shape(_usage(lambda u: u.update(prompt_tokens=0,
                                                   total_tokens=u["completion_tokens"]))),
    "usage_negative": Shape(_usage_set(completion_tokens=-5)),
    "usage_huge": Shape(_usage_set(prompt_tokens=10**30)),
    "usage_true": Shape(_usage_set(prompt_tokens=True)),
    "cost_lower": Shape(_cost(0.5, lambda usd: {"cost": usd}), bill=0.5),
    "cost_higher": Shape(_cost(1.3, lambda usd: {"cost": float(usd)}), bill=1.3),
    "cost_object": Shape(_cost(1.2, lambda usd: {"cost": {"total_cost": float(usd)}}), bill=1.2),
    "cost_ticks": Shape(_cost(0.7, lambda usd: {
        "cost_in_usd_ticks": int(float(usd) * 10**10)}), bill=0.7),
    "tier_flex": Shape(_set(service_tier="flex"), bill=0.5),
    "tier_priority": Shape(_set(service_tier="priority"), bill=1.75),
    "tier_unknown": Shape(_set(service_tier="quantum"), bill=1.5),
    "tier_in_usage": Shape(_usage_set(service_tier="priority"), bill=2.0),
    "speed_fast": Shape(_usage_set(speed="fast"), bill=2.0),
    "tools": Shape(_usage_set(server_tool_use={"web_search_requests": 1}), bill=1.4),
    "sources": Shape(_usage_set(num_sources_used=2), bill=1.4),
}  # fmt: skip
"""Its samples count, and not all of its cost is certain."""

OTHER_MODELS: dict[str, Shape] = {
    "fallback": Shape(_set(model="hostile-mini"), model="hostile-mini"),
}
"""Answered by a model whose own price is known."""

BROKEN: dict[str, Shape] = {
    "finish_error": Shape(_choices(finish_reason="error")),
    "finish_abort": Shape(_choices(finish_reason="abort")),
    "finish_resource": Shape(_choices(finish_reason="insufficient_system_resource")),
    "finish_network": Shape(_choices(finish_reason="network_error")),
    "choice_error": Shape(_choices(error={"code": 502, "message": "the provider broke off"})),
    "error_and_text": Shape(_set(error={"code": 500, "message": "broke off"})),
    "events_cut": Shape(lambda m: (_events(m), setattr(
        m, "body", (m.body or b"").replace(b'"finish_reason": "stop"',
                                           b'"finish_reason": null')))[0]),
    "no_choices": Shape(_set(choices=[])),
    "choices_null": Shape(_set(choices=None)),
    "choices_text": Shape(_set(choices="none")),
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
    return _instead(documents[shape])


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

SHAPES: dict[str, Shape] = {**READABLE, **DOUBTFUL, **OTHER_MODELS, **BROKEN, **INSIDE}
STOPPING = frozenset(name for name in INSIDE if "402" in name)
