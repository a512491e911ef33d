"""A TLS connection through an HTTP proxy: CONNECT, then the handshake with the server itself."""

from __future__ import annotations

import asyncio
import ssl

from providers.connection import MAX_HEAD_BYTES, Connection


class _Connecting(asyncio.Protocol):
    """Waits for the proxy's answer to CONNECT."""

    def __init__(self, answered: asyncio.Future[bytes]) -> None:
        self._answered = answered
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._answered.done():
            return
        if b"\r\n\r\n" in self._head or len(self._head) > MAX_HEAD_BYTES:
            self._answered.set_result(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError(None, "the proxy hung up"))


async def open_tunnel(
    connection: Connection,
    proxy: tuple[str, int],
    host: str,
    port: int,
    tls: ssl.SSLContext,
    authorization: str | None,
) -> None:
    """Connect `connection` to host:port by TLS through `proxy`; raises OSError."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_connection(lambda: _Connecting(answered), *proxy)
    name = f"[{host}]" if ":" in host else host
    lines = [f"CONNECT {name}:{port} HTTP/1.1", f"Host: {name}:{port}"]
    if authorization is not None:
        lines.append(f"Proxy-Authorization: {authorization}")
    try:
        transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        status = (await answered).split(b"\r\n", 1)[0].split(b" ")
        if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or status[1] != b"200":
            said = b" ".join(status[1:]).decode("latin-1")[:100]
            raise OSError(f"the proxy refused the way: {said}")
        secured = await loop.start_tls(transport, connection, tls, server_hostname=host)
    except BaseException:
        transport.abort()
        raise
    assert secured is not None
    connection.connection_made(secured)
