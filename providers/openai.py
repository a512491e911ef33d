"""OpenAI and every server that speaks its protocol.

One `sample` is one POST to chat/completions or completions; nothing is retried and no money is
counted here. What a provider cannot do is in its Capabilities, how its protocol differs in its
Dialect, how its requests travel in its Lane: this module has no branch for any of them by name.
"""

from __future__ import annotations

from providers.keys import Key
from providers.lane import Lane
from providers.laned import LaneProvider
from providers.openai_answer import read_response
from providers.openai_wire import Dialect, request_body
from providers.sample import Capabilities, SampleRequest, SampleResponse


def bearer(key: Key | None) -> dict[str, str]:
    """The headers that carry `key` in this protocol."""
    return {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}


class OpenAIProvider(LaneProvider):
    """A server of OpenAI's protocol; the lane's base URL usually ends in /v1."""

    def __init__(
        self,
        name: str,
        lane: Lane,
        *,
        key: Key | None = None,
        key_variable: str | None = None,
        capabilities: Capabilities | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        able = capabilities or Capabilities()
        super().__init__(name, lane, key=key, key_variable=key_variable, capabilities=able)
        self._dialect = dialect or Dialect()

    @property
    def secret_headers(self) -> dict[str, str]:
        """The headers that carry its key, for what else is asked of the same server."""
        return bearer(self._key)

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """Send one request; raises a subclass of providers.errors.ProviderError."""
        request.sending.sent = "not_sent"
        body = request_body(request, self.capabilities, self._dialect)
        path = "/chat/completions" if request.messages is not None else "/completions"
        answer = await self._post(path, body, request.model, request.sending)
        return read_response(answer.body, request, answer.headers, self._asked(request.model, path))
