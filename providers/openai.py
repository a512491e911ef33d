"""OpenAI and every server that speaks its protocol.

One `sample` is one POST to chat/completions or completions; nothing is retried and no money is
counted here. What a provider cannot do is in its Capabilities, how its protocol differs in its
Dialect, how its requests travel in its Lane: this module has no branch for any of them by name.
"""

from __future__ import annotations

import msgspec

from providers.errors import BadResponse, ProviderError
from providers.keys import Key
from providers.lane import Lane
from providers.openai_wire import Dialect, read_response, request_body
from providers.refusals import Asked, refusal
from providers.sample import Capabilities, SampleRequest, SampleResponse, Sending
from providers.transport import Answer


def bearer(key: Key | None) -> dict[str, str]:
    """The headers that carry `key` in this protocol."""
    return {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}


class OpenAIProvider:
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
        self.name = name
        self.capabilities = capabilities or Capabilities()
        self._lane = lane
        self._key = key
        self._key_variable = key_variable
        self._dialect = dialect or Dialect()
        self._host = lane.base_url.host or ""
        self._where = f"{name} ({self._host}:{lane.base_url.port})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {str(self._lane.base_url)!r})"

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """Send one request; raises a subclass of providers.errors.ProviderError."""
        request.sending.sent = "not_sent"
        body = request_body(request, self.capabilities, self._dialect)
        path = "/chat/completions" if request.messages is not None else "/completions"
        answer = await self._lane.ask("POST", path, body, request.sending)
        if answer.status != 200:
            error = self._refusal(answer, request.model)
            request.sending.sent = error.sent
            raise error
        return read_response(answer.body, request, answer.headers, self._where)

    async def models(self) -> list[str]:
        """The ids of the models that the server offers."""
        answer = await self._lane.ask("GET", "/models", None, Sending())
        if answer.status != 200:
            raise self._refusal(answer, "a list of models")
        return model_ids(answer.body, self._where)

    def _refusal(self, answer: Answer, model: str) -> ProviderError:
        asked = Asked(self.name, self._host, self._key, self._key_variable, model)
        return refusal(answer.status, answer.headers, answer.body, asked)

    async def aclose(self) -> None:
        """Close every connection, unless the transport is shared."""
        await self._lane.aclose()


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


def model_ids(body: bytes, where: str) -> list[str]:
    """The ids in a list of models, in OpenAI's or Anthropic's shape; raises BadResponse."""
    try:
        return [model.id for model in msgspec.json.decode(body, type=_Models).data]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadResponse(
            f"{where} answered with something else than a list of models: {error}",
            sent="rejected",
        ) from None
