"""Server-sent events: cut a stream into whole events, and read the JSON that they carry."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class Events:
    """Collects pieces of a stream and gives back whole events, each with its blank line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are whole now."""
        data = self._rest + data if self._rest else data
        found, start = [], 0
        for end in _END.finditer(data):
            found.append(data[start : end.end()])
            start = end.end()
        self._rest = data[start:]
        return found

    @property
    def rest(self) -> bytes:
        """What came after the last whole event."""
        return self._rest


def document_of(event: bytes) -> dict[str, Any] | None:
    """The JSON object that an event carries; None where it carries something else."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    try:
        found = msgspec.json.decode(b"\n".join(lines))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def with_document(event: bytes, document: dict[str, Any]) -> bytes:
    """The event with other JSON in it; its other lines stay."""
    kept = [line for line in event.splitlines() if line and not line.startswith(b"data:")]
    return b"\n".join([*kept, b"data: " + msgspec.json.encode(document), b"", b""])
