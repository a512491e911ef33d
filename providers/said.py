"""What an error says, in any of the shapes in use: its message, its codes, its status.

An error may stand in the body of an error status or of a 200; its words may be at the top, under
`error`, `errors`, `detail`, `fault` or `base_resp`, as an object, a list or a plain text, and once
more as JSON inside its own message. What cannot be read is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from budgets.headers import parse_reset
from providers.tolerant import Unreadable, read_json

HOLDERS = ("error", "errors", "fault", "base_resp", "Error")
MESSAGES = ("message", "msg", "status_msg", "error_msg", "errorMessage", "detail", "Message",
            "error_description", "faultstring", "reason")  # fmt: skip
CODES = ("error_code", "code", "type", "status", "__type", "error_type", "status_code",
         "statusCode",          "http_status", "errorcode", "reason")  # fmt: skip
WAITS = ("retry_after", "retryAfter", "retry_after_s", "retryDelay", "retry_delay")

_AGAIN_IN = re.compile(
    r"(?:try again|retry|reset\w*|available) (?:after|in)\s+(?:about )?"
    r"((?:\d+(?:\.\d+)?\s?(?:ms|s|m|h|d)(?![a-z]))+|\d+(?:\.\d+)?\s*(?:seconds?|secs?|minutes?|hours?))",
    re.I,
)
_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*(second|sec|minute|hour)s?", re.I)


@dataclass(frozen=True, slots=True)
class Said:
    """What an error says, as far as it can be read."""

    message: str
    codes: tuple[str, ...] = ()
    status: int | None = None
    """The HTTP status that its own words give it."""
    param: str = ""
    """The field of the request that it names."""
    wait_s: float | None = None
    """How long it asks to wait, where its words do."""


def read_error(body: bytes) -> Said:
    """The message and codes of an error's body."""
    try:
        parsed, _ = read_json(body)
    except Unreadable:
        return Said(body[:20_000].decode("utf-8", "replace"))
    return said_by(error_in(parsed) or parsed)


def error_in(document: Any) -> Any:
    """The error that a document holds; None where it holds none."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, Mapping):
        return None
    for name in HOLDERS:
        held = document.get(name)
        if held and not (name == "base_resp" and not _failed(held)):
            return document if isinstance(held, str) else held
    kind = str(document.get("object") or document.get("type") or document.get("status") or "")
    if kind.lower() in ("error", "failed", "failure") or document.get("success") is False:
        return document
    if "choices" in document or "content" in document:
        return None
    return (
        document if any(name in document for name in ("detail", "message", "error_msg")) else None
    )


def _failed(answer: Any) -> bool:
    """MiniMax tells of every answer how it went; 0 is well."""
    return isinstance(answer, Mapping) and answer.get("status_code") not in (0, None)


def said_by(error: Any, depth: int = 0) -> Said:
    """What an error object, list or text says."""
    if isinstance(error, list) and error:
        error = error[0] if len(error) == 1 else {"message": "; ".join(map(_line, error)),
                                                  "param": _place(error[0])}  # fmt: skip
    if isinstance(error, str):
        return replace(Said(error), wait_s=_wait_in(error), status=_number_in_words(error))
    if not isinstance(error, Mapping):
        return Said(str(error))
    nested = next((error[name] for name in HOLDERS if isinstance(error.get(name), Mapping)), None)
    if nested is not None and depth < 3:
        return said_by(nested, depth + 1)
    codes: list[str] = []
    details = error.get("details")
    for holder in (details, error, *(details if isinstance(details, list) else ())):
        if isinstance(holder, Mapping):
            codes += [str(holder[name]) for name in CODES if _plain(holder.get(name))]
    message = next(
        (error[name] for name in MESSAGES if error.get(name)), error.get("error") or error
    )
    if isinstance(message, list | Mapping) and message is not error and depth < 3:
        inner = said_by(message, depth + 1)
        return replace(inner, codes=(*codes, *inner.codes), status=_status(codes) or inner.status)
    text = str(message)
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("raw"), str):
        text = f"{text}: {metadata['raw']}"
    return Said(
        text,
        tuple(dict.fromkeys(codes)),
        _status(codes) or _number_in_words(text),
        str(error.get("param") or _place(error) or ""),
        _told_wait(error) if _told_wait(error) is not None else _wait_in(text),
    )


def _plain(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and bool(value)


def _line(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    said = next((error[name] for name in (*MESSAGES, "msg") if error.get(name)), error)
    place = _place(error)
    return f"{place}: {said}" if place else str(said)


def _place(error: Any) -> str:
    """The field that a validation error of FastAPI is about."""
    where = error.get("loc") if isinstance(error, Mapping) else None
    return str(where[-1]) if isinstance(where, list) and where else ""


def _status(codes: list[str]) -> int | None:
    for code in codes:
        if code.isascii() and code.isdigit() and 400 <= int(code) <= 599:
            return int(code)
    return None


_STATUS_WORDS = re.compile(r"^(?:error code: |http |status )?(4\d\d|5\d\d)\b", re.I)


def _number_in_words(text: str) -> int | None:
    found = _STATUS_WORDS.match(text.strip())
    return int(found[1]) if found else None


def _told_wait(error: Mapping[str, Any]) -> float | None:
    holders: list[Any] = [error, error.get("metadata")]
    details = error.get("details")
    holders += details if isinstance(details, list) else []
    for holder in holders:
        for name in WAITS if isinstance(holder, Mapping) else ():
            if _plain(holder.get(name)) or isinstance(holder.get(name), float):
                return parse_reset(str(holder[name]))
    return None


def _wait_in(text: str) -> float | None:
    found = _AGAIN_IN.search(text)
    if found is None:
        return None
    spelt = _UNIT.fullmatch(found[1].strip())
    if spelt:
        return float(spelt[1]) * {"s": 1, "m": 60, "h": 3600}[spelt[2][0].lower()]
    return parse_reset(found[1].replace(" ", ""))
