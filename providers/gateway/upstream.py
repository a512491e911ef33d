"""Where calls are passed on to: a provider's door, the model asked there, its price and limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from yarl import URL

from budgets.limiter import Limiter
from budgets.price import Price
from providers.gateway.dialects import ApiPath, spoken
from providers.gateway.errors import GatewayRefusal
from providers.keys import KeyFilter
from providers.registry import Door
from providers.transport import Route, Timeouts, Transport, proxy_from_environment

PASSED_HEADERS = frozenset({"accept", "anthropic-version", "anthropic-beta", "openai-beta"})
"""What of an agent's headers goes on; never its key, cookies or addresses."""

Pricing = Callable[[str], Price | None]
"""The price of a model by name; None: its server is paid by the hour. Raises GatewayRefusal."""


@dataclass(slots=True, eq=False)
class Upstream:
    """One provider as the gateway uses it."""

    door: Door
    price_of: Pricing
    limiter: Limiter
    model: str = ""
    """Put into every call, whatever model the agent names; "": the agent's own."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_retries: int = 5
    """Tries after the first of what the upstream refused for the moment, before the agent sees
    it; rate limits are waited out and not counted."""
    transport: Transport = field(default_factory=Transport)
    key_filter: KeyFilter = field(init=False)
    """What comes back from the upstream goes through it before an agent or the disk gets it."""
    _proxy: str | None = None
    _spoken: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.key_filter = KeyFilter(self.door.key)
        self._proxy = proxy_from_environment(self.door.base_url)
        self._spoken = spoken(self.door.row.name, self.door.row.protocol)

    @property
    def name(self) -> str:
        return self.door.row.name

    def output_field(self, model: str) -> str:
        """Where this provider wants to be told how long an answer may be."""
        return self.door.row.dialect_of(model).max_tokens_field

    def refuse_unspoken(self, endpoint: ApiPath) -> None:
        """Raise GatewayRefusal for a dialect that the provider does not speak."""
        if endpoint.path not in self._spoken:
            raise GatewayRefusal(
                404,
                f"{self.name} is not asked by {endpoint.path}, and the gateway translates nothing: "
                f"use an agent or a setting that calls {', '.join(sorted(self._spoken))}.",
                code="not_found_error",
            )

    def fixed(self, asked: object) -> str:
        """The model that a call which asks for `asked` is sent to; raises GatewayRefusal."""
        model = self.model or asked
        if not isinstance(model, str) or not model:
            raise GatewayRefusal(400, "model must be the name of a model.")
        return model

    def route(self, endpoint: ApiPath, headers: Mapping[str, str]) -> Route:
        """The way to an endpoint, with what may be passed on of an agent's headers."""
        base = str(self.door.base_url)
        base += "/v1" if self.door.row.protocol == "anthropic" else ""
        sent = {"content-type": "application/json", "user-agent": "orch"}
        sent |= {name.lower(): text for name, text in self.door.headers.items()}
        sent |= {name: text for name, text in headers.items() if name in PASSED_HEADERS}
        return Route.to(endpoint.method, URL(base + endpoint.path), sent, self._proxy)

    async def aclose(self) -> None:
        await self.transport.aclose()
