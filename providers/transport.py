"""The one HTTP transport that every provider shares: HTTP/1.1 over asyncio, llhttp as parser.

`Transport.send` is one request and its whole answer, whatever its status, and follows no redirect;
it raises only ConnectionFailed, TimedOut and BadResponse. It knows whether the request left:
`Sending.sent` is `not_sent` until a live connection is in hand, `maybe_billed` from the moment
before the first byte is written. A kept-alive connection that the server has closed is noticed
before anything is written, and replaced; nothing is ever sent twice. Cancelling closes the
connection. Connections are not counted here: how many requests fly is the limiter's decision.
docs/decisions/transport.md says why it is ours, with the figures.
"""

from __future__ import annotations

import asyncio
import base64
import select
import socket
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from aiolimiter import AsyncLimiter
from yarl import URL

from providers.connection import Connection, HttpAnswer, Listener, Timeouts
from providers.errors import ConnectionFailed, ProviderConfigError, ProviderError, TimedOut
from providers.keys import is_loopback
from providers.sample import Sending
from providers.tunnel import open_tunnel

__all__ = ["HttpAnswer", "Listener", "Route", "Timeouts", "Transport", "proxy_from_environment"]

KEEP_ALIVE_S = 4.0
"""Below the 5 s after which vLLM's server (uvicorn) closes an idle connection: a connection that
the server is about to close costs an uncertain request."""
PEEK_AFTER_S = 1.0
"""A connection idle for longer is asked whether the server has closed it: one system call."""
CONNECTING_AT_ONCE = 64
CONNECTING_S = 0.02
"""So many new connections are begun in so many seconds: servers drop what overflows their queue of
new connections, which an answer to a connection says nothing of."""
ADDRESSES_FOR_S = 60.0
READ_BYTES = 64 * 2**10


class Address(NamedTuple):
    """Where a connection leads; equal addresses share connections."""

    host: str
    port: int
    tls: bool
    proxy: str | None


@dataclass(frozen=True, slots=True)
class Route:
    """A prepared request, all but its body."""

    address: Address
    head: bytes
    """Up to and including the last header but Content-Length."""

    @classmethod
    def to(
        cls, method: str, url: URL, headers: Mapping[str, str], proxy: str | None = None
    ) -> Route:
        """The route to `url`, which carries neither credentials nor a fragment."""
        host, port, tls = url.raw_host or "", url.port or 80, url.scheme == "https"
        through = proxy is not None and not tls
        lines = [
            f"{method} {url if through else url.raw_path_qs} HTTP/1.1",
            f"Host: {url.host_port_subcomponent}",
            "Accept-Encoding: identity",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        if through and (pass_on := proxy_authorization(URL(proxy or ""))):
            lines.append(f"Proxy-Authorization: {pass_on}")
        if any("\r" in line or "\n" in line for line in lines):
            raise ProviderConfigError("a header or URL contains a line break")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n"
        return cls(Address(host, port, tls, proxy), head)

    def request(self, body: bytes | None) -> bytes:
        """The bytes that go over the wire."""
        if body is None:
            return self.head + b"\r\n"
        return b"%bContent-Length: %d\r\n\r\n%b" % (self.head, len(body), body)


def proxy_from_environment(url: URL) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, NO_PROXY, ...) names for `url`.

    A loopback server is never asked through a proxy. Raises ProviderConfigError for a proxy that
    is itself reached by TLS.
    """
    host = url.host or ""
    if is_loopback(host) or urllib.request.proxy_bypass(f"{host}:{url.port}"):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy:
        return None
    found = URL(proxy if "://" in proxy else f"http://{proxy}")
    if found.scheme != "http" or not found.host:
        raise ProviderConfigError(
            f"the proxy in the environment for {url.scheme} URLs is not of the form "
            "http://HOST:PORT; name another, or put the server's host into NO_PROXY"
        )
    return str(found)


def proxy_authorization(proxy: URL) -> str | None:
    """The value of Proxy-Authorization for the credentials in a proxy's URL."""
    if proxy.user is None:
        return None
    pair = f"{proxy.user}:{proxy.password or ''}".encode()
    return "Basic " + base64.b64encode(pair).decode()


