"""Asks a server about itself, beside its requests: how much it works on, and whether it is well.

A server of one's own tells under /metrics and /health, beside its API. A vendor is asked for its
list of models, which costs nothing, and tells nothing of its load.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from yarl import URL

from budgets.fullness import ServerLoad
from providers import known
from providers.errors import ConnectionFailed, ProviderError, TimedOut
from providers.laned import LaneProvider
from providers.load import read_load
from providers.sample import Provider
from providers.transport import Route, Timeouts, Transport

ANSWER_S = 5.0
"""How long an answer about a server's state may take."""
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def probe_transport() -> Transport:
    """For probes: short answers, in short time."""
    return Transport(Timeouts(total_s=ANSWER_S, connect_s=ANSWER_S))


class Probe(Protocol):
    """Asks one server about itself."""

    async def load(self) -> ServerLoad | None:
        """What it says of itself; None where it says nothing. Raises ProviderError."""
        ...

    async def ill(self) -> str:
        """Why it would not take a request, in words; empty: it is well."""
        ...


class HttpProbe:
    """The addresses beside an API at `url`: /metrics and /health."""

    def __init__(
        self, url: URL, headers: Mapping[str, str] = NO_HEADERS, transport: Transport | None = None
    ) -> None:
        """`headers` hold its key, if any; a `transport` that is given is closed by its owner."""
        root = url.parent if url.name == "v1" else url
        self.name = f"{url.host}:{url.port}"
        self._transport = transport or probe_transport()
        self._owned = transport is None
        self._metrics = Route.to("GET", root / "metrics", headers)
        self._health = Route.to("GET", root / "health", headers)
        self._models = Route.to("GET", url / "models", headers)

    async def load(self) -> ServerLoad | None:
        """See Probe."""
        answer = await self._transport.send(self._metrics)
        if answer.status != 200:
            return None
        return read_load(answer.body.decode(errors="replace"))

    async def ill(self) -> str:
        """See Probe."""
        try:
            answer = await self._transport.send(self._health)
            if answer.status in (404, 405):
                # No such address: any word about its models shows that it is there.
                answer = await self._transport.send(self._models)
        except ProviderError as error:
            return str(error)
        return f"{self.name} answered {answer.status}" if answer.status >= 500 else ""

    async def aclose(self) -> None:
        """Close its own connections."""
        if self._owned:
            await self._transport.aclose()


class ModelsProbe:
    """A provider that is only asked for its models."""

    def __init__(self, provider: Provider) -> None:
        self.name = provider.name
        self._provider = provider

    async def load(self) -> ServerLoad | None:
        """See Probe."""
        return None

    async def ill(self) -> str:
        """See Probe."""
        try:
            await self._provider.models()
        except (ConnectionFailed, TimedOut) as error:
            return str(error)
        except ProviderError as error:
            return str(error) if error.status is not None and error.status >= 500 else ""
        return ""

    async def aclose(self) -> None:
        """Nothing of its own is open."""


def own_server(provider: LaneProvider) -> bool:
    """Whether a provider's server is none of a vendor's own."""
    row = known.find(provider.name)
    return row is None or provider.base_url.host not in row.hosts


def probe_of(provider: Provider) -> HttpProbe | ModelsProbe:
    """How a provider's server is asked about itself."""
    if isinstance(provider, LaneProvider) and own_server(provider):
        return HttpProbe(provider.base_url)
    return ModelsProbe(provider)
