"""Anthropic's messages API: one choice per request, prompts cached on demand."""

from __future__ import annotations

from providers.anthropic_wire import CacheLife, read_response, request_body
from providers.errors import ProviderError
from providers.keys import Key
from providers.lane import Lane
from providers.openai import model_ids
from providers.refusals import Asked, refusal
from providers.sample import Capabilities, SampleRequest, SampleResponse, Sending
from providers.transport import Answer


class AnthropicProvider:
    """A server of Anthropic's protocol; the lane's base URL is without /v1."""

    def __init__(
        self,
        name: str,
        lane: Lane,
        *,
        key: Key | None = None,
        key_variable: str | None = None,
        capabilities: Capabilities | None = None,
        cache_life: CacheLife = "5m",
    ) -> None:
        self.name = name
        self.capabilities = capabilities or Capabilities(prompt_cache="explicit")
        self._lane = lane
        self._key = key
        self._key_variable = key_variable
        self._cache_life: CacheLife = cache_life
        self._host = lane.base_url.host or ""
        self._where = f"{name} ({self._host}:{lane.base_url.port})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {str(self._lane.base_url)!r})"

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """Send one request; raises a subclass of providers.errors.ProviderError."""
        request.sending.sent = "not_sent"
        body = request_body(request, self.capabilities, self._cache_life)
        answer = await self._lane.ask("POST", "/v1/messages", body, request.sending)
        if answer.status != 200:
            error = self._refusal(answer, request.model)
            request.sending.sent = error.sent
            raise error
        return read_response(answer.body, request, answer.headers, self._where)

    async def models(self) -> list[str]:
        """The ids of the models that the provider offers."""
        answer = await self._lane.ask("GET", "/v1/models?limit=1000", None, Sending())
        if answer.status != 200:
            raise self._refusal(answer, "a list of models")
        return model_ids(answer.body, self._where)

    def _refusal(self, answer: Answer, model: str) -> ProviderError:
        asked = Asked(self.name, self._host, self._key, self._key_variable, model)
        return refusal(answer.status, answer.headers, answer.body, asked)

    async def aclose(self) -> None:
        """Close every connection, unless the transport is shared."""
        await self._lane.aclose()
