"""What many rows say alike is stored once: models, words of usage reports, beginnings of ids.

A usage report of a server is the same JSON every time but for its numbers. Its words, with the
numbers taken out, are one row of `repeated`; a report is a blob of that row's number and of what
was taken out, and comes back to the last character. A server whose reports differ in their words
soon has used up its rows: what comes then is packed as any other text (packing.py).

Of an answer's id ("chatcmpl-" and 29 letters and digits) the beginning is such a row, and what
follows takes six bits a character.

`RepeatedWords` belongs to the thread that writes.
"""

from __future__ import annotations

import binascii
import re
import sqlite3

import msgspec

MARK = 255
"""The first byte of a blob that names a row of `repeated`; dictionaries have smaller numbers."""
IDS = range(251, 255)
"""The same of an id: 254 less the characters by which its end was filled up to groups of four."""
MOST = 256
"""So many different words are kept of a run, and so long ones."""
LONGEST = 4000

_NUMBER = re.compile(r":(?!0[,}])(-?[0-9][0-9.eE+-]*)(?=[,}])")
_PLAIN = ":([1-9][0-9]{0,17})"
"""A number that is the same digits again when it was an integer."""
_GAP = "\0"
"""Stands for a number in what is stored; no JSON has it."""

_ID = re.compile(r"([A-Za-z]{1,20}[-_])([A-Za-z0-9_-]{8,200})")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[int | str])
_FIRST = bytes((MARK,))


class RepeatedWords:
    """The rows of `repeated`, and those that the commit under way adds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT content, number FROM repeated").fetchall()
        self._numbers: dict[str, int] = dict(rows)
        self._next = max(self._numbers.values(), default=0) + 1
        self.new: list[tuple[int, str]] = []
        """Rows that are still to be stored."""
        self._usual: tuple[re.Pattern[str], int] | None = None
        """What the report before looked like, and the number of its words: most look so too."""

    def number(self, text: str) -> int:
        """Which row holds a text; a new one where none does."""
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = self._next
            self._next += 1
            self.new.append((found, text))
        return found

    def report(self, text: str) -> bytes | None:
        """A usage report without its words; None where they cannot be kept."""
        if self._usual is not None and (usual := self._usual[0].fullmatch(text)):
            return _FIRST + _encoder.encode([self._usual[1], *map(int, usual.groups())])
        parts = _NUMBER.split(text)
        words = _GAP.join(parts[::2])
        if words not in self._numbers and (
            len(self._numbers) >= MOST or len(words) > LONGEST or text.count(_GAP)
        ):
            return None
        numbers = [int(part) if _plain(part) else part for part in parts[1::2]]
        number = self.number(words)
        self._usual = re.compile(_PLAIN.join(map(re.escape, parts[::2]))), number
        return _FIRST + _encoder.encode([number, *numbers])

    def identifier(self, text: str) -> str | bytes:
        """An id in fewer bytes; as it is where it is of another form."""
        found = _ID.fullmatch(text)
        if found is None or (found[1] not in self._numbers and len(self._numbers) >= MOST):
            return text
        rest = found[2].replace("-", "+").replace("_", "/")
        fill = -len(rest) % 4
        bits = binascii.a2b_base64(rest + "AAA"[:fill])
        number = self.number(found[1]).to_bytes(2, "big")
        return bytes((IDS[-1] - fill,)) + number + bits[: (len(rest) * 6 + 7) // 8]


def restored(value: bytes, words: dict[int, str]) -> str:
    """What was stored as `value`; raises ValueError where it is damaged."""
    try:
        return _report(value, words) if value[0] == MARK else _identifier(value, words)
    except KeyError as error:
        raise ValueError(f"what rows repeat is missing (number {error})") from None


def _identifier(value: bytes, words: dict[int, str]) -> str:
    bits = value[3:] + b"\0" * (-len(value) % 3)
    rest = binascii.b2a_base64(bits, newline=False).decode().replace("+", "-").replace("/", "_")
    fill = IDS[-1] - value[0]
    return words[int.from_bytes(value[1:3], "big")] + rest[: len(rest) - fill]


def _report(value: bytes, words: dict[int, str]) -> str:
    try:
        number, *numbers = _decoder.decode(value[1:])
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    parts = words[int(number)].split(_GAP)
    if len(parts) != len(numbers) + 1:
        raise ValueError("a report has lost some of its numbers")
    return parts[0] + "".join(f":{n}{part}" for n, part in zip(numbers, parts[1:], strict=True))


def _plain(digits: str) -> bool:
    """Whether an integer gives the same digits again."""
    return len(digits) < 19 and digits.isdecimal() and digits[0] != "0"
