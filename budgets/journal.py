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


class PaidTime(msgspec.Struct, frozen=True):
    """The time of a server that a meter's reservation pays for: until when, and at what price."""

    server: str
    """Whose time it is: the name that its meter was given."""
    until: float
    """Unix time."""
    usd_per_hour: int
    """Picodollars."""
    borrowed: bool = False
    """Somebody else runs the server, and it goes on when the process that pays dies."""
    boot: str = ""
    """Which start of the machine `held_until_s` counts from; "" where the system does not say."""
    held_until_s: float = 0.0
    """The same moment by the clock that nobody can set (clock.py)."""
    hold: str = ""
    """Under which id a guard holds the server, by which its end is found; "" where none does."""


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
    """Why, for a person: what was asked for, the fault, the bill. No program reads it."""
    request: int = 0
    """reserve: the number of the request that it is for, in the caller's own count; 0: of none."""
    time: PaidTime | None = None
    """reserve: the server's time that it is for; None: of none."""
    accepts: bool = False
    """cap: a person has looked into the fault, and reserving may go on."""


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
