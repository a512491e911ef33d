"""Anthropic's messages API: one choice per request, prompts cached on demand."""

from __future__ import annotations

from providers.anthropic_answer import read_response
from providers.anthropic_wire import CacheLife, request_body
from providers.keys import Key
from providers.lane import Lane
from providers.laned import LaneProvider
from providers.sample import Capabilities, SampleRequest, SampleResponse


class AnthropicProvider(LaneProvider):
    """A server of Anthropic's protocol; the lane's base URL is without /v1."""

    models_path = "/v1/models?limit=1000"

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
        able = capabilities or Capabilities(prompt_cache="explicit")
        super().__init__(name, lane, key=key, key_variable=key_variable, capabilities=able)
        self._cache_life: CacheLife = cache_life

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """Send one request; raises a subclass of providers.errors.ProviderError."""
        request.sending.sent = "not_sent"
        body = request_body(request, self.capabilities, self._cache_life)
        answer = await self._post("/v1/messages", body, request.model, request.sending)
        return read_response(answer.body, request, answer.headers, self._asked(request.model))
