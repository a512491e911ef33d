"""A reward model behind vLLM's pooling APIs: a text goes in, one number comes out.

    classify   POST /classify   {"model", "messages" | "input"}     data[i].probs
    pooling    POST /pooling    {"model", "messages" | "input"}     data[i].data
    score      POST /score      {"model", "text_1", "text_2"}       data[i].score

Which of them a server answers depends on the model it serves; unless one is named they are tried
in this order. Raw scores are asked for (`use_activation` false), since a squashed score ties what
it should rank; where a model has several classes, one must be named, and its probability counts.
Of a reward for every token the last is taken. Shapes are vLLM's, read off its request and
response models and its documentation of pooling models.

`RewardServer.score` raises the provider errors of providers/errors.py; InvalidRequest means this
very text (one longer than the model's context, for one).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from providers.errors import (
    BadResponse,
    InvalidRequest,
    ProviderConfigError,
    ProviderError,
    UnknownModel,
)
from providers.keys import Key, KeyFilter, checked_url, scrubbed
from providers.lane import FastLane
from providers.laned import model_cards
from providers.openai import bearer
from providers.refusals import Asked, refusal
from providers.sample import Sending
from providers.transport import HttpAnswer, Timeouts

Api = Literal["classify", "pooling", "score"]
APIS: tuple[Api, ...] = ("classify", "pooling", "score")

Messages = Sequence[Mapping[str, Any]]


class RewardServer:
    """One reward model. `model` is known after `open`, and `api` where it was not named."""

    def __init__(
        self,
        url: str,
        *,
        api: Api | None = None,
        model: str = "",
        key: Key | None = None,
        reward_class: int | None = None,
        as_text: bool = False,
        timeout_s: float = 600.0,
    ) -> None:
        """`url`: the server's address, or that of one API (…/classify). `as_text`: send prompt and
        sample as one text instead of as a conversation. Raises ProviderConfigError."""
        base = checked_url(url, "`reward_model`")
        if base.name in APIS:
            api, base = api or base.name, base.parent
        self.root = str(base).rstrip("/").removesuffix("/v1")
        self.api: Api | None = api
        self.model = model
        self._key, self._class, self._as_text = key, reward_class, as_text
        self._filter = KeyFilter(key)
        root = checked_url(self.root, "`reward_model`")
        self._lane = FastLane(root, bearer(key), timeouts=Timeouts(total_s=timeout_s))

    @property
    def scorer(self) -> str:
        """What its scores are stored under: the same model scores otherwise by another API, class
        or shape of the conversation. Complete after `open`."""
        how = [f"/{self.api}"]
        if self._class is not None:
            how.append(f"class {self._class}")
        if self._as_text:
            how.append("as one text")
        return f"{self.model} ({', '.join(how)})"

    async def aclose(self) -> None:
        await self._lane.aclose()

    async def open(self, prompt: Messages, sample: str) -> None:
        """Learn the served model's name, and by one sample which API answers."""
        if not self.model:
            answer = await self._ask("GET", "/v1/models", None)
            cards = model_cards(answer.body, self.root)
            if not cards:
                raise ProviderConfigError(f"{self.root}/v1/models names no model")
            self.model = cards[0].id
        if self.api is not None:
            return
        refused = []
        for api in APIS:
            self.api = api
            try:
                await self.score(prompt, sample)
                return
            except (InvalidRequest, UnknownModel) as error:
                refused.append(f"/{api}: {error}")
        self.api = None
        raise ProviderConfigError(
            f"{self.root} answers none of the reward APIs ({'; '.join(refused)}); serve a reward "
            "model with `vllm serve MODEL --runner pooling`"
        )

    async def score(self, prompt: Messages, sample: str) -> float:
        """The reward of one sample for its prompt."""
        assert self.api is not None, "open first"
        answer = await self._ask("POST", f"/{self.api}", self._body(self.api, prompt, sample))
        rows = self._json(answer).get("data")
        if not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], dict):
            raise BadResponse(
                f"{self.root}/{self.api} did not answer with one result", sent="maybe_billed"
            )
        field = {"classify": "probs", "pooling": "data", "score": "score"}[self.api]
        return self._one(rows[0].get(field), field)

    def _body(self, api: Api, prompt: Messages, sample: str) -> dict[str, Any]:
        said = "".join(str(message["content"]) for message in prompt)
        raw = {"model": self.model, "use_activation": self._class is not None}
        if api == "score":
            return {**raw, "text_1": said, "text_2": sample}
        if self._as_text:
            return {**raw, "input": said + sample}
        return {**raw, "messages": [*prompt, {"role": "assistant", "content": sample}]}

    def _one(self, value: Any, field: str) -> float:
        """The reward in a number, a row of class scores, or such a row for every token."""
        if isinstance(value, list) and value and isinstance(value[-1], list):
            value = value[-1]
        if isinstance(value, list) and (len(value) == 1 or self._class is not None):
            place = 0 if self._class is None else self._class
            if not 0 <= place < len(value):
                raise ProviderConfigError(
                    f"`reward_class` {place} does not exist: {self.model} has the classes 0 to "
                    f"{len(value) - 1}"
                )
            value = value[place]
        if isinstance(value, list) and len(value) > 1:
            raise ProviderConfigError(
                f"{self.model} answers with {len(value)} numbers where a reward is one: name the "
                "class that counts as `reward_class`, or serve a reward model (an embedding "
                "model has no reward)"
            )
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise BadResponse(
                f"{self.root}/{self.api}: {field!r} is not a finite number", sent="maybe_billed"
            )
        return float(value)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> HttpAnswer:
        try:
            answer = await self._lane.ask(method, path, body, Sending())
        except ProviderError as error:
            self._filter.clean_error(error)
            raise
        if answer.status != 200:
            raise self._refused(answer, path)
        return HttpAnswer(answer.status, answer.headers, self._filter.clean(answer.body))

    def _refused(self, answer: HttpAnswer, path: str) -> ProviderError:
        if answer.status in (404, 405, 501):
            return InvalidRequest(
                f"status {answer.status}: there is no {path}", sent="rejected", status=answer.status
            )
        asked = Asked("reward model", self.root, self._key, "`reward_key_env`", self.model)
        return refusal(answer.status, answer.headers, answer.body, asked)

    def _json(self, answer: HttpAnswer) -> dict[str, Any]:
        try:
            found = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            said = scrubbed(answer.body[:20_000].decode("utf-8", "replace"), self._key)
            raise BadResponse(f"{self.root} did not answer in JSON: {said}", sent="maybe_billed")
        return found
