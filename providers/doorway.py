"""What every HTTP server of ours checks before anything else, in OpenAI's shape.

A web page can make a browser ask any address under a name of the page's own (DNS rebinding), and
send text to it without asking first. So only addresses and this machine's own names are taken as
Host, and a body only as JSON. What aiohttp refuses while it still reads the request (a header that
is too long, a broken first line) is answered in the same shape, and leaves no traceback.
Connections that say nothing, or say it drop by drop, are closed after a while, and at once where
they take the room of new ones: nobody keeps a server from answering by holding connections.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import resource
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_server import Server


def wrong_host(host: str, own: Collection[str] = ()) -> str:
    """Why a Host header is refused, as a sentence; "" for one that is fine.

    `own`: further names of the server, such as the one that it was told to listen on. An address
    cannot be a page's own name.
    """
    name = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    name = name.rstrip(".").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        known = {"localhost", socket.gethostname().lower(), *map(str.lower, own)}
        if not name or name not in known:
            return "The Host header names another machine; ask this server by its address."
    return ""


def wrong_content(request: BaseRequest) -> str:
    """Why a body's type is refused, as a sentence; "" for one that is fine."""
    if request.method in ("GET", "HEAD", "OPTIONS") or request.content_type == "application/json":
        return ""
    return "Send the body with Content-Type: application/json."


def error_body(message: str, kind: str = "invalid_request_error") -> str:
    """An error in OpenAI's shape."""
    return json.dumps(
        {"error": {"message": message, "type": kind, "param": None, "code": None}},
    )


@web.middleware
async def at_the_door(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuses what is wrong as above, for a server that has no more to say of it."""
    if said := wrong_host(request.host):
        return _refused(403, said)
    if said := wrong_content(request):
        return _refused(415, said)
    return await handler(request)


def _refused(status: int, said: str) -> web.Response:
    return web.Response(status=status, text=error_body(said), content_type="application/json")


SILENT_S = 60.0
"""A connection without a request is closed after so long."""


def most_connections() -> int:
    """How many connections are held at once: half of the files that this process may open."""
    return max(_files() // 2, 16)


def most_at_once() -> int:
    """How many new connections are taken in one turn of the loop, before any can be closed."""
    return min(max(_files() // 4, 8), 1024)


def _files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else soft


class JsonRunner(web.AppRunner):
    """A runner whose server says everything in JSON, to whoever has something to ask."""

    def __init__(self, app: web.Application, **more: Any) -> None:
        super().__init__(app, keepalive_timeout=SILENT_S, **more)

    async def _make_server(self) -> Server:
        server = await super()._make_server()
        # aiohttp makes both classes by itself; neither subclass has anything of its own to set up.
        server.__class__ = _Server
        return server


class _Server(Server):
    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        if len(self._connections) >= most_connections():
            held = self._connections.items()
            waiting = (one for who, one in held if _waits(who) and not one.is_closing())
            next(waiting, transport).abort()
        super().connection_made(handler, transport)

    def __call__(self) -> RequestHandler:
        handler = super().__call__()
        handler.__class__ = _Handler
        return handler


def _waits(handler: RequestHandler) -> bool:
    """Whether a connection has no whole request under way."""
    request = handler._current_request
    return request is None or not request.content.is_eof()


class _Handler(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            self.logger.error("%s %s failed: %r", request.method, request.path, exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun already")
        if isinstance(exc, LineTooLong):
            status, message = 431, "A header, or the first line, is longer than 8,190 bytes."
        text = " ".join((message or "The server failed on this request.").split())[:300]
        kind = "server_error" if status >= 500 else "invalid_request_error"
        answer = web.Response(
            status=status, text=error_body(text, kind), content_type="application/json"
        )
        answer.force_close()
        return answer
