"""Where the ledger's events become durable.

A journal is an ordered log. `append` is synchronous and only queues; everything appended
without an await in between commits in one transaction, so that a settlement and its samples
stand or fall together. `durable` returns once all that was appended before the call is on disk.
A person's own program uses SqliteJournal; a run's database implements the same Protocol.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Literal, Protocol

import msgspec

EventKind = Literal["cap", "reserve", "settle", "part", "release", "hold", "resolve"]


class Event(msgspec.Struct, frozen=True):
    """One change of the ledger's state. Amounts are picodollars."""

    kind: EventKind
    reservation: int
    """The reservation concerned; 0 for `cap`."""
    amount: int
    """cap: the new cap. reserve: the worst case. settle: the actual cost. part: what of
    it is certain, while the rest stays reserved until it is held. release: 0.
    hold: the uncertain amount. resolve: what turned out to be true of an uncertain amount."""
    scopes: tuple[str, ...] = ()
    """cap: the one scope capped. reserve: every scope that the reservation counts against."""
    note: str = ""
    """Why, for a person: the request concerned, the fault, the bill."""


class Journal(Protocol):
    """Durable, ordered storage of ledger events."""

    def append(self, event: Event) -> None:
        """Queue `event`; it commits together with all queued without an await in between."""
        ...

    def durable(self) -> Awaitable[None]:
        """Over once everything appended before this call is on disk."""
        ...

    def events(self) -> Iterable[Event]:
        """All committed events in order."""
        ...


class MemoryJournal:
    """A journal that lives as long as its process: for trials, simulations and dry runs."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events = list(events)

    def append(self, event: Event) -> None:
        self._events.append(event)

    async def durable(self) -> None:
        """Nothing here outlives the process, so there is nothing to wait for."""

    def events(self) -> Iterable[Event]:
        return list(self._events)
