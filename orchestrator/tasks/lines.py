"""Reads JSON Lines whose fields are checked: every fault is a TaskError naming file, line, field.

Integers and floats are kept as the text that the file has (NumberText): a number of a million
digits neither fails nor loses a digit. A field that stands twice in one object, a text that
cannot be sent as UTF-8, and broken nesting are faults, not silent losses.
"""

from __future__ import annotations

import errno
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from budgets.given import open_given
from orchestrator.tasks.base import MOST_TASK_BYTES, TaskError


class NumberText(str):
    """A JSON number, as it was written."""

    __slots__ = ()


class _Refused(ValueError):
    """Valid JSON that we do not take."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"the field {twice!r} stands there twice")
    return fields


def _constant(name: str) -> Any:
    raise _Refused(f"{name} is not a JSON value")


def _parse(text: str) -> Any:
    return json.loads(
        text,
        parse_int=NumberText,
        parse_float=NumberText,
        parse_constant=_constant,
        object_pairs_hook=_object,
    )


def read_lines(
    path: Path, most_bytes: int = MOST_TASK_BYTES
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of every line that is not blank; raises TaskError.

    A file that ends in .gz is decompressed.
    """
    try:
        file = open_given(path, most_bytes)
    except OSError as error:
        raise TaskError(unreadable(path, error)) from None
    with file, cast(BinaryIO, gzip.open(file)) if path.suffix == ".gz" else file as lines:
        found = False
        for number, raw in enumerate(_bounded(path, lines, most_bytes), start=1):
            if not raw.strip():
                continue
            found = True
            yield number, _line(path, number, raw)
    if not found:
        raise TaskError(f"{path} is empty: it needs one JSON object per line, one per problem.")


def _bounded(path: Path, lines: BinaryIO, most_bytes: int) -> Iterator[bytes]:
    """The lines of a file that may be compressed, up to a bound of what they become."""
    size = 0
    try:
        while raw := lines.readline(most_bytes - size + 1):
            size += len(raw)
            if size > most_bytes:
                raise TaskError(
                    f"{path} holds more than {most_bytes / 2**20:,.0f} MiB; --max-file-mb allows "
                    "for more."
                )
            yield raw
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{path} cannot be read: {error}.") from None


def _line(path: Path, number: int, raw: bytes) -> dict[str, Any]:
    where = f"{path}, line {number}"
    try:
        # Some editors start a file with a byte order mark.
        value = _parse(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise TaskError(
            f"{where} is not UTF-8 text (byte {error.start + 1} of the line); save it as UTF-8."
        ) from None
    except json.JSONDecodeError as error:
        raise TaskError(f"{where} is not JSON: {error.msg} at column {error.colno}.") from None
    except _Refused as error:
        raise TaskError(f"{where} cannot be used: {error}.") from None
    except RecursionError:
        raise TaskError(f"{where} cannot be used: its values are nested too deeply.") from None
    if not isinstance(value, dict):
        raise TaskError(f"{where} must be a JSON object, but it is {kind_of(value)}.")
    return value


def unreadable(path: Path, error: OSError) -> str:
    """Why a file cannot be read, and what to do."""
    remedy = "--max-file-mb allows for more" if error.errno == errno.EFBIG else "check the path"
    return f"{path} cannot be read: {error.strerror}; {remedy}."


def as_json(value: Any) -> Any:
    """A parsed value with its numbers as numbers; integers may have any number of digits."""
    if isinstance(value, NumberText):
        return whole_number(value) if re.fullmatch(r"-?\d+", value) else float(value)
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


def whole_number(digits: str) -> int:
    """int(), in pieces short enough for its limit on digits."""
    piece = 4000
    if len(digits) <= piece:
        return int(digits)
    sign, digits = (-1, digits[1:]) if digits[0] == "-" else (1, digits)
    value = 0
    for start in range(0, len(digits), piece):
        part = digits[start : start + piece]
        value = value * 10 ** len(part) + int(part)
    return sign * value


def kind_of(value: object) -> str:
    """What a parsed value is, in JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, NumberText | int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"


def text_field(where: str, fields: Mapping[str, Any], name: str, *, numbers: bool = False) -> str:
    """The field as text; with `numbers`, a JSON number counts as its text. Raises TaskError."""
    if name not in fields:
        raise TaskError(f"{where} has no field {name!r}.")
    value = fields[name]
    if not isinstance(value, str) or (isinstance(value, NumberText) and not numbers):
        wanted = "a string or a number" if numbers else "a string"
        raise TaskError(f"{where}: the field {name!r} must be {wanted}, not {kind_of(value)}.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise TaskError(
                f"{where}: the field {name!r} holds half of a surrogate pair at character "
                f"{error.start + 1}, which cannot be sent as UTF-8."
            ) from None
    return str(value)
