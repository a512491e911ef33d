"""JSON from servers as they are: read as far as it can be, with what had to be mended.

Read here and refused elsewhere: a byte order mark, UTF-16, bytes that are no UTF-8, NaN and
Infinity, unpaired surrogates, control characters in strings, numbers of a thousand digits,
something before or after the document, what is not quite JSON (lenient.py), and a stream of events
where one document was asked for (events.py). Of what is cut off `read_json` reads nothing: it
raises. `read_cut` gives what there is, and says which member of the outermost object broke off.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec

from providers.events import events_in, is_stream, joined
from providers.lenient import read_lenient

_MOST_DIGITS = 40
_MEMBER = re.compile(r"\{\s*[\"']")
"""How an object begins that stands behind something else."""
_HALF = re.compile(rb"[\x80-\xff]{2}")
_BLANK = " \t\r\n\0\ufeff"
_TELLING = frozenset({
    "choices", "error", "errors", "content", "usage", "candidates", "output", "message", "data",
    "object", "id", "detail", "generated_text", "response", "completion", "custom_id", "result",
})  # fmt: skip
"""Members of which a document must have one where it stands amid something else."""


class Unreadable(ValueError):
    """A body that holds no whole JSON document; the text says why."""


class Read(NamedTuple):
    """What a body holds."""

    document: Any
    mended: tuple[str, ...] = ()
    """What had to be mended to read it, for a person."""
    cut: str | None = None
    """The member of the outermost object in which it breaks off; None: it is whole."""


def read_json(body: bytes) -> tuple[Any, tuple[str, ...]]:
    """The document in `body`, and what had to be mended to read it; raises Unreadable."""
    read = read_cut(body)
    if read.cut is not None:
        raise Unreadable(f"it is cut off after {len(body)} bytes")
    return read.document, read.mended


def read_cut(body: bytes) -> Read:
    """The document in `body`, also where it is cut off; raises Unreadable."""
    try:
        return Read(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    text, mended = _text(body)
    stripped = text.strip(_BLANK)
    if not stripped:
        raise Unreadable("the answer is empty")
    if is_stream(stripped):
        pieces, broken = events_in(stripped)
        if pieces:
            whole = joined(pieces)
            odd = "an event that cannot be read" if broken else "a stream of events"
            return Read(whole, (*mended, odd))
    start = _begins(stripped)
    if start is None:
        raise Unreadable(f"no JSON in it: {stripped[:60]!r}")
    return _document(stripped, start, mended)


def _document(text: str, start: int, mended: tuple[str, ...]) -> Read:
    """The document that begins at `start`, by the rules of JSON or, failing that, leniently."""
    cut = None
    try:
        document, end = _decoder.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        try:
            document, end, cut = read_lenient(text, start)
        except (ValueError, RecursionError):
            raise Unreadable(str(error)) from None
        mended = (*mended, "cut off" if cut is not None else "not quite JSON")
        if not document or (isinstance(document, dict) and not document.keys() & _TELLING):
            raise Unreadable(str(error)) from None
    if start:
        if not (isinstance(document, dict) and document.keys() & _TELLING):
            raise Unreadable(f"no JSON in it: {text[:60]!r}")
        mended = (*mended, "something before the document")
    if text[end:].strip(_BLANK):
        mended = (*mended, "something after the document")
    return Read(document, mended or ("values that JSON does not have",), cut)


def _begins(text: str) -> int | None:
    """Where a document begins; None where there is none."""
    if text[0] in '{["' or text[0].isdigit() or text[0] in "-tfnNI":
        try:
            _decoder.raw_decode(text)
            return 0
        except (ValueError, RecursionError):
            if text[0] in "{[":
                return 0
    # A page may hold scripts and styles: what is read of it is believed only where it tells.
    found = _MEMBER.search(text)
    return None if found is None or text[0] == "<" else found.start()


def _text(body: bytes) -> tuple[str, tuple[str, ...]]:
    encoding = json.detect_encoding(body.lstrip(b"\0") if body[:2] == b"\0\0" else body)
    mended = () if encoding == "utf-8" else ("a byte order mark",)
    try:
        return body.decode(encoding), mended
    except UnicodeDecodeError:
        # Two such bytes beside each other are half a character, or text of another kind.
        alone = encoding == "utf-8" and not _HALF.search(body)
        read = body.decode("cp1252" if alone else "utf-8-sig", "replace")
        return read, ("bytes that are no UTF-8",)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


_decoder = json.JSONDecoder(strict=False, parse_int=_integer)
