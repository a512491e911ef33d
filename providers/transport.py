"""The one HTTP transport that every provider shares: aiohttp underneath, HTTP/1.1, no redirects.

`Transport.send` is one request and its whole answer, whatever its status; it raises only
ConnectionFailed, TimedOut and BadResponse. It knows whether the request left: `Sending.sent` is
`not_sent` until a live connection is in hand and `maybe_billed` from then on. A stale kept-alive
connection is replaced without a word only while nothing was sent. Cancelling closes the
connection. Connections are not counted here: how many requests fly is the limiter's decision.
docs/decisions/transport.md says why aiohttp, with the figures.
"""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from providers.errors import BadResponse, ConnectionFailed, ProviderError, TimedOut
from providers.keys import is_loopback
from providers.sample import Sending

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

KEEP_ALIVE_S = 4.0
"""Below the 5 s after which vLLM's server (uvicorn) closes an idle connection: a connection that
the server is about to close costs an uncertain request."""

MAX_ANSWER_BYTES = 256 * 2**20
LARGE_BODY_BYTES = 2**20 - 1


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, each counted apart; None: no limit."""

    connect_s: float | None = 15.0
    """Name lookup, TCP and TLS."""
    first_byte_s: float | None = None
    """The longest silence of the server. An answer that is not streamed is silent until all of
    it is written, so that a limit here censors long generations as `total_s` does."""
    total_s: float | None = 3600.0
    """From the call to the last byte."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes


_sending: ContextVar[Sending] = ContextVar("orch_sending")


class _Connector(aiohttp.TCPConnector):
    """Marks a request as possibly sent from the moment it holds a live connection."""

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            transport = connection.transport
            if transport is not None and not transport.is_closing():
                _sending.get().sent = "maybe_billed"
                return connection
            connection.close()


def proxy_from_environment(url: URL) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, NO_PROXY, ...) names for `url`.

    Read once per provider: aiohttp's own reading costs a thread per request, and would take
    credentials from ~/.netrc along. A loopback server is never asked through a proxy.
    """
    host = url.host or ""
    if is_loopback(host) or urllib.request.proxy_bypass(f"{host}:{url.port}"):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


class Transport:
    """One pool of connections; made inside the running event loop, closed with `aclose`."""

    def __init__(self, timeouts: Timeouts | None = None, *, keep_alive_s: float = KEEP_ALIVE_S):
        self._keep_alive_s = keep_alive_s
        self._session: aiohttp.ClientSession | None = None
        self._limits: dict[Timeouts, aiohttp.ClientTimeout] = {}
        self.timeouts = timeouts or Timeouts()

    def _open(self) -> aiohttp.ClientSession:
        connector = _Connector(limit=0, keepalive_timeout=self._keep_alive_s, ttl_dns_cache=60)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            auto_decompress=True,
        )
        return self._session

    def _limit(self, timeouts: Timeouts) -> aiohttp.ClientTimeout:
        limit = self._limits.get(timeouts)
        if limit is None:
            limit = self._limits[timeouts] = aiohttp.ClientTimeout(
                total=timeouts.total_s,
                connect=timeouts.connect_s,
                sock_read=timeouts.first_byte_s,
            )
        return limit

    async def send(
        self,
        method: str,
        url: URL,
        *,
        headers: CIMultiDict[str],
        body: bytes | None = None,
        proxy: str | None = None,
        sending: Sending | None = None,
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """One request and its whole answer; `url` must carry neither credentials nor a fragment."""
        sending = sending or Sending()
        sending.sent = "not_sent"
        token = _sending.set(sending)
        limits = timeouts or self.timeouts
        try:
            return await self._send(method, url, headers, body, proxy, limits)
        except aiohttp.ClientConnectionResetError as error:
            # Raised before anything is written when a kept-alive connection closed between its
            # check-out and the write. So small a body is written in one piece: none of it left.
            if body is not None and len(body) > 2**16:
                raise _failure(error, url, sending, limits) from error
            sending.sent = "not_sent"
            return await self._again(method, url, headers, body, proxy, limits, sending)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error, url, sending, limits) from error
        finally:
            _sending.reset(token)

    async def _again(
        self,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
        body: bytes | None,
        proxy: str | None,
        limits: Timeouts,
        sending: Sending,
    ) -> Answer:
        try:
            return await self._send(method, url, headers, body, proxy, limits)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error, url, sending, limits) from error

    async def _send(
        self,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
        body: bytes | None,
        proxy: str | None,
        limits: Timeouts,
    ) -> Answer:
        session = self._session or self._open()
        # aiohttp warns of large bytes; as a file it copies them out piece by piece.
        data: Any = BytesIO(body) if body is not None and len(body) > LARGE_BODY_BYTES else body
        async with session.request(
            method,
            url,
            data=data,
            headers=headers,
            allow_redirects=False,
            proxy=proxy,
            timeout=self._limit(limits),
        ) as response:
            length = response.content_length
            if length is not None and length <= MAX_ANSWER_BYTES:
                content = await response.read()
            else:
                content = await _read_bounded(response)
            return Answer(response.status, response.headers, content)

    async def aclose(self) -> None:
        """Close every connection; the transport may be used again afterwards."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise BadResponse(
                f"{response.url.host} sent more than {MAX_ANSWER_BYTES >> 20} MiB for one answer; "
                "lower n or max_tokens",
                sent="maybe_billed",
                status=response.status,
            )
        parts.append(part)
    return b"".join(parts)


def _failure(error: BaseException, url: URL, sending: Sending, limits: Timeouts) -> ProviderError:
    """What a failed exchange is called. aiohttp's own errors never quote our headers here."""
    where = f"{url.host}:{url.port}"
    sent = sending.sent
    if isinstance(error, TimeoutError):
        if sent == "not_sent":
            return TimedOut(
                f"no connection to {where} within {limits.connect_s:g} s"
                if limits.connect_s and isinstance(error, aiohttp.ServerTimeoutError)
                else f"no connection to {where} in time",
                sent=sent,
                phase="connect",
            )
        if isinstance(error, aiohttp.SocketTimeoutError):
            silence = f"{where} was silent for {limits.first_byte_s:g} s"
            return TimedOut(silence, sent=sent, phase="first_byte")
        return TimedOut(
            f"{where} did not finish its answer within {limits.total_s:g} s",
            sent=sent,
            phase="total",
        )
    if isinstance(error, aiohttp.ClientPayloadError):
        return BadResponse(f"{where} broke off in the middle of its answer", sent=sent)
    if isinstance(error, aiohttp.ClientResponseError):
        return BadResponse(f"{where} did not answer in HTTP: {error.message}", sent=sent)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return ConnectionFailed(f"the TLS certificate of {where} was not accepted", sent=sent)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ConnectionFailed(f"the name {url.host} could not be looked up", sent=sent)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if sent == "not_sent":
        return ConnectionFailed(f"no connection to {where}: {reason}", sent=sent)
    return ConnectionFailed(f"{where} broke the connection: {reason}", sent=sent)
