"""Tickets of batch arms: gathered, handed over as one batch, waited for, booked like any answer.

A ticket's reservation stands from the dispatcher on. What came within a second of the ticket
before it, up to a bound, becomes one batch: its tag, requests and reservations are on disk before
it is handed over. Where it is not known whether the provider took it (the connection broke, the
process died) the provider's list is searched for the tag; what is not found there is held as
uncertain and never handed over again by itself. A batch's results and its end are booked in one
transaction. When the run stops, its batches go on at the provider: their reservations are held as
uncertain, and a resume adopts them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal

from orchestrator.engine.attempt import Attempts
from orchestrator.engine.batches.gathering import Gathering
from orchestrator.engine.batches.running import CutShort, Running, asked, fetched, price_key
from orchestrator.engine.parts import SessionParts
from orchestrator.engine.ticket import Ticket
from orchestrator.errors import RunFault
from providers.batch.base import Batch, Found, new_tag
from providers.errors import (
    BadResponse,
    Fatal,
    InvalidRequest,
    Overloaded,
    ProviderConfigError,
    ProviderError,
    RateLimited,
)
from providers.sample import SampleResponse

LOOKS = 3
"""How often a tag is looked for: a list may lag behind a batch that was just made."""
LOOK_PAUSE_S = 2.0
FULL_PAUSE_S = 300.0
"""How long to wait where the account's other batches fill the provider's queue."""


class Batching:
    """Hands tickets over in batches and books what comes of them."""

    def __init__(
        self,
        shared: SessionParts,
        attempts: Attempts,
        *,
        ended: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self._store = shared.store
        self._ledger = shared.ledger
        self._state = shared.state
        self._control = shared.control
        self._attempts = attempts
        self._ended = ended
        self._gathering = Gathering(shared, self._intend)
        self.add = self._gathering.add
        self.stop = self._gathering.stop
        self._tasks: dict[asyncio.Task[None], Running] = {}

    def adopt(self, running: Running) -> None:
        """Go on with a batch of an earlier session."""
        self._state.sent(running.arm.number, len(running.tickets))
        self._count(running)
        self._start(running)

    def cancel(self) -> None:
        """Leave every batch as it is, also one that is just being handed over."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """End every watch; batches go on at their providers."""
        self.stop()
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _intend(self, tickets: list[Ticket]) -> None:
        arm, tag, at = tickets[0].arm, new_tag(), time.time()
        links = [(ticket.request, ticket.reservation) for ticket in tickets]
        number = self._store.plan_batch(arm.number, tag, at, links)
        if arm.price is not None:
            # The prices may change before a resume fetches what it brings.
            self._store.put_meta(price_key(number), json.dumps(arm.price.to_dict()))
        self._start(Running(arm, number, tag, tickets, at))

    def _start(self, running: Running) -> None:
        task = asyncio.create_task(self._watch(running))
        self._tasks[task] = running
        task.add_done_callback(self._watched)

    async def _watch(self, running: Running) -> None:
        """One batch from its intent to its end, or to the end of the session."""
        try:
            seen = await self._at_provider(running)
            if seen is not None:
                await self._finish(running, seen)
        except ProviderError as error:
            self._unreadable(running, error)

    def _watched(self, task: asyncio.Task[None]) -> None:
        """Also of a watch that was cancelled before it began."""
        running = self._tasks.pop(task)
        self._leave(running)
        self._state.back(running.arm.number, len(running.tickets))
        self._state.batched -= len(running.tickets) if running.counted else 0
        self._control.changed.set()
        self._ended(task)

    async def _at_provider(self, running: Running) -> Batch | None:
        """The batch as the provider has it; None where it certainly or possibly has it not."""
        if running.phase == "there":
            return await asked(running, self._state, lambda: running.lane.poll(running.provider_id))
        if running.phase == "unknown":
            return await self._find(running)
        await self._store.durable()
        running.phase = "unknown"
        try:
            made = await running.lane.submit(running.tag, running.requests)
        except ProviderConfigError as error:
            self._split(running, error)
        except ProviderError as error:
            if error.sent == "maybe_billed":
                return await self._find(running)
            self._refused(running, error)
        else:
            self._found(running, made)
            return made
        return None

    async def _find(self, running: Running) -> Batch | None:
        """Look for a batch that may or may not have been made."""
        self._count(running)
        since = datetime.fromtimestamp(running.at, UTC)
        count, looks = len(running.tickets), 0

        def look() -> Awaitable[Found]:
            return running.lane.find(running.tag, count=count, since=since)

        while True:
            found = await asked(running, self._state, look)
            looks += 1
            if found.batch is not None:
                self._found(running, found.batch)
                return found.batch
            if looks >= LOOKS and not found.undecided:
                self._lost(running)
                return None
            await asyncio.sleep(running.poll_s if found.undecided else LOOK_PAUSE_S)

    async def _finish(self, running: Running, seen: Batch) -> None:
        """Wait for the end of a batch and book all that it brought, at once."""
        while seen.status == "running":
            await asyncio.sleep(running.poll_s)
            seen = await asked(running, self._state, lambda: running.lane.poll(running.provider_id))
            running.accepted = seen.status == "running"
        if seen.status == "refused":
            self._refused(running, self._why_refused(running, seen))
            return
        lost: ProviderError = Overloaded(
            f"{running.name} ended before it came to it", sent="not_sent"
        )
        try:
            outcomes = await asked(running, self._state, lambda: fetched(running, seen))
        except CutShort as short:
            outcomes = short.outcomes
            lost = BadResponse(f"{short}; this one is not among them", sent="maybe_billed")
        latency_s = time.time() - running.at
        for index, ticket in enumerate(running.tickets):
            outcome = outcomes.get(index)
            if isinstance(outcome, SampleResponse):
                self._attempts.book_answer(ticket, outcome, running.at, latency_s)
            elif outcome is not None:
                self._attempts.book_failure(ticket, outcome)
            else:
                self._attempts.book_failure(ticket, lost)
        self._close(running)

    def _count(self, running: Running) -> None:
        if not running.counted:
            running.counted = True
            self._state.batched += len(running.tickets)

    def _found(self, running: Running, batch: Batch) -> None:
        running.provider_id, running.phase = batch.id, "there"
        self._put(running, "submitted")
        self._count(running)

    def _split(self, running: Running, error: ProviderConfigError) -> None:
        """Nothing was sent: halves may be small enough."""
        tickets, half = running.tickets, len(running.tickets) // 2
        if not half:
            self._refused(running, InvalidRequest(str(error), sent="not_sent"))
            return
        self._close(running)
        self._state.sent(running.arm.number, len(tickets))
        self._intend(tickets[:half])
        self._intend(tickets[half:])

    def _refused(self, running: Running, error: ProviderError) -> None:
        """The provider took none of it, whatever the error's status says of single requests."""
        error.sent = "not_sent"
        for ticket in running.tickets:
            self._attempts.book_failure(ticket, error)
        self._close(running)

    def _why_refused(self, running: Running, seen: Batch) -> ProviderError:
        why = f"{running.arm.provider.name} refused {running.name}: {seen.detail}"
        if not seen.clears:
            return InvalidRequest(why, sent="not_sent")
        arm = running.arm
        if any(other.accepted and other.arm is arm for other in self._tasks.values()):
            return RateLimited(why, sent="not_sent", retry_after_s=FULL_PAUSE_S)
        # Nothing of this arm fills the queue: the batch itself is too large for it.
        self._gathering.most[arm.number] = max(1, len(running.tickets) // 2)
        return RateLimited(why, sent="not_sent")

    def _lost(self, running: Running) -> None:
        name = running.arm.provider.name
        for ticket in running.tickets:
            ticket.hold(self._ledger, f"{running.name} is not in the list of {name}")
            self._attempts.give_up(ticket)
        self._state.note(
            f"{name} does not list {running.name}: what it may cost is held as uncertain, and it "
            "is not handed over again. --resume looks for it again; once `orch budget resolve` has "
            "cleared its money up, --resume asks for its attempts anew."
        )
        self._put(running, "lost")
        running.phase = "closed"

    def _unreadable(self, running: Running, error: ProviderError) -> None:
        """Nothing more can be learnt of a batch in this session."""
        if isinstance(error, Fatal) and error.status != 404:
            self._control.stop(RunFault(f"{error}"))
            return
        for ticket in running.tickets:
            ticket.hold(self._ledger, f"{running.name} cannot be read")
            self._attempts.give_up(ticket)
        running.phase = "closed"
        self._state.note(
            f"The results of {running.name} cannot be read ({error}): what it may cost is held as "
            "uncertain; --resume asks for them again."
        )

    def _leave(self, running: Running) -> None:
        """Where the session ends before the batch does."""
        if running.phase == "unsent":
            for ticket in running.tickets:
                ticket.release(self._ledger, "never sent")
            self._close(running)
        elif running.phase != "closed":
            for ticket in running.tickets:
                ticket.hold(self._ledger, f"{running.name} goes on at its provider")
            self._state.note(
                f"The {running.name} goes on at {running.arm.provider.name}; --resume "
                "fetches what it brings."
            )

    def _close(self, running: Running) -> None:
        running.phase = "closed"
        self._put(running, "done")

    def _put(self, running: Running, state: Literal["submitted", "lost", "done"]) -> None:
        self._store.put_batch(
            running.number, running.arm.number, running.tag, running.provider_id, state, running.at
        )
