"""What all providers over a lane share: one exchange, its refusal classified, the list of models.

A protocol's own module says what a request's body is and what an answer means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from yarl import URL

from providers.errors import BadResponse, ProviderError
from providers.keys import Key, KeyFilter, without_key
from providers.lane import Lane
from providers.refusals import Asked, refusal
from providers.sample import Capabilities, Sending
from providers.transport import Answer


class LaneProvider:
    """Answers of status 2xx from one server; anything else is raised as its class of error."""

    models_path = "/models"

    def __init__(
        self,
        name: str,
        lane: Lane,
        *,
        key: Key | None = None,
        key_variable: str | None = None,
        capabilities: Capabilities,
    ) -> None:
        self.name = name
        self.capabilities = capabilities
        self._lane = lane
        self._key = key
        self._filter = KeyFilter(key)
        self._key_variable = key_variable
        self._host = lane.base_url.host or ""
        self._where = f"{name} ({self._host}:{lane.base_url.port})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {str(self._lane.base_url)!r})"

    @property
    def base_url(self) -> URL:
        """Where it is asked."""
        return self._lane.base_url

    async def models(self) -> list[str]:
        """The ids of the models that the server offers."""
        answer = await self._ask("GET", self.models_path, None, Sending())
        if not 200 <= answer.status < 300:
            raise self._refusal(answer, "a list of models", self.models_path)
        return model_ids(answer.body, self._where)

    async def get(self, path: str) -> dict[str, Any]:
        """A JSON document of the API; raises ProviderError."""
        answer = await self._lane.ask("GET", path, None, Sending())
        if answer.status != 200:
            raise self._refusal(answer, "", path)
        return self._document(answer)

    async def post_beside(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON document from an address beside the API (the base URL's parent)."""
        root = "/.." if self.base_url.name else ""
        answer = await self._lane.ask("POST", f"{root}{path}", body, Sending())
        if answer.status != 200:
            raise self._refusal(answer, "", path)
        return self._document(answer)

    def _document(self, answer: Answer) -> dict[str, Any]:
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadResponse(
                f"{self._where} answered with something else than JSON: {error}", sent="rejected"
            ) from None

    async def aclose(self) -> None:
        """Close every connection, unless the transport is shared."""
        await self._lane.aclose()

    async def _post(
        self, path: str, body: Mapping[str, Any], model: str, sending: Sending
    ) -> Answer:
        """The answer to one request for a sample; raises ProviderError."""
        answer = await self._ask("POST", path, body, sending)
        if not 200 <= answer.status < 300:
            error = self._refusal(answer, model, path)
            sending.sent = error.sent
            raise error
        return answer

    def _asked(self, model: str, path: str = "") -> Asked:
        port = self._lane.base_url.port
        return Asked(self.name, self._host, self._key, self._key_variable, model, path, port)

    def _refusal(self, answer: Answer, model: str, path: str) -> ProviderError:
        return refusal(answer.status, answer.headers, answer.body, self._asked(model, path))

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, sending: Sending
    ) -> Answer:
        """The lane's answer, without the key wherever the server echoes it."""
        try:
            answer = await self._lane.ask(method, path, body, sending)
        except ProviderError as error:
            error.args = (without_key(str(error), self._key), *error.args[1:])
            raise
        clean = self._filter.clean(answer.body)
        if clean is not answer.body:
            answer = Answer(answer.status, answer.headers, clean)
        return answer


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
