"""OpenAI and every server that speaks its protocol, over the fast lane.

One `sample` is one POST to chat/completions or completions; nothing is retried and no money is
counted here. What a provider cannot do is in its Capabilities, how its protocol differs in its
Dialect: this module has no branch for any of them by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from multidict import CIMultiDict
from yarl import URL

from providers.errors import BadResponse, ProviderError
from providers.keys import Key
from providers.openai_wire import Dialect, read_response, request_body
from providers.refusals import Asked, refusal
from providers.sample import Capabilities, SampleRequest, SampleResponse, Sending
from providers.transport import Answer, Timeouts, Transport, proxy_from_environment

_encoder = msgspec.json.Encoder()


class OpenAIProvider:
    """A server of OpenAI's protocol at `base_url` (which usually ends in /v1)."""

    def __init__(
        self,
        name: str,
        base_url: URL,
        *,
        key: Key | None = None,
        key_variable: str | None = None,
        capabilities: Capabilities | None = None,
        dialect: Dialect | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.name = name
        self.capabilities = capabilities or Capabilities()
        self.base_url = str(base_url)
        self._key = key
        self._key_variable = key_variable
        self._dialect = dialect or Dialect()
        self._chat = URL(f"{base_url}/chat/completions")
        self._completions = URL(f"{base_url}/completions")
        self._models = URL(f"{base_url}/models")
        self._where = f"{name} ({base_url.host}:{base_url.port})"
        self._proxy = proxy_from_environment(base_url)
        self._timeouts = timeouts
        self._own_transport = transport is None
        self._transport = transport or Transport()
        self._headers: CIMultiDict[str] = CIMultiDict(
            {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "orch"}
        )
        self._headers.update(headers or {})
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key.reveal()}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.base_url!r})"

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """Send one request; raises a subclass of providers.errors.ProviderError."""
        sending = request.sending
        sending.sent = "not_sent"
        body = request_body(request, self.capabilities, self._dialect)
        url = self._chat if request.messages is not None else self._completions
        answer = await self._send("POST", url, _encoder.encode(body), sending)
        if answer.status != 200:
            error = self._refusal(answer, request.model)
            sending.sent = error.sent
            raise error
        return read_response(answer.body, request, answer.headers, self._where)

    async def models(self) -> list[str]:
        """The ids of the models that the server offers."""
        answer = await self._send("GET", self._models, None, Sending())
        if answer.status != 200:
            raise self._refusal(answer, "models")
        try:
            return [model.id for model in msgspec.json.decode(answer.body, type=_Models).data]
        except msgspec.DecodeError as error:
            raise BadResponse(
                f"{self._where} answered with something else than a list of models: {error}",
                sent="rejected",
            ) from None

    async def _send(self, method: str, url: URL, body: bytes | None, sending: Sending) -> Answer:
        return await self._transport.send(
            method,
            url,
            headers=self._headers,
            body=body,
            proxy=self._proxy,
            sending=sending,
            timeouts=self._timeouts,
        )

    def _refusal(self, answer: Answer, model: str) -> ProviderError:
        asked = Asked(self.name, self._chat.host or "", self._key, self._key_variable, model)
        return refusal(answer.status, answer.headers, answer.body, asked)

    async def aclose(self) -> None:
        """Close every connection, unless the transport is shared."""
        if self._own_transport:
            await self._transport.aclose()


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]
