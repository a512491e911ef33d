"""One answer on its way from the upstream to the agent, whoever of the two is slower or goes first.

The upstream's side fills it and never waits for the agent, so that a call is settled when the
upstream is done. The agent's side begins once a reply is decided, and takes what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from providers.connection import decoded
from providers.gateway.streams import Reader
from providers.keys import KeyFilter


@dataclass(frozen=True, slots=True)
class Reply:
    """What the agent is answered."""

    status: int
    body: bytes | None
    """None: a stream, read piece by piece."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Passing:
    """The agent's side of a call."""

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self.broken = False
        """The stream ended before its end."""
        self.deserted = False
        """The agent has gone: nothing more is kept for it."""
        self._pieces: list[bytes] = []
        self._over = False
        self._more = asyncio.Event()

    def answer(self, reply: Reply) -> None:
        """Decide the reply, unless a stream has begun."""
        if self.reply is None:
            self.reply = reply
            self._more.set()

    def push(self, data: bytes) -> None:
        """The next piece of a stream."""
        if data and not self.deserted:
            self._pieces.append(data)
            self._more.set()

    def finish(self, *, broken: bool = False) -> None:
        """The stream is over."""
        self._over = True
        self.broken = broken
        self._more.set()

    def desert(self) -> None:
        """The agent is gone."""
        self.deserted = True
        self._pieces.clear()

    async def decided(self) -> Reply:
        """The reply, once it is decided. Cancelling this cancels nothing else."""
        while self.reply is None:
            self._more.clear()
            await self._more.wait()
        return self.reply

    async def pieces(self) -> AsyncIterator[bytes]:
        """A stream as it comes, in as few pieces as have gathered."""
        while True:
            if self._pieces:
                data = b"".join(self._pieces)
                self._pieces.clear()
                yield data
            elif self._over:
                return
            else:
                self._more.clear()
                await self._more.wait()


class Heard:
    """The upstream's side of one try: a stream goes on at once, anything else is kept whole."""

    def __init__(self, passing: Passing, reader: Reader | None, key_filter: KeyFilter) -> None:
        """`reader`: for a call that asked for a stream. An agent gets no echo of the key."""
        self._passing = passing
        self._key_filter = key_filter
        self._reader = reader
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.streaming = False
        self._parts: list[bytes] = []

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.status, self.headers = status, self._key_filter.clean_headers(headers)
        kind = headers.get("content-type", "")
        plain = headers.get("content-encoding", "identity") == "identity"
        if self._reader is not None and status == 200 and plain and "event-stream" in kind:
            self.streaming = True
            self._passing.answer(Reply(200, None, {"content-type": kind, **passed(self.headers)}))

    def body(self, data: bytes) -> None:
        if self.streaming and self._reader is not None:
            self._passing.push(self._key_filter.clean(self._reader.feed(data)))
        else:
            self._parts.append(data)

    def whole(self) -> bytes:
        """The body of an answer that was no stream; raises ValueError for a strange encoding."""
        body = b"".join(self._parts)
        return decoded(body, self.headers.get("content-encoding", "identity"))


_PASSED = ("request-id", "x-request-id", "retry-after", "retry-after-ms")


def passed(headers: Mapping[str, str]) -> dict[str, str]:
    """What of an upstream's headers an agent is told."""
    return {name: headers[name] for name in _PASSED if name in headers}
