"""How an odd answer is made: one plain answer of OpenAI's protocol, changed by a shape.

odd.py and its siblings hold the shapes; server.py sends what they make.
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
    wire: bytes | None = None
    """Written to the connection as it is, head and all, and the connection closed."""

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


def usage(change: Callable[[Document], Any]) -> Callable[[Made], None]:
    """Change the usage object, or put another value in its place."""

    def apply(made: Made) -> None:
        other = change(made.document["usage"])
        if other is not None:
            made.document["usage"] = None if other == "null" else other

    return apply


def fields(**values: Any) -> Callable[[Made], None]:
    return lambda made: made.document.update(values)


def usage_set(**values: Any) -> Callable[[Made], None]:
    return usage(lambda usage: usage.update(values))


def choices(**values: Any) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        for choice in made.document["choices"]:
            choice.update(values)

    return apply


def texts(change: Callable[[str], Any]) -> Callable[[Made], None]:
    """Change every choice's text."""

    def apply(made: Made) -> None:
        for choice in made.document["choices"]:
            if "message" in choice:
                choice["message"]["content"] = change(choice["message"]["content"])
            else:
                choice["text"] = change(choice["text"])

    return apply


def body(change: Callable[[bytes], bytes]) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        made.body = change(made.encoded())

    return apply


def status(status: int) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        made.status = status

    return apply


def header(name: str, value: str) -> Callable[[Made], None]:
    return lambda made: made.headers.update({name: value})


def instead(document: Any) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        made.document = document

    return apply


def only_index(change: Callable[[int], Any]) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        for choice in made.document["choices"]:
            choice["index"] = change(choice["index"])

    return apply


def events(made: Made) -> None:
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


def beside(made: Made) -> None:
    """Cached tokens that the prompt's count leaves out, told apart by the total."""
    usage = made.document["usage"]
    cached = usage["prompt_tokens"] // 2
    usage["prompt_tokens"] -= cached
    usage["cache_read_input_tokens"] = cached


def written_beside(made: Made) -> None:
    usage = made.document["usage"]
    written = usage["prompt_tokens"] // 3
    usage["prompt_tokens"] -= written
    usage["cache_creation_input_tokens"] = written


def reasoning_beside(made: Made) -> None:
    """Reasoning that only the total counts."""
    usage = made.document["usage"]
    hidden = usage["completion_tokens"] // 2
    usage["completion_tokens"] -= hidden
    usage["completion_tokens_details"] = {"reasoning_tokens": hidden}
    if usage["completion_tokens"] < len(made.document["choices"]):
        usage["completion_tokens"] += hidden


def renamed(made: Made) -> None:
    usage = made.document["usage"]
    made.document["usage"] = {
        "input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"],
    }  # fmt: skip


def gemini(made: Made) -> None:
    usage = made.document["usage"]
    made.document["usage"] = {
        "promptTokenCount": usage["prompt_tokens"],
        "candidatesTokenCount": usage["completion_tokens"],
        "totalTokenCount": usage["total_tokens"],
    }


def cost(share: float, place: Callable[[str], Document]) -> Callable[[Made], None]:
    def apply(made: Made) -> None:
        made.document["usage"].update(place(f"{made.document['plain_usd'] * share:.12f}"))

    return apply


def cost_header(made: Made) -> None:
    made.headers["x-litellm-response-cost"] = f"{made.document['plain_usd']:.12f}"
