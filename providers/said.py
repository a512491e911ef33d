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
MESSAGES = ("message", "msg", "status_msg", "error_msg", "errmsg", "errorMessage", "detail",
            "Message", "error_description", "faultstring", "reason", "title", "body")  # fmt: skip
CODES = ("error_code", "code", "type", "status", "__type", "error_type", "status_code",
         "statusCode", "http_status", "errorcode", "errcode", "reason", "error",
         "Code")  # fmt: skip
TELLING = ("detail", "message", "msg", "error_msg", "errmsg", "status_msg", "title")
"""Members in which a document without anything else is an error."""
ANSWERS = ("choices", "content", "candidates", "output", "data", "result", "response")
"""Members beside which such words are no error."""
WRAPPERS = ("Response", "response", "data", "result", "body")
"""Members in which an error may stand as a whole: Tencent's, a gateway's, a function's."""
STATUSES = ("statusCode", "status_code", "http_status")
"""Members that are an HTTP status and nothing else."""
WAITS = ("retry_after", "retryAfter", "retry_after_s", "retryDelay", "retry_delay")

_AGAIN_IN = re.compile(
    r"(?:(?:try again|retry|reset\w*|available) (?:after|in)|\bwait)\s+(?:about |for )?"
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
    lasting: bool = False
    """Whether it names a quota of a day, as Gemini does: its wait is then only that of a minute."""


MOST_BYTES = 64 * 2**10
MOST_CHARACTERS = 4000
"""Of an error so much is looked at: more has no more to say, and each rule reads all of it."""


def read_error(body: bytes) -> Said:
    """The message and codes of an error's body."""
    try:
        parsed, _ = read_json(body[:MOST_BYTES])
    except (Unreadable, RecursionError):
        said = Said(_words(body[:MOST_CHARACTERS].decode("utf-8", "replace")))
    else:
        said = said_by(error_in(parsed) or parsed)
    return replace(said, message=said.message[:MOST_CHARACTERS])


_TITLE = re.compile(r"<title[^>]*>([^<]*)</title>", re.I)


def _words(text: str) -> str:
    """A text as it is; of a page its title, or else its words."""
    if text.lstrip()[:1] != "<":
        return text
    found = _TITLE.search(text)
    words = found[1].split() if found else []
    return f"<{' '.join(words or re.sub(r'<[^<>]*>', ' ', text).split())}>"


def error_in(document: Any) -> Any:
    """The error that a document holds; None where it holds none."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if not isinstance(document, Mapping):
        return None
    for name in HOLDERS:
        held = document.get(name)
        if means_error(held) and not (name == "base_resp" and not _failed(held)):
            return held if isinstance(held, Mapping | list) else document
    inner = _wrapped(document)
    if inner is not None:
        return inner
    kind = str(document.get("object") or document.get("type") or document.get("status") or "")
    if kind.lower() in ("error", "failed", "failure") or document.get("success") is False:
        return document
    if any(document.get(name) for name in ANSWERS):
        return None
    if _status([str(document[name]) for name in STATUSES if name in document]):
        return document
    told = any(isinstance(document.get(name), str | list) for name in TELLING)
    return document if told and (means_error(document) or "detail" in document) else None


def _wrapped(document: Mapping[str, Any]) -> Any:
    """The error that a wrapper holds, also as JSON in a text; None where it holds none."""
    for name in WRAPPERS:
        held = document.get(name)
        if isinstance(held, str) and held.lstrip()[:1] == "{":
            held = _written_out(held)
        if isinstance(held, Mapping) and any(
            isinstance(held.get(one), Mapping) and means_error(held[one]) for one in HOLDERS
        ):
            return error_in(held)
    return None


NOTHING = frozenset({"", "0", "200", "none", "null", "ok", "success", "successful", "false",
                     "no error"})  # fmt: skip
"""Words of an error that is none."""


def means_error(value: Any) -> bool:
    """Whether an error's object, list or text says that something went wrong."""
    if isinstance(value, Mapping):
        return any(means_error(one) for one in value.values())
    if isinstance(value, list):
        return any(map(means_error, value))
    return bool(value) and str(value).strip().lower() not in NOTHING


def _failed(answer: Any) -> bool:
    """MiniMax tells of every answer how it went; 0 is well."""
    return isinstance(answer, Mapping) and answer.get("status_code") not in (0, None)


def said_by(error: Any, depth: int = 0) -> Said:
    """What an error object, list or text says."""
    if isinstance(error, list) and error:
        error = error[0] if len(error) == 1 else {"message": "; ".join(map(_line, error)),
                                                  "param": _place(error[0])}  # fmt: skip
    if isinstance(error, str):
        inner = _written_out(error) if depth < 3 else None
        if inner is not None:
            return said_by(inner, depth + 1)
        return replace(Said(error), wait_s=_wait_in(error), status=_number_in_words(error))
    if not isinstance(error, Mapping):
        return Said(str(error), status=_status([str(error)]))
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
    written = _written_out(text) if depth < 3 else None
    if written is not None and (_status(codes) or 500) >= 500:
        # What a gateway passes on of the server behind it.
        inner = said_by(written, depth + 1)
        return replace(inner, codes=(*inner.codes, *codes), status=inner.status or _status(codes))
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("raw"), str):
        text = f"{text}: {metadata['raw']}"
    place = _place(error)
    if place and place not in text:
        text = f"{place}: {text}"
    return Said(
        text,
        tuple(dict.fromkeys(codes)),
        _status(codes) or _number_in_words(text),
        str(error.get("param") or place or ""),
        _told_wait(error) if _told_wait(error) is not None else _wait_in(text),
        _of_a_day(details),
    )


def _written_out(text: str) -> Any:
    """The error that stands as JSON inside a text; None where none does."""
    start = text.find("{")
    if start < 0 or '"' not in text[start:]:
        return None
    try:
        inner, _ = read_json(text[start:].encode("utf-8", "surrogatepass"))
    except Unreadable:
        return None
    found = error_in(inner)
    return found if isinstance(found, Mapping | list) else None


def _plain(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and bool(value)


def _line(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    said = next((error[name] for name in (*MESSAGES, "msg") if error.get(name)), error)
    place = _place(error)
    return f"{place}: {said}" if place else str(said)


def _place(error: Any) -> str:
    """The field that a validation error of FastAPI is about, such as ["body", "seed"]."""
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


def _of_a_day(details: Any) -> bool:
    """Whether one of Google's quotas that are used up is a day's."""
    found = [violation for detail in (details if isinstance(details, list) else ())
             if isinstance(detail, Mapping) and isinstance(detail.get("violations"), list)
             for violation in detail["violations"] if isinstance(violation, Mapping)]  # fmt: skip
    return any("perday" in str(one.get("quotaId")).lower() for one in found)


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
