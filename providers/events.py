"""A stream of events where one document was asked for: joined into the document it stands for.

Streams of OpenAI's protocol, of its Responses, of Anthropic, Gemini and Ollama are joined, as
events or as a document a line. A stream that ends without a reason was cut off by its server: its
choices are `aborted`. An event that cannot be read is left out, and so said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from providers.parts import content_of

Piece = dict[str, Any]
_MARKS = ("data:", "event:", "id:", "retry:", ":")
_LINES = re.compile(r"\r\n|\n|\r")
"""What ends a line of a stream; str.splitlines would split at characters inside of texts too."""


def is_stream(text: str) -> bool:
    """Whether a text is a stream of events, or of a document a line that are parts of one."""
    return text.startswith(_MARKS) or re.match(r"\{[^\n]*\"done\":\s*false[^\n]*\}\s*\n\s*\{",
                                               text) is not None  # fmt: skip


def events_in(text: str) -> tuple[list[Piece], bool]:
    """The documents of a stream, and whether some could not be read."""
    pieces: list[Piece] = []
    broken = False
    for payload in _payloads(text):
        try:
            piece = json.loads(payload, strict=False)
        except (ValueError, RecursionError):
            broken = True
            continue
        if isinstance(piece, dict):
            pieces.append(piece)
    return pieces, broken


def _payloads(text: str) -> list[str]:
    found: list[str] = []
    lines: list[str] = []
    data: list[str] = []
    for line in (*_LINES.split(text), ""):
        if line.startswith("data:"):
            data.append(line[5:].strip())
        elif line.startswith("{"):
            lines.append(line)
        elif not line.strip() and data:
            found += _events_of(data)
            data = []
    return [one for one in found or lines if one and one != "[DONE]"]


def _events_of(data: list[str]) -> list[str]:
    """One event may take several lines; servers that leave out the blank line write many."""
    if len(data) > 1 and not all(line.startswith(("{", "[DONE]")) for line in data):
        return ["\n".join(data)]
    return data


def joined(pieces: list[Piece]) -> Piece:
    """One document from the pieces of a stream."""
    if any("choices" in piece for piece in pieces):
        return _of_choices(pieces)
    types = {str(piece.get("type")) for piece in pieces}
    if "message_start" in types or "content_block_delta" in types:
        return _of_anthropic(pieces)
    if any(kind.startswith("response.") for kind in types):
        return _of_responses(pieces)
    if any("candidates" in piece for piece in pieces):
        return _of_gemini(pieces)
    if any("done" in piece for piece in pieces):
        return _of_ollama(pieces)
    whole: Piece = {}
    for piece in pieces:
        whole.update({name: value for name, value in piece.items() if value is not None})
    return whole


def _of_choices(pieces: list[Piece]) -> Piece:
    whole: Piece = {}
    choices: dict[int, Piece] = {}
    for piece in pieces:
        whole.update({name: value for name, value in piece.items()
                      if name != "choices" and value is not None})  # fmt: skip
        parts = piece.get("choices")
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, Mapping):
                _add(choices, part, place)
    if choices:
        whole["choices"] = [choices[index] for index in sorted(choices)]
    for choice in choices.values():
        choice["message"]["content"] = _paired(choice["message"]["content"])
    return whole


def _paired(text: str) -> str:
    """A text whose half characters came in different pieces."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _add(choices: dict[int, Piece], part: Mapping[str, Any], place: int) -> None:
    index = part.get("index")
    index = index if isinstance(index, int) else place
    choice = choices.setdefault(
        index, {"index": index, "message": {"content": ""}, "finish_reason": "aborted"}
    )
    said = part.get("delta") or part.get("message") or {"content": part.get("text")}
    message = choice["message"]
    if isinstance(said, Mapping):
        for name in ("refusal", "reasoning_content", "reasoning"):
            if isinstance(said.get(name), str):
                message[name] = (message.get(name) or "") + said[name]
        text = content_of(said.get("content"), []) or ""
        # Some send the whole message once more at its end.
        again = not part.get("delta") and part.get("finish_reason") is not None
        if not (again and message["content"] and text.startswith(message["content"])):
            text = message["content"] + text
        message["content"] = text
    for name in ("finish_reason", "native_finish_reason", "error", "usage", "logprobs"):
        if part.get(name) is not None:
            choice[name] = part[name]


