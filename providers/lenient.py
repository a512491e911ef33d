"""JSON that is not quite JSON, read token by token, as far as it goes.

Read here: commas too many, comments, single quotes, Python's True and None, escapes that
JSON does not have, leading zeros, and a document that was cut off. Of a cut one it is said which
member of the outermost object was being written, so that nobody takes half of it for the whole. It
works without recursion; what is nested deeper than any server means to is left out.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

DEEPEST = 200
_SKIP = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.S)
_STRING = {
    # Possessive: a string that is never closed would be tried in every split of its characters.
    '"': re.compile(r'"(?:[^"\\]++|\\.)*+"', re.S),
    "'": re.compile(r"'(?:[^'\\]++|\\.)*+'", re.S),
}
_BARE = re.compile(r"[^\s,:\[\]{}\"']+")
_WORDS: dict[str, Any] = {
    "true": True, "True": True, "false": False, "False": False, "null": None, "None": None,
    "NaN": None, "undefined": None,
}  # fmt: skip
_ESCAPE = re.compile(r'(\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))|\\')
"""An escape of JSON, or a backslash that is none."""
_MISSING: Any = object()


class Taken(NamedTuple):
    """What could be read."""

    document: Any
    end: int
    """Where in the text the document ends."""
    cut: str | None = None
    """The member of the outermost object in which the text ends; "" between two of them. None: the
    document is whole."""


class _Open:
    """A container that is being read; `into` is None where it lies too deep to be kept."""

    __slots__ = ("comma", "into", "key", "named", "pairs")

    def __init__(self, into: Any, *, pairs: bool) -> None:
        self.into = into
        self.pairs = pairs
        self.key: Any = _MISSING
        self.named = False
        """Whether the colon after `key` has come."""
        self.comma = True
        """Whether a value may come: at the start, or after a comma."""

    def takes(self) -> bool:
        """Whether a value may stand here."""
        return self.comma and (not self.pairs or self.key is _MISSING or self.named)

    def put(self, value: Any) -> None:
        if self.pairs and self.key is _MISSING:
            self.key = value if isinstance(value, str) else str(value)
            return
        if self.pairs and self.into is not None:
            self.into[self.key] = value
        elif self.into is not None:
            self.into.append(value)
        self.key, self.named, self.comma = _MISSING, False, False

    def mark(self, mark: str) -> bool:
        """Take a comma or colon; whether it may stand here."""
        if mark == ":":
            fits = self.pairs and self.key is not _MISSING and not self.named
            self.named = True
            return fits
        if self.key is not _MISSING:
            if not self.named:
                return False
            self.put(None)
        self.comma = True
        return True


def read_lenient(text: str, start: int = 0) -> Taken:
    """The object or list that begins at `start`; raises ValueError where none does.

    Where a mark is missing or in the wrong place, bytes are lost: the document is cut there.
    """
    if text[start : start + 1] not in ("{", "["):
        raise ValueError("no object")
    stack: list[_Open] = []
    at = start
    while at < len(text):
        at = _SKIP.match(text, at).end()  # type: ignore[union-attr]
        mark = text[at : at + 1]
        if not mark:
            break
        if mark in "{[":
            if stack and (not stack[-1].takes() or (stack[-1].pairs and not stack[-1].named)):
                break
            pairs = mark == "{"
            made: Any = {} if pairs else []
            stack.append(_Open(made if len(stack) < DEEPEST else None, pairs=pairs))
            at += 1
        elif mark in "}]":
            if stack[-1].pairs != (mark == "}") or not _closes(stack[-1]):
                break
            done = stack.pop()
            at += 1
            if not stack:
                return Taken(done.into, at)
            stack[-1].put(done.into)
        elif mark in ":,":
            if not stack[-1].mark(mark):
                break
            at += 1
        else:
            value, at, whole = _plain(text, at)
            if not stack[-1].takes() or (not whole and not _holds(stack[-1])):
                break
            stack[-1].put(value)
            if not whole:
                break
    return _cut(stack, at)


def _closes(open_: _Open) -> bool:
    """Whether a container may end here; a key without its value is given none."""
    if open_.key is not _MISSING:
        if not open_.named:
            return False
        open_.put(None)
    return True


def _holds(open_: _Open) -> bool:
    """Whether half a value may be kept: half a key is none."""
    return not open_.pairs or open_.key is not _MISSING


def _cut(stack: list[_Open], end: int) -> Taken:
    """Close what is open, and say where the text broke off."""
    outermost = stack[0]
    writing = "" if outermost.key is _MISSING else str(outermost.key)
    if len(stack) == 1 and not writing and not outermost.comma and outermost.into:
        # A value that ends with the text may go on beyond it.
        last = next(reversed(outermost.into)) if outermost.pairs else ""
        writing = "" if not last or isinstance(outermost.into[last], dict | list) else last
    while len(stack) > 1:
        done = stack.pop()
        stack[-1].put(done.into)
    return Taken(outermost.into, end, writing)


def _plain(text: str, at: int) -> tuple[Any, int, bool]:
    """A string, number or word, where it ends, and whether it is whole."""
    mark = text[at]
    if mark in _STRING:
        found = _STRING[mark].match(text, at)
        if found is None:
            return _unescaped(text[at + 1 :]), len(text), False
        return _unescaped(found[0][1:-1], mark), found.end(), True
    found = _BARE.match(text, at)
    word = found[0] if found else text[at]
    end = at + len(word)
    if word in _WORDS:
        return _WORDS[word], end, True
    try:
        return (float(word) if re.search(r"[.eE]", word) else int(word)), end, end < len(text)
    except ValueError:
        return None, end, end < len(text)


def _unescaped(inside: str, mark: str = '"') -> str:
    inside = _ESCAPE.sub(lambda found: found[1] or ("" if mark == "'" else r"\\"), inside)
    if mark == "'":
        inside = inside.replace('"', '\\"')
    try:
        return str(json.loads(f'"{inside}"', strict=False))
    except ValueError:
        # Half an escape at the end of what was cut off.
        return inside
