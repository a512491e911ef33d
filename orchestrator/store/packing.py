"""Long texts of a run, small: zstd with dictionaries that are learnt from the run's own texts.

Attempts at one problem resemble each other, so a run's first texts tell how to write the later ones
short. A packed value is a blob where the column would hold text: one byte that names a dictionary
(0: none), then a zstd frame with its length and checksum. A text that is short, or that packing
would not shorten, stays text, and so do all texts of older runs.

An answer that stands in its sample's text is not stored again: its blob says where it stands, and
has a digest by which equal answers vote together without a look at any text. What every request
says again (its model, the words of its usage) stands once (repeated.py).

`Packer` belongs to the thread that writes: nothing here runs on the event loop. Learning takes
10 to 50 ms, three times in a run's life.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import zstandard

from orchestrator.errors import StoreError
from orchestrator.store import schema
from orchestrator.store.repeated import IDS, RepeatedWords, restored
from verifiers.exact import bounded, plain

SEARCH = {
    "strategy": zstandard.STRATEGY_GREEDY, "search_log": 5, "min_match": 5, "window_log": 19,
    "hash_log": 17, "chain_log": 17, "target_length": 8,
}  # fmt: skip
"""What a dictionary is searched for: as quick as zstd's level 5, as small as its level 6."""
SHORT = 160
"""Texts of fewer characters stay as they are."""
WHOLE = -1
"""In place of a length: the answer is the whole text in the form that verifiers keep."""
SHORT_ANSWER = 64
"""The same of answers."""
STAGES = ((16 << 10, 8 << 10), (160 << 10, 32 << 10), (1 << 20, 112 << 10))
"""After how many bytes of text a dictionary is learnt, and how large it is."""
FEW = 3
"""From so many texts on, one call for all of them is cheaper than one for each."""
MOST_OF_ONE = 16 << 10
"""Of one text at most so many bytes are learnt from."""

_DIGEST = 8
PACKED = {
    schema.PUT_SAMPLE: "text",
    schema.PUT_CALL: "usage",
    schema.PUT_VERDICT: "detail answer",
}
"""By statement, the columns that hold packed values."""
_MODEL = schema.place(schema.PUT_ANSWER, "model")
_ID = schema.place(schema.PUT_ANSWER, "provider_id")
_USAGE = schema.place(schema.PUT_ANSWER, "usage")

VOTE = "CASE typeof(answer) WHEN 'blob' THEN substr(answer, 1, 8) ELSE answer END"
"""What an answer votes as, in SQL."""
UNPACKED = "unpacked"
"""The SQL function that gives a text as it was; a reader's connection has it."""

_MAGICLESS = zstandard.FORMAT_ZSTD1_MAGICLESS
_encoder = msgspec.msgpack.Encoder()

Row = tuple[Any, ...]
Vote = str | bytes | None
"""What an answer votes as: itself, or its digest where it is long; None where there is none."""


class FoundAnswer(NamedTuple):
    """An answer and the text in which a verifier found it."""

    answer: str
    text: str


class _Place(msgspec.Struct, array_like=True):
    """Where in its text a stored answer begins, and how long it follows it."""

    start: int
    length: int
    rest: str = ""
    """What comes after the part that stands in the text; as it is, or packed."""
    packed: bytes = b""


def _parameters() -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters(
        **SEARCH, format=_MAGICLESS, write_dict_id=False, write_checksum=True
    )


