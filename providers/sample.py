"""What is asked of a model and what came back.

A SampleRequest buys `n` choices with one prompt; a SampleResponse holds the choices that came
back, by index, with the usage both parsed and raw. Nothing here knows of runs or money. What is
made anew for every request is a msgspec.Struct: a frozen dataclass takes eight times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from budgets.dialects import NOTHING, Reported
from budgets.usage import Usage
from providers.errors import Sent

FinishReason = Literal[
    "stop", "length", "content_filter", "tool_calls", "broken", "other", "budget", "timeout"
]
"""What servers' words mean (providers/finish.py); the last two end agents only: a cap of the
attempt's own, its time."""


@dataclass(slots=True)
class Sending:
    """How far a request has got. The provider writes it, whoever cancels the request reads it.

    A provider that knows better sets `not_sent` when it starts, and `maybe_billed` before the
    first byte leaves; one that does not leaves the safe value as it is.
    """

    sent: Sent = "maybe_billed"
    server: str = ""
    """Which server of a fleet it went to last; empty: there is no choice of servers."""


class SampleRequest(msgspec.Struct, frozen=True):
    """One request for `n` independent choices. Exactly one of prompt and messages is set."""

    model: str
    prompt: str | None = None
    """Raw completion text."""
    messages: tuple[Mapping[str, str], ...] | None = None
    """Chat messages, each with `role` and `content`."""
    n: int = 1
    max_tokens: int = 512
    temperature: float | None = 1.0
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: bool = False
    extra: Mapping[str, Any] = {}
    """Further body fields, passed on as they are."""
    first_slot: int | None = None
    """Which attempt at the problem the first choice is; only a replay looks at it."""
    cache_prompt: bool = False
    """More attempts at this prompt will follow: ask the provider to cache it."""
    sending: Sending = msgspec.field(default_factory=Sending)
    """The one part that changes: after a cancellation it says what the request may have cost."""


class Choice(msgspec.Struct, frozen=True):
    """One sample of a response."""

    index: int
    text: str
    finish_reason: FinishReason
    output_tokens: int | None = None
    """Where the provider reports tokens per choice."""
    logprobs: Any = None
    finish_raw: str = ""
    """The server's own word for `finish_reason`."""
    refused: bool = False
    """Of a broken choice: refused before anything was generated, so that it may be drawn again."""
    thought: bool = False
    """Whether the model reasoned in a field of its own, beside the text."""


class SampleResponse(msgspec.Struct, frozen=True):
    """All that came back for one request."""

    choices: tuple[Choice, ...]
    """By ascending index, each index at most once and below the request's n."""
    usage: Usage | None
    """None where the provider did not say: the cost is then uncertain."""
    usage_raw: Any
    """The usage object exactly as the provider sent it, of whatever kind; None: there was none."""
    model: str
    """The model that the provider says it served."""
    request_id: str = ""
    headers: Mapping[str, str] = {}
    """Rate-limit and retry headers, lower-case names."""
    missing: tuple[int, ...] = ()
    """Indices below n that did not come back: to be asked again, one by one if n is ignored."""
    surplus: tuple[Choice, ...] = ()
    """Choices beyond n: paid for, and never asked for."""
    reported: Reported = NOTHING
    """All that the answer says of its cost; `usage` is the least that its counts can mean."""
    odd: str = ""
    """What of the answer could not be read, for a person."""
    body: bytes = b""
    """The answer as it came, where something of it could not be read."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider's API can do: data instead of branches."""

    max_n: int = 1
    """The most choices per request (1: ask one by one)."""
    seed: bool = False
    raw_completions: bool = False
    logprobs: bool = False
    prompt_cache: Literal["none", "automatic", "explicit"] = "none"
    batch: bool = False
    temperature: bool = True
    """False: the model draws at its own temperature and refuses another (reasoning models)."""
    max_stop: int | None = None
    """The most stop strings per request; None: no limit is known. What is beyond is cut here."""


class Provider(Protocol):
    """Buys samples. Never retries, never counts money: one call is one request."""

    name: str
    capabilities: Capabilities

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """Send one request; raises a subclass of providers.errors.ProviderError.

        Cancelling the call closes the connection; `request.sending` then says what was sent.
        """
        ...

    async def models(self) -> list[str]:
        """The ids of the models that the provider serves; raises ProviderError."""
        ...

    async def aclose(self) -> None:
        """Close every connection, and end every process that the provider started."""
        ...
