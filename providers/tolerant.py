"""JSON from servers as they are: read as far as it can be, with what had to be mended.

Read here and refused elsewhere: a byte order mark, UTF-16, bytes that are no UTF-8, NaN and
Infinity, unpaired surrogates, control characters in strings, numbers of a thousand digits,
something after the document, and a stream of events where one document was asked for. What is cut
off is not mended: it raises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

_MOST_DIGITS = 40


class Unreadable(ValueError):
    """A body that holds no whole JSON document; the text says why."""


def read_json(body: bytes) -> tuple[Any, tuple[str, ...]]:
    """The document in `body`, and what had to be mended to read it; raises Unreadable."""
    try:
        return msgspec.json.decode(body), ()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    text, mended = _text(body)
    stripped = text.strip()
    if not stripped:
        raise Unreadable("the answer is empty")
    if stripped.startswith(("data:", "event:", "id:", ":")):
        return _events(stripped), (*mended, "a stream of events")
    try:
        document, end = _decoder.raw_decode(stripped)
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from None
    if stripped[end:].strip():
        mended = (*mended, "something after the document")
    return document, mended or ("values that JSON does not have",)


def _text(body: bytes) -> tuple[str, tuple[str, ...]]:
    encoding = json.detect_encoding(body)
    mended = () if encoding == "utf-8" else ("a byte order mark",)
    try:
        return body.decode(encoding), mended
    except UnicodeDecodeError:
        return body.decode("utf-8-sig", "replace"), ("bytes that are no UTF-8",)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


_decoder = json.JSONDecoder(strict=False, parse_int=_integer)


def _events(text: str) -> dict[str, Any]:
    """One document from the pieces of a stream, in OpenAI's shape; raises Unreadable."""
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for line in text.splitlines():
        payload = line.removeprefix("data:").strip()
        if not line.startswith("data:") or payload in ("", "[DONE]"):
            continue
        try:
            piece = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"an event of the stream cannot be read: {error}") from None
        if isinstance(piece, dict):
            _add(whole, choices, piece)
    if not whole and not choices:
        raise Unreadable("the stream of events is empty")
    if choices:
        whole["choices"] = [choices[index] for index in sorted(choices)]
    return whole


def _add(whole: dict[str, Any], choices: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    whole.update({name: value for name, value in piece.items()
                  if name != "choices" and value is not None})  # fmt: skip
    for place, part in enumerate(piece.get("choices") or ()):
        if not isinstance(part, Mapping):
            continue
        index = part.get("index")
        index = index if isinstance(index, int) else place
        # A stream that ends without a reason was cut off by its server.
        choice = choices.setdefault(
            index, {"index": index, "message": {"content": ""}, "finish_reason": "aborted"}
        )
        said = part.get("delta") or part.get("message") or {"content": part.get("text")}
        if isinstance(said, Mapping) and isinstance(said.get("content"), str):
            choice["message"]["content"] += said["content"]
        if part.get("finish_reason") is not None:
            choice["finish_reason"] = part["finish_reason"]
        if part.get("error") is not None:
            choice["error"] = part["error"]
