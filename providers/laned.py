"""What all providers over a lane share: one exchange, its refusal classified, the list of models.

A protocol's own module says what a request's body is and what an answer means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from yarl import URL

from budgets.dialects import whole
from providers.errors import BadResponse, ProviderError
from providers.keys import Key, KeyFilter
from providers.lane import Lane
from providers.refusals import Asked, refusal
from providers.sample import Capabilities, Sending
from providers.tolerant import Unreadable, read_json
from providers.transport import HttpAnswer


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
        self.told: list[str] = []
        """What was learnt of the server and not yet told to a person."""
        self.context_tokens: dict[str, int] = {}
        """By model, the longest prompt and answer together, where the list of models tells it."""
        self._lane = lane
        self._key = key
        self._filter = KeyFilter(key)
        self._key_variable = key_variable
        self._host = lane.base_url.host or ""
        self._port = lane.base_url.port
        self._where = f"{name} ({self._host}:{self._port})"

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
        cards = model_cards(answer.body, self._where)
        for card in cards:
            if card.max_model_len:
                self.context_tokens[card.id] = card.max_model_len
            for name, value in PECULIAR.get(card.owned_by, {}).items():
                self.capabilities = replace(self.capabilities, **{name: value})
        return [card.id for card in cards]

    async def post_beside(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON document from an address beside the API (the base URL's parent)."""
        root = "/.." if self.base_url.name else ""
        answer = await self._ask("POST", f"{root}{path}", body, Sending())
        if answer.status != 200:
            raise self._refusal(answer, "", path)
        return self._document(answer)

    def _document(self, answer: HttpAnswer) -> dict[str, Any]:
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadResponse(
                f"{self._where} answered with something else than JSON: {error}", sent="rejected"
            ) from None

    async def aclose(self) -> None:
        """Close every connection, unless the transport is shared."""
        await self._lane.aclose()

    async def _post(
        self, path: str, body: Mapping[str, Any], model: str, sending: Sending
    ) -> HttpAnswer:
        """The answer to one request for a sample; raises ProviderError."""
        answer = await self._ask("POST", path, body, sending)
        if not 200 <= answer.status < 300:
            error = self._refusal(answer, model, path)
            sending.sent = error.sent
            raise error
        return answer

    def _asked(self, model: str, path: str = "") -> Asked:
        return Asked(self.name, self._host, self._key, self._key_variable, model, path, self._port)

    def _refusal(self, answer: HttpAnswer, model: str, path: str) -> ProviderError:
        return refusal(answer.status, answer.headers, answer.body, self._asked(model, path))

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, sending: Sending
    ) -> HttpAnswer:
        """The lane's answer, without the key wherever the server echoes it.

        Also where it broke off and what came of it can be read: an error's status stands before
        its body, and whether a 2xx is whole its own reader sees.
        """
        try:
            answer = await self._lane.ask(method, path, body, sending)
        except ProviderError as error:
            cut = error.cut if isinstance(error, BadResponse) else None
            if cut is None or (cut.status < 300 and not cut.body):
                self._filter.clean_error(error)
                raise
            answer = cut
        clean, headers = self._filter.clean(answer.body), self._filter.clean_headers(answer.headers)
        if clean is answer.body and headers is answer.headers:
            return answer
        return HttpAnswer(answer.status, headers, clean)


PECULIAR: Mapping[str, Mapping[str, Any]] = {"vllm": {"max_stop": 4}}
"""What servers can do less than their protocol says, by whom their models are said to belong to."""


class Card(msgspec.Struct):
    """One model of a server's list."""

    id: str
    owned_by: str = ""
    max_model_len: int | None = None


def model_cards(body: bytes, where: str) -> list[Card]:
    """A list of models in OpenAI's, Anthropic's, Gemini's or a bare shape; raises BadResponse."""
    try:
        document, _ = read_json(body)
    except Unreadable as error:
        raise BadResponse(
            f"{where} answered with something else than a list of models: {error}", sent="rejected"
        ) from None
    listed = document
    if isinstance(document, Mapping):
        listed = document.get("data", document.get("models") or None)
    cards = [card for one in listed if (card := _card(one))] if isinstance(listed, list) else []
    if not isinstance(listed, list) or (listed and not cards):
        raise BadResponse(f"{where} answered with something else than a list of models",
                          sent="rejected")  # fmt: skip
    return cards


def _card(raw: Any) -> Card | None:
    if isinstance(raw, str):
        return Card(raw)
    if not isinstance(raw, Mapping):
        return None
    name = raw.get("id") or raw.get("name") or raw.get("model")
    meta = raw.get("meta")
    told = {**(meta if isinstance(meta, Mapping) else {}), **raw}
    longest = next((tokens for key in CONTEXT if (tokens := whole(told.get(key)))), None)
    owner = raw.get("owned_by")
    return Card(name, owner if isinstance(owner, str) else "", longest) if isinstance(
        name, str) else None  # fmt: skip


CONTEXT = ("max_model_len", "loaded_context_length", "context_length", "context_window",
           "max_context_length", "n_ctx")  # fmt: skip
"""Where servers tell a model's context: vLLM and SGLang, LM Studio, Together and OpenRouter, Groq,
Mistral, llama.cpp (what it was trained for is another number there)."""
