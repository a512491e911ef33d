"""One HTTP/1.1 connection: a request out, its answer in, one at a time; llhttp parses.

`exchange` returns the whole answer or raises ConnectionFailed, TimedOut or BadResponse, after
which the connection is gone. So it is after a cancellation. Bytes that nobody asked for close an
idle connection. Heads and bodies are bounded, so that no server can fill the memory. A `Listener`
hears an answer while it comes; its body is then not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import httptools
import msgspec

from providers.errors import BadResponse, ConnectionFailed, ProviderError, TimedOut

MAX_ANSWER_BYTES = 256 * 2**20
MAX_HEAD_BYTES = 256 * 2**10
GZIP = b"\x1f\x8b"
"""How a packed body begins, also where no header says so."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, each counted apart; None: no limit."""

    connect_s: float | None = 15.0
    """Name lookup, TCP and TLS."""
    first_byte_s: float | None = None
    """The longest silence of the server. An answer that is not streamed is silent until all of
    it is written, so that a limit here censors long generations as `total_s` does."""
    total_s: float | None = 3600.0
    """From the first step towards a connection to the last byte; waiting for our own other
    connections does not count."""


class HttpAnswer(msgspec.Struct, frozen=True):
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; of repeated ones the last."""
    body: bytes


class Listener(Protocol):
    """Hears an answer as it comes, piece by piece, in the bytes that the server sent."""

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """The answer begins; names of headers in lower case."""
        ...

    def body(self, data: bytes) -> None:
        """The next piece of the body."""
        ...


LENIENT: Mapping[str, bool] = dict.fromkeys((
    "lenient_headers", "lenient_optional_cr_before_lf", "lenient_optional_lf_after_cr",
    "lenient_optional_crlf_after_chunk", "lenient_spaces_after_chunk_size",
    "lenient_chunked_length",
), True)  # fmt: skip
"""Slips of servers that an answer survives: it is paid for, and it is the only one on its way."""


class Connection(asyncio.BufferedProtocol):
    """A connection to `where`; `on_idle` and `on_lost` tell its pool what became of it.

    What is received lies in `room` until it is parsed, which is at once: all connections of one
    event loop may share it.
    """

    def __init__(
        self,
        where: str,
        room: memoryview,
        on_idle: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._where = where
        self._room = room
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**LENIENT)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[HttpAnswer] | None = None
        self._listener: Listener | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._whole = self._headers, self._parts
        self._status = self._head_bytes = self._body_bytes = 0
        self._in_body = self._complete = self._keep = self._unasked = False
        self._heard_at = 0.0
        self._deadline: float | None = None
        self._limits = Timeouts()
        self._timer: asyncio.TimerHandle | None = None
        """Outlives its request: an hour's timer for each would fill the loop's heap."""
        self._watch: asyncio.TimerHandle | None = None
        self.idle_since = 0.0

    # What the pool and the request do.

    @property
    def usable(self) -> bool:
        """Whether a request may be written to it."""
        return self._transport is not None and not self._transport.is_closing()

    def fileno(self) -> int:
        """The socket's number, -1 without one."""
        sock = self._transport.get_extra_info("socket") if self._transport else None
        return -1 if sock is None else int(sock.fileno())

    async def exchange(
        self,
        request: bytes,
        limits: Timeouts,
        deadline: float | None,
        listener: Listener | None = None,
    ) -> HttpAnswer:
        """Write `request` and await its answer, until the loop's time `deadline` at most.

        With a `listener` the answer's body is empty: it has heard it, as the server encoded it.
        """
        assert self._transport is not None
        loop = self._loop
        waiter: asyncio.Future[HttpAnswer] = loop.create_future()
        self._waiter, self._listener = waiter, listener
        self._deadline, self._limits = deadline, limits
        if deadline is not None and (self._timer is None or self._timer.when() > deadline):
            self._ring_at(deadline)
        if limits.first_byte_s is not None:
            self._heard_at = loop.time()
            self._listen(limits.first_byte_s)
        self._transport.write(request)
        try:
            return await waiter
        except BaseException:
            # A waiter with a result means that the connection is idle or in other hands already.
            if waiter.cancelled() or not waiter.done() or waiter.exception() is not None:
                self.abort()
            raise

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._stop_clocks()
        if self._transport is not None:
            self._transport.abort()

    def _stop_clocks(self) -> None:
        for clock in (self._timer, self._watch):
            if clock is not None:
                clock.cancel()
        self._timer = self._watch = None

    def _ring_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        """A request's deadline, which may be that of one that was answered long ago."""
        self._timer = None
        if self._deadline is None:
            return
        if self._deadline > self._loop.time():
            self._ring_at(self._deadline)
            return
        total_s = self._limits.total_s or 0.0
        message = f"{self._where} did not finish its answer within {total_s:g} s"
        self._fail(TimedOut(message, sent="maybe_billed", phase="total"))

    def _listen(self, limit_s: float) -> None:
        """Fail once nothing was heard for `limit_s`; looked at when it could be so."""
        until = self._heard_at + limit_s
        if until > self._loop.time():
            self._watch = self._loop.call_at(until, self._listen, limit_s)
        else:
            message = f"{self._where} was silent for {limit_s:g} s"
            self._fail(TimedOut(message, sent="maybe_billed", phase="first_byte"))

    def _fail(self, error: ProviderError) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Another event loop's transports need not descend from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        data = self._room[:nbytes]
        waiter = self._waiter
        if waiter is None or waiter.done():
            self.abort()
            return
        if not self._in_body:
            self._head_bytes += len(data)
        if self._watch is not None:
            self._heard_at = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._complete:
                # The answer is whole; what came after it costs the connection only.
                self._unasked = True
                self._finish(waiter)
                return
            reason = f"{self._where} did not answer in HTTP: {error}"
            told = BadResponse(reason, sent="maybe_billed")
            self._fail(self._broken_off() if self._in_body else told)
            return
        if self._complete:
            self._finish(waiter)
        elif self._body_bytes > MAX_ANSWER_BYTES or (
            not self._in_body and self._head_bytes > MAX_HEAD_BYTES
        ):
            reason = (
                f"{self._where} sent more for one answer than orch holds "
                f"({MAX_ANSWER_BYTES >> 20} MiB); lower n or max_tokens"
            )
            self._fail(BadResponse(reason, sent="maybe_billed"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(self)
        self._stop_clocks()
        waiter, self._transport = self._waiter, None
        if waiter is None or waiter.done():
            return
        if self._in_body and exc is None and self._ends_with_connection():
            self._status = self._parser.get_status_code()
            self._whole = self._headers, self._parts
            self._finish(waiter)
        elif self._in_body:
            waiter.set_exception(self._broken_off())
        else:
            why = (exc.strerror if isinstance(exc, OSError) else None) or "closed without an answer"
            reason = f"{self._where} broke the connection: {why}"
            waiter.set_exception(ConnectionFailed(reason, sent="maybe_billed"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._complete:
            self._unasked = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_body = True
        status = self._parser.get_status_code()
        if self._listener is not None and status >= 200 and not self._complete:
            self._listener.head(status, _plain(self._headers))

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._listener is not None:
            if not self._complete:
                self._listener.body(body)
        elif self._body_bytes <= MAX_ANSWER_BYTES:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._complete:
            return
        self._status = self._parser.get_status_code()
        if self._status < 200:
            self._reset()
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()
        self._whole = self._headers, self._parts
        self._headers, self._parts = [], []

    # An answer's end.

    def _finish(self, waiter: asyncio.Future[HttpAnswer]) -> None:
        self._deadline = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        named, parts = self._whole
        status = self._status
        headers = _plain(named)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        keep = self._complete and self._keep and not self._unasked
        self._reset()
        listened, self._waiter, self._listener = self._listener is not None, None, None
        if not listened and ("content-encoding" in headers or body[:2] == GZIP):
            try:
                body = decoded(body, headers.get("content-encoding", "gzip"))
            except ValueError as broken:
                if status < 300:
                    reason = f"{self._where} sent a body that cannot be read: {broken}"
                    error = BadResponse(reason, sent="maybe_billed", body=body)
                    waiter.set_exception(error)
                    self.abort()
                    return
                # An error's status says enough.
        waiter.set_result(HttpAnswer(status, headers, body))
        if keep and self.usable:
            self.idle_since = self._loop.time()
            self._on_idle(self)
        elif self._transport is not None:
            self._transport.close()

    def _broken_off(self) -> BadResponse:
        """What came of an answer that was not sent to its end."""
        headers, body = _plain(self._headers), b"".join(self._parts)
        with contextlib.suppress(ValueError):
            body = decoded(body, headers.get("content-encoding", ""))
        reason = f"{self._where} broke off in the middle of its answer"
        error = BadResponse(reason, sent="maybe_billed", body=body)
        error.cut = HttpAnswer(self._parser.get_status_code(), headers, body)
        return error

    def _reset(self) -> None:
        self._headers = []
        self._parts = []
        self._head_bytes = self._body_bytes = 0
        self._in_body = self._complete = self._unasked = False

    def _ends_with_connection(self) -> bool:
        named = {name.lower() for name, _ in self._headers}
        return not named & {b"content-length", b"transfer-encoding"}


def _plain(named: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in named}


def decoded(body: bytes, encoding: str) -> bytes:
    """A body without its content encoding, which nobody asked for; raises ValueError.

    A label that names none (utf-8), or one of a proxy that has decoded the body already, is no
    encoding where JSON stands under it.
    """
    plain = body.lstrip()[:1] in (b"{", b"[")
    for name in reversed(encoding.lower().split(",")):
        if name.strip() in ("", "identity") or plain:
            continue
        if name.strip() == "zstd":
            body = _unpacked_zstd(body)
        elif name.strip() in ("gzip", "x-gzip", "deflate"):
            body = _unpacked(body)
        else:
            raise ValueError(f"encoding {name.strip()!r} was not asked for")
    return body


def _unpacked_zstd(body: bytes) -> bytes:
    """As far as it goes, like `_unpacked`."""
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True)
    try:
        plain = reader.read(MAX_ANSWER_BYTES)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None
    if not plain:
        raise ValueError("there is nothing in it")
    return plain


def _unpacked(body: bytes) -> bytes:
    """gzip and zlib, told apart by their heads; then deflate without one.

    What is cut off is unpacked as far as it goes: its reader sees that it is not whole.
    """
    why = ""
    for bits in (47, -15):
        plain, rest = b"", body
        try:
            while rest and len(plain) < MAX_ANSWER_BYTES:
                unpacker = zlib.decompressobj(wbits=bits)
                plain += unpacker.decompress(rest, MAX_ANSWER_BYTES - len(plain))
                if unpacker.unconsumed_tail:
                    raise ValueError("it is too large")
                # A file of several members goes on; what is none is rubbish after it.
                rest = unpacker.unused_data if unpacker.unused_data[:2] == GZIP else b""
        except zlib.error as error:
            why = why or str(error)
        if plain:
            return plain
    raise ValueError(why or "there is nothing in it")