def _dictionary(content: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(content)


def _digest(answer: str) -> bytes:
    return hashlib.blake2b(answer.encode(), digest_size=_DIGEST).digest()


@dataclass(slots=True)
class _Learning:
    """Texts that the next dictionary is learnt from."""

    stage: int
    texts: list[bytes | bytearray | memoryview[int]] = field(default_factory=list)
    size: int = 0

    def see(self, content: bytes) -> None:
        """Keep a text to learn from, until no more is learnt."""
        if self.stage < len(STAGES):
            self.texts.append(content[:MOST_OF_ONE])
            self.size += min(len(content), MOST_OF_ONE)

    def learn(self) -> bytes:
        """A new dictionary where there is enough to learn from; else nothing."""
        enough = [size for least, size in STAGES[self.stage :] if self.size >= least]
        if not enough:
            return b""
        self.stage += len(enough)
        try:
            learnt = zstandard.train_dictionary(enough[-1], self.texts, k=200, d=8).as_bytes()
        except zstandard.ZstdError:
            learnt = b""  # Too few texts, or too alike: the next stage has more.
        if self.stage == len(STAGES):
            self.texts.clear()
        return learnt


class Packer:
    """Packs the rows of one database; for the thread that writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT dictionary, content FROM dictionaries ORDER BY 1")
        known = rows.fetchall()
        self._number = known[-1][0] if known else 0
        self._compressor = _compressor(_opened(known[-1][1]) if known else b"")
        self._repeated = RepeatedWords(connection)
        self._learning = _Learning(min(self._number, len(STAGES)))
        self._columns = {
            statement: tuple(schema.place(statement, column) for column in columns.split())
            for statement, columns in PACKED.items()
        }

    def group(self, rows: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
        """The rows of one commit, by statement, with their long texts packed.

        What is learnt from it is used for it already, and stored with it.
        """
        if self._learning.stage < len(STAGES):
            self._learn_from(rows)
        packed = dict[str, list[Row]]()
        if learnt := self._learning.learn():
            self._number += 1
            self._compressor = _compressor(learnt)
            content = zstandard.ZstdCompressor(level=9).compress(learnt)
            packed[schema.PUT_DICTIONARY] = [(self._number, content)]
        for statement, group in rows.items():
            for column in self._columns.get(statement, ()):
                group = self._column(group, column)
            packed[statement] = group
        if answers := rows.get(schema.PUT_ANSWER):
            packed[schema.PUT_ANSWER] = list(map(self._answer, answers))
            if new := self._repeated.new:
                packed[schema.PUT_REPEATED] = new
                self._repeated.new = []
        return packed

    def _learn_from(self, rows: Mapping[str, list[Row]]) -> None:
        for statement, columns in self._columns.items():
            for row in rows.get(statement, ()):
                for column in columns:
                    text = row[column]
                    if isinstance(text, str) and len(text) >= SHORT:
                        self._learning.see(text.encode())

    def _column(self, rows: list[Row], column: int) -> list[Row]:
        """The rows with what is long in one column packed."""
        values = [row[column] for row in rows]
        long = [value for value in values if isinstance(value, str) and len(value) >= SHORT]
        if not long and not any(isinstance(value, FoundAnswer) for value in values):
            return rows
        packed = iter(self._all_packed(long))
        changed = []
        for row, value in zip(rows, values, strict=True):
            if isinstance(value, FoundAnswer):
                value = self._found(value)
            elif isinstance(value, str) and len(value) >= SHORT:
                value = next(packed)
            changed.append((*row[:column], value, *row[column + 1 :]))
        return changed

    def _answer(self, row: Row) -> Row:
        usage = row[_USAGE]
        if usage is not None:
            usage = self._repeated.report(usage) or self._packed(usage)
        model = self._repeated.number(row[_MODEL])
        identifier = self._repeated.identifier(row[_ID])
        return (*row[:_MODEL], model, identifier, usage, *row[_USAGE + 1 :])

    def _packed(self, text: str) -> str | bytes:
        return text if len(text) < SHORT else self._all_packed([text])[0]

    def _all_packed(self, texts: list[str]) -> list[str | bytes]:
        """Long texts in one call: each call hands over the interpreter's lock (writer.py)."""
        contents: list[bytes | bytearray | memoryview[int]] = [text.encode() for text in texts]
        if len(texts) < FEW:
            frames = [self._compressor.compress(content) for content in contents]
        else:
            all_frames = self._compressor.multi_compress_to_buffer(contents)
            frames = [all_frames[at].tobytes() for at in range(len(contents))]
        mark = bytes((self._number,))
        return [
            mark + frame if len(frame) < len(content) else text
            for text, content, frame in zip(texts, contents, frames, strict=True)
        ]

    def _found(self, found: FoundAnswer) -> str | bytes:
        answer, text = found
        if len(answer) <= SHORT_ANSWER:
            return answer
        if answer == bounded(plain(text)):
            return _digest(answer) + _encoder.encode((0, WHOLE))
        start = max(text.find(answer[:SHORT_ANSWER]), 0)
        length = _alike(answer, text, start)
        rest = self._packed(answer[length:])
        place: tuple[object, ...] = (start, length)
        if isinstance(rest, bytes):
            place += ("", rest)
        elif rest:
            place += (rest,)
        return _digest(answer) + _encoder.encode(place)


class Unpacker:
    """Reads the values of one database as they were before they were packed."""

    def __init__(self, connection: sqlite3.Connection, whose: str) -> None:
        """`whose`: the run's directory, for messages."""
        self._connection = connection
        self._whose = whose
        self._by_number: dict[int, zstandard.ZstdDecompressor] = {}
        self._repeated: dict[int, str] = {}

    def text(self, value: str | bytes) -> str:
        """A text as it was; raises StoreError where it is damaged."""
        if isinstance(value, str):
            return value
        try:
            number = value[0]
            if number >= IDS[0]:
                return self._restored(value)
            known = self._by_number.get(number)
            if known is None:
                known = self._by_number[number] = self._with(number)
            return known.decompress(value[1:]).decode()
        except (zstandard.ZstdError, MemoryError, IndexError, ValueError, sqlite3.Error) as error:
            raise self._damaged(error) from None

    def answer(self, value: str | bytes | None, text: str) -> str | None:
        """A verdict's answer as it was, by its sample's text."""
        if value is None or isinstance(value, str):
            return value
        try:
            place = msgspec.msgpack.decode(value[_DIGEST:], type=_Place)
        except (msgspec.MsgspecError, ValueError) as error:
            raise self._damaged(error) from None
        if place.length == WHOLE:
            answer = bounded(plain(text))
        else:
            answer = text[place.start : place.start + place.length] + self.text(
                place.packed or place.rest
            )
        if _digest(answer) != value[:_DIGEST]:
            raise self._damaged(ValueError("an answer is not what it was"))
        return answer

    def _restored(self, value: bytes) -> str:
        try:
            return restored(value, self._repeated)
        except ValueError:
            # Perhaps of a commit since the last look.
            rows = self._connection.execute("SELECT number, content FROM repeated").fetchall()
            self._repeated = dict(rows)
            return restored(value, self._repeated)

    def _with(self, number: int) -> zstandard.ZstdDecompressor:
        if number == 0:
            return zstandard.ZstdDecompressor(format=_MAGICLESS)
        row = self._connection.execute(
            "SELECT content FROM dictionaries WHERE dictionary = ?", (number,)
        ).fetchone()
        if row is None:
            raise ValueError(f"dictionary {number} is missing")
        return zstandard.ZstdDecompressor(_dictionary(_opened(row[0])), format=_MAGICLESS)

    def _damaged(self, error: BaseException) -> StoreError:
        return StoreError(
            f"A text of {self._whose} is damaged ({error or type(error).__name__}). "
            f"See what is whole with: orch check {self._whose}"
        )


def vote(value: str | bytes | None) -> Vote:
    """What a stored answer votes as: the same for equal answers, however they are stored."""
    if value is None or (isinstance(value, str) and len(value) <= SHORT_ANSWER):
        return value
    return _digest(value) if isinstance(value, str) else value[:_DIGEST]


def _alike(answer: str, text: str, start: int) -> int:
    """How many characters of an answer stand in the text from `start` on."""
    if text.startswith(answer, start):
        return len(answer)
    low, high = 0, len(answer)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text.startswith(answer[:middle], start) else (low, middle - 1)
    return low


def _compressor(dictionary: bytes) -> zstandard.ZstdCompressor:
    parameters = _parameters()
    if not dictionary:
        return zstandard.ZstdCompressor(compression_params=parameters)
    made = _dictionary(dictionary)
    made.precompute_compress(compression_params=parameters)
    return zstandard.ZstdCompressor(dict_data=made, compression_params=parameters)


def _opened(content: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(content)