class Transport:
    """Connections by address; used within one event loop, closed with `aclose`."""

    def __init__(
        self, timeouts: Timeouts | None = None, *, keep_alive_s: float = KEEP_ALIVE_S
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self._keep_alive_s = keep_alive_s
        self._room = memoryview(bytearray(READ_BYTES))
        self._idle: dict[Address, dict[Connection, None]] = {}
        self._open: set[Connection] = set()
        self._emptied: asyncio.Event | None = None
        self._connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self._opening = AsyncLimiter(CONNECTING_AT_ONCE, CONNECTING_S)
        self._looking_up = asyncio.Lock()
        self._addresses: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def send(
        self,
        route: Route,
        body: bytes | None = None,
        *,
        sending: Sending | None = None,
        timeouts: Timeouts | None = None,
        listener: Listener | None = None,
    ) -> HttpAnswer:
        """One request and its whole answer; raises ConnectionFailed, TimedOut or BadResponse.

        With a `listener` the answer's body is empty: it was heard as it came.
        """
        sending = Sending() if sending is None else sending
        sending.sent = "not_sent"
        limits = timeouts or self.timeouts
        now = asyncio.get_running_loop().time()
        connection = self._take_idle(route.address, now)
        if connection is None:
            # A place among those that connect is waited for: no server is slow meanwhile.
            async with self._connecting:
                await self._opening.acquire()
                deadline = _deadline(limits, asyncio.get_running_loop().time())
                connection = await self._connect(route.address, limits, deadline)
        else:
            deadline = _deadline(limits, now)
        sending.sent = "maybe_billed"
        return await connection.exchange(route.request(body), limits, deadline, listener)

    async def aclose(self) -> None:
        """Close every connection; the transport may be used again afterwards."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._idle.clear()
        for connection in self._open:
            connection.abort()
        if self._open:
            self._emptied = asyncio.Event()
            await self._emptied.wait()

    # Idle connections: the one that was used last goes first, so that the others can grow old.

    def _take_idle(self, address: Address, now: float) -> Connection | None:
        idle = self._idle.get(address)
        while idle:
            connection, _ = idle.popitem()
            if not connection.usable:
                continue
            age = now - connection.idle_since
            if age < PEEK_AFTER_S or (age < self._keep_alive_s and not _readable(connection)):
                return connection
            connection.abort()
        return None

    def _put_idle(self, address: Address, connection: Connection) -> None:
        self._idle.setdefault(address, {})[connection] = None
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(self._keep_alive_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._keep_alive_s
        for idle in self._idle.values():
            for connection in [one for one in idle if one.idle_since <= oldest]:
                del idle[connection]
                connection.abort()
        left = any(self._idle.values())
        self._sweep = loop.call_later(self._keep_alive_s, self._sweep_idle) if left else None

    def _lost(self, address: Address, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open and self._emptied is not None:
            self._emptied.set()
        self._idle.get(address, {}).pop(connection, None)

    # New connections.

    async def _connect(
        self, address: Address, limits: Timeouts, deadline: float | None
    ) -> Connection:
        where = f"{address.host}:{address.port}"
        try:
            async with asyncio.timeout_at(deadline), asyncio.timeout(limits.connect_s):
                return await self._open_connection(address, where)
        except TimeoutError:
            limit = f" within {limits.connect_s:g} s" if limits.connect_s else " in time"
            message = f"no connection to {where}{limit}"
            raise TimedOut(message, sent="not_sent", phase="connect") from None
        except OSError as error:
            raise _connect_failure(error, where) from error

    async def _open_connection(self, address: Address, where: str) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(
            where,
            self._room,
            partial(self._put_idle, address),
            partial(self._lost, address),
        )
        target = (address.host, address.port)
        if address.proxy is not None:
            proxy = URL(address.proxy)
            target = (proxy.raw_host or "", proxy.port or 80)
        tls = self._tls_context() if address.tls else None
        last: OSError | None = None
        for ip in await self._look_up(*target):
            try:
                if address.proxy is not None and tls is not None:
                    authorization = proxy_authorization(URL(address.proxy))
                    await open_tunnel(
                        connection, (ip, target[1]), address.host, address.port, tls, authorization
                    )
                else:
                    await loop.create_connection(
                        lambda: connection,
                        ip,
                        target[1],
                        ssl=tls,
                        server_hostname=address.host if tls is not None else None,
                    )
            except OSError as error:
                last = error
                continue
            if not connection.usable:
                last = ConnectionResetError(None, "closed as soon as it was made")
                continue
            self._prefer(target, ip)
            self._open.add(connection)
            return connection
        raise last or OSError(f"{target[0]} has no address")

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    async def _look_up(self, host: str, port: int) -> list[str]:
        """The host's addresses, remembered for a minute: a lookup per connection costs a thread."""
        loop = asyncio.get_running_loop()
        async with self._looking_up:
            until, known = self._addresses.get((host, port), (0.0, []))
            if not known or loop.time() > until:
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                known = list(dict.fromkeys(str(entry[4][0]) for entry in found))
                self._addresses[host, port] = (loop.time() + ADDRESSES_FOR_S, known)
        return list(known)

    def _prefer(self, target: tuple[str, int], ip: str) -> None:
        known = self._addresses[target][1]
        if known[0] != ip:
            known.remove(ip)
            known.insert(0, ip)


def _deadline(limits: Timeouts, now: float) -> float | None:
    """When a request that starts `now` must be over, in the loop's time."""
    return None if limits.total_s is None else now + limits.total_s


def _readable(connection: Connection) -> bool:
    """Whether an idle connection has something to read, which can only be its end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _connect_failure(error: OSError, where: str) -> ProviderError:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = f"the TLS certificate of {where} was not accepted: {error.verify_message}"
    elif isinstance(error, ssl.SSLError):
        reason = f"no TLS with {where}: {error.reason or error}"
    elif isinstance(error, socket.gaierror):
        reason = f"the name in {where} could not be looked up: {error.strerror}"
    else:
        reason = f"no connection to {where}: {error.strerror or error}"
    return ConnectionFailed(reason, sent="not_sent")
