"""One batch on its way: what is in it, where it is, and how its results are read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from orchestrator.arms import ReadyArm
from orchestrator.attempt import request_of
from orchestrator.control import Ticket
from providers.batch.lane import Batch, BatchLane, next_poll_s
from providers.errors import BadResponse, ProviderError
from providers.sample import SampleRequest, SampleResponse

Phase = Literal["unsent", "unknown", "there", "closed"]


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


async def fetched(running: Running, seen: Batch) -> dict[int, SampleResponse | ProviderError]:
    """Every result of an ended batch by its place; raises ProviderError.

    A request without a result costs nothing, so a list that is cut short must not pass for one.
    """
    results = running.lane.fetch(running.provider_id, running.tag, running.requests)
    outcomes = {result.index: result.outcome async for result in results}
    if len(outcomes) < seen.answered:
        raise BadResponse(
            f"{running.name} has {seen.answered} answers and only {len(outcomes)} results came",
            sent="maybe_billed",
        )
    return outcomes