def _of_anthropic(pieces: list[Piece]) -> Piece:
    whole: Piece = {"content": [], "stop_reason": "aborted", "usage": {}}
    texts: dict[Any, str] = {}
    for piece in pieces:
        kind, delta = piece.get("type"), piece.get("delta")
        if kind == "message_start" and isinstance(piece.get("message"), Mapping):
            message = dict(piece["message"])
            whole.update({n: v for n, v in message.items() if n in ("id", "model", "type")})
            _more(whole["usage"], message.get("usage"))
        elif kind == "content_block_delta" and isinstance(delta, Mapping):
            if isinstance(delta.get("text"), str):
                place = piece.get("index", 0)
                texts[place] = texts.get(place, "") + delta["text"]
        elif kind == "message_delta" and isinstance(delta, Mapping):
            whole["stop_reason"] = delta.get("stop_reason") or whole["stop_reason"]
            _more(whole["usage"], piece.get("usage"))
        elif kind == "error":
            whole["error"] = piece.get("error") or piece
    whole["content"] = [{"type": "text", "text": text} for text in texts.values()]
    if "error" in whole and not texts:
        del whole["content"]
    if whole["stop_reason"] == "aborted":
        # The counts at its start are not those of its end.
        whole["usage"] = None
    return whole


def _more(usage: Piece, told: Any) -> None:
    if isinstance(told, Mapping):
        usage.update({name: value for name, value in told.items() if value is not None})


def _of_responses(pieces: list[Piece]) -> Piece:
    ended = [piece["response"] for piece in pieces if isinstance(piece.get("response"), Mapping)
             and str(piece.get("type")) in (
                 "response.completed", "response.incomplete", "response.failed")]  # fmt: skip
    if ended:
        return dict(ended[-1])
    text = "".join(piece["delta"] for piece in pieces if isinstance(piece.get("delta"), str)
                   and piece.get("type") == "response.output_text.delta")  # fmt: skip
    content = [{"type": "output_text", "text": text}]
    return {"object": "response", "status": "aborted",
            "output": [{"type": "message", "content": content}]}  # fmt: skip


def _of_gemini(pieces: list[Piece]) -> Piece:
    whole: Piece = {}
    candidates: dict[Any, Piece] = {}
    for piece in pieces:
        whole.update({n: v for n, v in piece.items() if n != "candidates" and v is not None})
        for part in piece.get("candidates") or ():
            if not isinstance(part, Mapping):
                continue
            one = candidates.setdefault(
                part.get("index", 0), {"content": {"parts": []}, "finishReason": "aborted"}
            )
            held = part.get("content")
            parts = held.get("parts") if isinstance(held, Mapping) else None
            one["content"]["parts"] += parts if isinstance(parts, list) else []
            one["finishReason"] = part.get("finishReason") or one["finishReason"]
    whole["candidates"] = list(candidates.values())
    return whole


def _of_ollama(pieces: list[Piece]) -> Piece:
    whole: Piece = {}
    text, chat = "", False
    for piece in pieces:
        whole.update({n: v for n, v in piece.items() if v is not None})
        message = piece.get("message")
        chat = chat or isinstance(message, Mapping)
        said = message.get("content") if isinstance(message, Mapping) else piece.get("response")
        text += said if isinstance(said, str) else ""
    if not whole.get("done"):
        whole["done_reason"] = "aborted"
    return whole | ({"message": {"content": text}} if chat else {"response": text})
