"""The gateway's HTTP side: who calls, on which path; bounds on what a stranger may send.

Every path is answered: a call of a known dialect by whoever has a good key; HEAD and GET on the
base; anything else with an error in a dialect's shape. A key comes as a bearer token, as
`x-api-key`, or as the first part of the path (`/s/KEY/v1/...`). Which Host and body are taken is
doorway.py's, as for every server of ours.
WebSocket upgrades are refused with 426, at which clients fall back to plain HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Collection

from aiohttp import web

from budgets.ledger import Ledger
from providers.doorway import JsonRunner, most_at_once, wrong_content, wrong_host
from providers.gateway.accounts import Accounts, Book
from providers.gateway.attempts import Account, Attempt, Caps, LiveAttempts
from providers.gateway.dialects import CHAT, ENDPOINTS, MESSAGES, ApiPath
from providers.gateway.errors import GatewayRefusal, error_body
from providers.gateway.exchange import Exchange
from providers.gateway.forward import Forward
from providers.gateway.passing import Reply
from providers.gateway.upstream import Upstream

MAX_BODY_BYTES = 32 * 2**20
MAX_HELD_BYTES = 512 * 2**20
"""Of all bodies that are being read or passed on."""
MAX_CALLS = 4_096
CALLS_OF_ONE = 512
"""Calls of one attempt at once."""
DRAIN_S = 120.0
GONE = 499
SHUTDOWN_S = 1.0

_UNKNOWN = "This key is unknown to the gateway, or its attempt has ended."
_JSON = {"content-type": "application/json"}


class Gateway:
    """The door. Made and used within one event loop; `async with` opens and closes it.

    `fatal` is told what no further call can succeed after (a refused key, an empty account, a
    bill above its bound); `elsewhere` says whether requests that are no calls of the gateway's
    may still free a scope of the ledger.
    """

    def __init__(
        self,
        ledger: Ledger,
        book: Book,
        *,
        fatal: Callable[[Exception], None] = lambda error: None,
        fault: Callable[[str], None] = lambda why: None,
        elsewhere: Callable[[str], bool] = lambda scope: False,
        hosts: Collection[str] = (),
        drain_s: float = DRAIN_S,
    ) -> None:
        """`hosts`: further names by which agents may call it."""
        self.attempts = LiveAttempts()
        self.accounts = Accounts(ledger, book, elsewhere=elsewhere, fault=fault)
        self._forward = Forward(self.accounts, drain_s=drain_s, fatal=fatal)
        self._hosts = frozenset(hosts)
        self._calls = 0
        self._held_bytes = 0
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = JsonRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
        )
        self._sites: dict[int, web.SockSite] = {}

    async def __aenter__(self) -> Gateway:
        await self._runner.setup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen on an address; returns the port. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            listener.close()
            raise
        await self.serve(listener)
        return int(listener.getsockname()[1])

    async def serve(self, listener: socket.socket) -> None:
        """Listen on a socket that somebody else made, for example in another namespace."""
        site = web.SockSite(self._runner, listener, backlog=most_at_once())
        await site.start()
        self._sites[listener.fileno()] = site

    async def leave(self, listener: socket.socket) -> None:
        """Listen there no more."""
        site = self._sites.pop(listener.fileno(), None)
        if site is not None:
            await site.stop()

    def begin(
        self,
        number: int,
        upstream: Upstream,
        *,
        caps: Caps | None = None,
        scopes: tuple[str, ...] = (),
        shared: tuple[Account, ...] = (),
        request: int = 0,
    ) -> tuple[Attempt, str]:
        """A new attempt and its key.

        `shared`: further accounts that its calls count against. `request`: the caller's number of
        what the attempt is for, by which the ledger knows its reservations again.
        """
        caps = caps or Caps()
        accounts = (Account(name="attempt", cap=caps.attempt_usd), *shared)
        attempt = Attempt(number, upstream, caps, scopes, accounts, request)
        return attempt, self.attempts.begin(attempt)

    def end(self, attempt: Attempt) -> None:
        """Revoke an attempt's key: no call of it is passed on from now on."""
        self.attempts.end(attempt)
        self.accounts.changed()

    async def settled(self, attempt: Attempt, patience_s: float) -> bool:
        """Wait until no call of an attempt is under way; False where that took too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while attempt.in_flight:
                    await self.accounts.wait()
        return not attempt.in_flight

    async def aclose(self) -> None:
        """End every key and every call; what may have been billed counts as spent."""
        for attempt in self.attempts:
            self.attempts.end(attempt)
        await self._forward.aclose()
        await self._runner.cleanup()

    # One request.

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, path_key = _split(request.path)
        endpoint = ENDPOINTS.get(path)
        shape = endpoint or (MESSAGES if "x-api-key" in request.headers else CHAT)
        try:
            if said := wrong_host(request.headers.get("Host", ""), self._hosts):
                raise GatewayRefusal(403, said)
            if "upgrade" in request.headers.get("Connection", "").lower():
                raise GatewayRefusal(426, "The gateway does not speak WebSocket; use plain HTTP.")
            if path in ("", "/") and request.method in ("GET", "HEAD"):
                return web.json_response({"gateway": "orch"})
            attempt = self.attempts.find(path_key or _key(request))
            if attempt is None:
                return _response(_unknown(shape))
            if endpoint is None:
                raise GatewayRefusal(404, f"The gateway has no {path}.", code="not_found_error")
            if request.method != endpoint.method:
                raise GatewayRefusal(405, f"{path} is asked by {endpoint.method}.")
            if said := wrong_content(request):
                raise GatewayRefusal(415, said)
            return await self._call(request, attempt, endpoint)
        except GatewayRefusal as error:
            body = error_body(shape.shape, error.status, str(error), error.code)
            return _response(Reply(error.status, body, _JSON))

    async def _call(
        self, request: web.Request, attempt: Attempt, endpoint: ApiPath
    ) -> web.StreamResponse:
        # A body of unknown length may be as long as any.
        size = MAX_BODY_BYTES if request.content_length is None else request.content_length
        if endpoint.method == "GET":
            size = 0
        if size > MAX_BODY_BYTES:
            raise GatewayRefusal(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        crowded = self._calls >= MAX_CALLS or attempt.open_calls >= CALLS_OF_ONE
        if crowded or self._held_bytes + size > MAX_HELD_BYTES:
            raise GatewayRefusal(503, "Too many calls at once.", code="overloaded")
        self._calls += 1
        self._held_bytes += size
        attempt.open_calls += 1
        try:
            body = await _read(request)
            headers = {name.lower(): text for name, text in request.headers.items()}
            exchange = self._forward.begin(attempt, endpoint, headers, body)
            try:
                return await _relay(request, exchange)
            except asyncio.CancelledError:
                exchange.desert()
                raise
            except ConnectionError:
                exchange.desert()
                return web.Response(status=GONE)  # nobody reads it
        finally:
            self._calls -= 1
            self._held_bytes -= size
            attempt.open_calls -= 1


async def _read(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise GatewayRefusal(413, f"The body is larger than {MAX_BODY_BYTES} bytes.") from None


async def _relay(request: web.Request, exchange: Exchange) -> web.StreamResponse:
    """Answer the agent as the upstream answers."""
    passing = exchange.passing
    reply = await passing.decided()
    if reply.body is not None:
        return _response(reply)
    response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
    await response.prepare(request)
    async for data in passing.pieces():
        await response.write(data)
    if passing.broken:
        # An end of the stream would look like the end of the answer.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))


def _unknown(endpoint: ApiPath) -> Reply:
    status = endpoint.stop_status
    return Reply(status, error_body(endpoint.shape, status, _UNKNOWN, "invalid_api_key"), _JSON)


def _split(path: str) -> tuple[str, str]:
    """An API's path without /v1, and the key that a path of the form /s/KEY/... begins with."""
    key = ""
    if path.startswith("/s/"):
        key, _, rest = path[3:].partition("/")
        path = "/" + rest
    path = path.removeprefix("/v1") if path.startswith("/v1/") or path == "/v1" else path
    return path.rstrip("/"), key


def _key(request: web.Request) -> str:
    bearer = request.headers.get("Authorization", "")
    if bearer.lower().startswith("bearer "):
        return bearer[7:].strip()
    return request.headers.get("x-api-key", "") or request.headers.get("api-key", "")
