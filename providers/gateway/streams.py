"""Streams on their way through the gateway: usage read, and hidden where the agent did not ask.

A Reader gets the bytes of an upstream's stream and gives back what the agent may see. Only an event
in which the word `usage` stands as a name is parsed; inside a JSON text its quotes are escaped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from providers.gateway.dialects import CHAT, COMPLETIONS, MESSAGES, ApiPath
from providers.gateway.sse import Events, document_of, with_document

_MARK = b'"usage"'


class Reader(Protocol):
    """Follows one stream."""

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """The usage object, once the upstream has told all of it."""
        ...

    def feed(self, data: bytes) -> bytes:
        """What the agent may see of the events that are whole now."""
        ...

    def end(self) -> bytes:
        """What is left when the stream ends."""
        ...


class _Reader(ABC):
    def __init__(self) -> None:
        self._events = Events()
        self.usage: Mapping[str, Any] | None = None

    def feed(self, data: bytes) -> bytes:
        events = self._events.feed(data)
        if not any(_MARK in event for event in events):
            return b"".join(events)
        return b"".join(self._seen(event) if _MARK in event else event for event in events)

    def end(self) -> bytes:
        rest = self._events.rest
        return self._seen(rest) if _MARK in rest else rest

    @abstractmethod
    def _seen(self, event: bytes) -> bytes:
        """What the agent may see of an event that may carry usage."""


class ChatReader(_Reader):
    """Chat completions and completions: usage in a last event of its own, or beside a choice."""

    def __init__(self, *, hide: bool) -> None:
        super().__init__()
        self._hide = hide

    def _seen(self, event: bytes) -> bytes:
        document = document_of(event)
        if document is None or "usage" not in document:
            return event
        used = document["usage"]
        if isinstance(used, dict):
            self.usage = used
        if not self._hide:
            return event
        if used and not document.get("choices"):
            return b""
        del document["usage"]
        return with_document(event, document)


class ResponsesReader(_Reader):
    """Responses: usage in the response that the last event carries."""

    def _seen(self, event: bytes) -> bytes:
        document = document_of(event) or {}
        response = document.get("response")
        used = response.get("usage") if isinstance(response, dict) else None
        if isinstance(used, dict) and document.get("type") in _LAST:
            self.usage = used
        return event


_LAST = ("response.completed", "response.incomplete", "response.failed")


class MessagesReader(_Reader):
    """Messages: the prompt's tokens at the start, the output's at the end, as running totals."""

    def __init__(self) -> None:
        super().__init__()
        self._begun: dict[str, Any] = {}

    def _seen(self, event: bytes) -> bytes:
        document = document_of(event) or {}
        if document.get("type") == "message_start":
            message = document.get("message")
            self._begun = _usage(message if isinstance(message, dict) else {})
        elif document.get("type") == "message_delta":
            told = {name: value for name, value in _usage(document).items() if value is not None}
            self.usage = {**self._begun, **told}
        return event


def _usage(document: Mapping[str, Any]) -> dict[str, Any]:
    used = document.get("usage")
    return dict(used) if isinstance(used, dict) else {}


def reader_of(endpoint: ApiPath, *, hide: bool) -> Reader:
    """The reader for a stream of `endpoint`; `hide`: the agent did not ask for usage."""
    if endpoint is CHAT or endpoint is COMPLETIONS:
        return ChatReader(hide=hide)
    return MessagesReader() if endpoint is MESSAGES else ResponsesReader()
