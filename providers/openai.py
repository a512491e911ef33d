"""OpenAI and every server that speaks its protocol.

One `sample` is one POST to chat/completions or completions; nothing is retried and no money is
counted here. What a provider cannot do is in its Capabilities, how its protocol differs in its
Dialect, how its requests travel in its Lane: this module has no branch for any of them by name.
"""

from __future__ import annotations

import re
from dataclasses import replace

from providers.errors import InvalidRequest
from providers.keys import Key
from providers.lane import Lane
from providers.laned import LaneProvider
from providers.openai_answer import read_response
from providers.openai_wire import Dialect, request_body
from providers.sample import Capabilities, SampleRequest, SampleResponse


def bearer(key: Key | None) -> dict[str, str]:
    """The headers that carry `key` in this protocol."""
    return {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}


MOST_ADAPTING = 6
"""How often one request is asked in another way."""


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
        self._renamed: set[str] = set()

    @property
    def secret_headers(self) -> dict[str, str]:
        """The headers that carry its key, for what else is asked of the same server."""
        return bearer(self._key)

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """Send one request; raises a subclass of providers.errors.ProviderError.

        An optional field that the server refuses by name is left out, or named otherwise, from
        then on: such a refusal bills nothing, and the request is asked once more.
        """
        request.sending.sent = "not_sent"
        path = "/chat/completions" if request.messages is not None else "/completions"
        for _ in range(MOST_ADAPTING):
            body = request_body(request, self.capabilities, self._dialect)
            try:
                answer = await self._post(path, body, request.model, request.sending)
                asked = self._asked(request.model, path)
                return read_response(answer.body, request, answer.headers, asked)
            except InvalidRequest as error:
                self._adapt(error)
                if request_body(request, self.capabilities, self._dialect) == body:
                    raise
        raise InvalidRequest(
            f"{self._where} refuses one field after the other", sent="rejected", status=400
        )

    def _adapt(self, error: InvalidRequest) -> None:
        """Learn from a refusal what to leave out or to name otherwise; `told` says it."""
        field, most = error.field, stops_taken(str(error))
        if most is not None and most != self.capabilities.max_stop:
            self.capabilities = replace(self.capabilities, max_stop=most)
            self._tell(f"takes {most} stop strings at most: what is beyond them is cut here")
        elif field in ("max_tokens", "max_completion_tokens") and field not in self._renamed:
            other = {"max_tokens": "max_completion_tokens"}.get(field, "max_tokens")
            if self._dialect.max_tokens_field != field:
                return
            self._renamed |= {field, other}
            self._dialect = replace(self._dialect, max_tokens_field=other)
            self._tell(f"refuses {field}: it is sent as {other}")
        elif field == "seed" and self.capabilities.seed:
            self.capabilities = replace(self.capabilities, seed=False)
            self._tell("refuses seed: draws cannot be repeated")
        elif field == "prompt_cache_key" and self._dialect.prompt_cache_key:
            self._dialect = replace(self._dialect, prompt_cache_key=False)
            self._tell("refuses prompt_cache_key: it is left out")
        elif field == "first_slot" and self._dialect.first_slot:
            self._dialect = replace(self._dialect, first_slot=False)
            self._tell("refuses first_slot: it is left out")

    def _tell(self, what: str) -> None:
        self.told.append(f"{self.name} ({self._host}) {what}.")


_STOPS = re.compile(
    r"(?:at most|up to|maximum(?: of| number of)?|no more than|max(?:imum)?|less than or equal to)"
    r"\D{0,30}(\d+)",
    re.I,
)


def stops_taken(said: str) -> int | None:
    """How many stop strings a server takes, where its refusal is about their number."""
    if not re.search(r"\bstop", said, re.I):
        return None
    found = _STOPS.search(said)
    return int(found[1]) if found and 0 < int(found[1]) <= 64 else None
