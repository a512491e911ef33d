"""One batch on its way: what is in it, where it is, and how its results are read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from budgets.limiter import PATIENCE_S
from orchestrator.engine.attempt import request_of
from orchestrator.engine.counters import RunState
from orchestrator.engine.ticket import Ticket
from orchestrator.plan.ready import ReadyArm
from providers.batch.base import Batch, BatchLane, next_poll_s
from providers.errors import BadResponse, ProviderError, TimedOut
from providers.sample import SampleRequest, SampleResponse

MOST_UNREADABLE = 5
"""How often an answer that cannot be read is asked for again."""


def price_key(batch: int) -> str:
    """Under which key of `meta` the price stands by which a batch's worst cases were reserved."""
    return f"batch {batch} price"


Phase = Literal["unsent", "unknown", "there", "closed"]
T = TypeVar("T")
BatchOutcomes = dict[int, SampleResponse | ProviderError]
"""What became of each request of a batch, by its place."""


@dataclass(slots=True, eq=False)
class Running:
    """One batch on its way."""

    arm: ReadyArm
    number: int
    tag: str
    tickets: list[Ticket]
    at: float
    """Unix time of the intent."""
    provider_id: str = ""
    phase: Phase = "unsent"
    """unsent: certainly not at the provider. unknown: it may be. there: it is, by its id."""
    accepted: bool = False
    """Whether a look at it found it running, so that it takes room in the provider's queue."""
    counted: bool = False
    """Whether its requests are shown as batched."""

    @property
    def lane(self) -> BatchLane:
        assert self.arm.lane is not None
        return self.arm.lane

    @property
    def requests(self) -> list[SampleRequest]:
        return [request_of(ticket, self.arm) for ticket in self.tickets]

    @property
    def name(self) -> str:
        return f"batch {self.provider_id or self.tag} ({len(self.tickets)} requests)"

    @property
    def poll_s(self) -> float:
        return next_poll_s(max(0.0, time.time() - self.at))


async def asked(running: Running, state: RunState, call: Callable[[], Awaitable[T]]) -> T:
    """An answer about a batch, however long its provider cannot be reached.

    Raises ProviderError for what asking again cannot mend.
    """
    from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

    unreadable = 0

    async def ask() -> T:
        return await call()

    def passing(error: BaseException) -> bool:
        nonlocal unreadable
        unreadable += isinstance(error, BadResponse)
        again = isinstance(error, TimedOut | BadResponse) or (
            isinstance(error, ProviderError) and error.retryable
        )
        return again and unreadable < MOST_UNREADABLE

    def pause_s(tried: RetryCallState) -> float:
        error = tried.outcome.exception() if tried.outcome else None
        asked_s = error.retry_after_s if isinstance(error, ProviderError) else None
        return max(min(asked_s or 0.0, PATIENCE_S), running.poll_s)

    def tell(_: RetryCallState) -> None:
        state.note(
            f"{running.arm.provider.name} did not answer a question about {running.name}; "
            "it is asked again."
        )

    patiently = AsyncRetrying(
        retry=retry_if_exception(passing), wait=pause_s, before_sleep=tell, reraise=True
    )
    return await patiently(ask)


class CutShort(BadResponse):
    """A file of results that holds fewer than were answered, with those that it holds."""

    def __init__(self, message: str, outcomes: BatchOutcomes) -> None:
        super().__init__(message, sent="maybe_billed")
        self.outcomes = outcomes


async def fetched(running: Running, seen: Batch) -> BatchOutcomes:
    """Every result of an ended batch by its place; raises ProviderError.

    A request without a result costs nothing, so a list that is cut short must not pass for one.
    """
    results = running.lane.fetch(running.provider_id, running.tag, running.requests)
    outcomes: BatchOutcomes = {}
    async for result in results:
        # A line that comes twice changes nothing, and an error no answer.
        if not isinstance(outcomes.get(result.index), SampleResponse):
            outcomes[result.index] = result.outcome
    if len(outcomes) < seen.answered:
        raise CutShort(
            f"{running.name} has {seen.answered} answers and only {len(outcomes)} results came",
            outcomes,
        )
    return outcomes
