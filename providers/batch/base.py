"""What a batch is, whoever runs it.

The intent to submit is durable at the caller before `submit` is called, with the tag that
`new_tag` made. Every request of a batch is named `TAG-i`, and where the API has metadata the tag
stands there too. After a crash `find` lists the provider's batches and says which one carries the
tag; what it cannot decide is left undecided, and nothing is ever submitted twice by itself.
Polling is the caller's, with pauses of `next_poll_s`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from providers.errors import ProviderConfigError, ProviderError
from providers.sample import SampleRequest, SampleResponse

CLOCK_SKEW = timedelta(minutes=10)
"""How far a provider's clock may be from ours."""

TAG = re.compile(r"[a-z0-9]{8,40}")

BatchStatus = Literal["running", "ended", "refused"]
"""ended: results may be fetched (all, or those finished before it expired or was cancelled).
refused: the provider took none of it, and bills nothing."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the provider sees it now."""

    id: str
    status: BatchStatus
    done: int
    total: int
    created_at: datetime
    detail: str = ""
    """The provider's own word for the status, and why it refused."""
    answered: int = 0
    """Requests that were answered, and are billed: each has a result once the batch ended."""
    clears: bool = False
    """Refused for now only: too much is waiting at the provider."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one request. A request without a result was not run and is not billed."""

    index: int
    outcome: SampleResponse | ProviderError


@dataclass(frozen=True, slots=True)
class Found:
    """What a search for a tag came to."""

    batch: Batch | None
    """The batch that carries the tag."""
    undecided: tuple[Batch, ...] = ()
    """Batches that may carry it, to be looked at again once they have ended."""


class BatchLane(Protocol):
    """A provider's batch API. Raises ProviderError; `sent` of an error in `submit` says whether
    the batch may exist all the same."""

    async def submit(self, tag: str, requests: Sequence[SampleRequest]) -> Batch:
        """Hand over all requests as one batch named by `tag`."""
        ...

    async def find(self, tag: str, *, count: int, since: datetime) -> Found:
        """The batch of `count` requests with this tag among those created after `since`."""
        ...

    async def poll(self, batch_id: str) -> Batch:
        """How far it is."""
        ...

    def fetch(
        self, batch_id: str, tag: str, requests: Sequence[SampleRequest]
    ) -> AsyncIterator[BatchResult]:
        """The results of an ended batch, in any order; `requests` as they were submitted."""
        ...

    async def cancel(self, batch_id: str) -> Batch:
        """Ask the provider to stop it; what is finished by then is billed and can be fetched."""
        ...


def new_tag() -> str:
    """A tag that no other batch has."""
    return f"orch{secrets.token_hex(8)}"


def check_tag(tag: str) -> None:
    """Raises ProviderConfigError for a tag that some provider's custom ids could not hold."""
    if not TAG.fullmatch(tag):
        raise ProviderConfigError(f"batch tag {tag!r} must be 8 to 40 lower-case letters or digits")


def custom_id(tag: str, index: int) -> str:
    """The name of request `index` in the batch `tag`."""
    return f"{tag}-{index}"


def index_of(name: str, tag: str, count: int) -> int | None:
    """The request that a custom id names, None if it is none of this batch's."""
    head, _, tail = name.rpartition("-")
    if head != tag or not tail.isdigit() or int(tail) >= count:
        return None
    return int(tail)


def next_poll_s(age_s: float) -> float:
    """Seconds until the next look at a batch of this age.

    A quarter of it from 0.5 s to 5 s, for batches that are refused or done at once; then 2 % of
    it, up to 5 min.
    """
    return min(300.0, max(min(5.0, max(0.5, age_s / 4)), age_s / 50))
