"""How a provider's requests reach its server: one small Protocol, two ways.

FastLane goes straight over the shared transport. providers/sdk.py has the same through an
official SDK's client. Both return any answer of the server, whatever its status; classification
is the provider's. The key stands in `secret_headers` only: it is added where the request leaves.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

import msgspec
from yarl import URL

from providers.sample import Sending
from providers.transport import HttpAnswer, Route, Timeouts, Transport, proxy_from_environment

_encoder = msgspec.json.Encoder()


class Lane(Protocol):
    """Carries one request to the server at `base_url` and its answer back."""

    base_url: URL

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, sending: Sending
    ) -> HttpAnswer:
        """Send JSON to base_url + path; raises ConnectionFailed, TimedOut or BadResponse."""
        ...

    async def aclose(self) -> None:
        """Close every connection, unless the transport is shared."""
        ...


class FastLane:
    """msgspec and the shared transport, nothing between."""

    def __init__(
        self,
        base_url: URL,
        secret_headers: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.base_url = base_url
        self._own = transport is None
        self._transport = transport or Transport()
        self._timeouts = timeouts
        self._proxy = proxy_from_environment(base_url)
        self._routes: dict[tuple[str, str], Route] = {}
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "orch",
            **(headers or {}),
            **secret_headers,
        }

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, sending: Sending
    ) -> Coroutine[Any, Any, HttpAnswer]:
        """Send JSON to base_url + path; raises ConnectionFailed, TimedOut or BadResponse."""
        # No coroutine of its own around the transport's: it would be one more for every request.
        route = self._routes.get((method, path))
        if route is None:
            url = URL(f"{self.base_url}{path}")
            route = Route.to(method, url, self._headers, self._proxy)
            self._routes[method, path] = route
        return self._transport.send(
            route,
            None if body is None else _encoder.encode(body),
            sending=sending,
            timeouts=self._timeouts,
        )

    async def aclose(self) -> None:
        """Close every connection, unless the transport is shared."""
        if self._own:
            await self._transport.aclose()
