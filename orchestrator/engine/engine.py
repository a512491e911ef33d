"""The pipeline: schedule, reserve, admit, sample, settle, record, verify.

One dispatcher decides what is asked next (dispatch.py) and waits for the limiter's permit; a pool
of workers, no larger than what is in flight, asks (attempt.py); tickets of batch arms go to the
provider's batch API instead (batches/); verification runs beside them (judging.py). Ends when
the plan is done, when the budget is reached, when a fault stops it, or when a person does.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from budgets.limiter import CannotClear, Shut
from budgets.meter import Meter
from orchestrator.engine.agents import Agents
from orchestrator.engine.attempt import Attempts
from orchestrator.engine.batches.handover import Batching
from orchestrator.engine.batches.running import Running
from orchestrator.engine.dispatch import Dispatch
from orchestrator.engine.judging import Judging
from orchestrator.engine.line import WaitingLine
from orchestrator.engine.outage import Outages
from orchestrator.engine.parts import SessionParts
from orchestrator.engine.ticket import Ticket
from orchestrator.errors import OrchError, RunFault
from orchestrator.plan.ready import ReadyArm

METER_TICK_S = 0.25
REDRAW_AFTER_S = 1.0
DEADLINE_MARGIN_S = 4.0
"""How long before a server's money ends what is in flight is cancelled, and the server ended."""


def near_the_end(meter: Meter) -> bool:
    """Whether a server's money ends now, so that it must be given up."""
    return meter.near_the_end(DEADLINE_MARGIN_S)


class Engine:
    """Drives one session of a run from its schedule to durable verdicts."""

    def __init__(
        self,
        shared: SessionParts,
        *,
        study_seed: int,
        max_retries: int,
        unfinished: list[Ticket],
        batches: list[Running],
        judge_jobs: int,
        server_patience_s: float,
        let_go: Callable[[Meter], Awaitable[None]],
        agents: Agents | None = None,
    ) -> None:
        """`let_go` ends the server that a meter counts, and the meter. `agents` makes the attempts
        of arms that have an agent."""
        self._shared = shared
        self.arms = shared.arms
        self._schedule = shared.schedule
        self._store = shared.store
        self._ledger = shared.ledger
        self._state = shared.state
        self.control = shared.control
        self.control.on_stop = self._stop_admitting
        self.judging = Judging(
            shared.store, shared.state, jobs=judge_jobs, resolved=self._judged, failed=self._failed
        )
        self.agents = agents
        if agents is not None:
            agents.judged_by(self.judging)
        self._dispatch = Dispatch(
            shared, study_seed=study_seed, unfinished=unfinished, agents=agents
        )
        self.outages = Outages(
            shared.arms, server_patience_s, aside=self._dispatch.put_aside, back=self._back,
            give_up=self._given_up, note=shared.state.note,
        )  # fmt: skip
        self._attempts = Attempts(
            shared, self._dispatch, self.judging, self.outages,
            max_retries=max_retries, jitter_seed=study_seed,
        )  # fmt: skip
        self._batching = Batching(shared, self._attempts, ended=self._worker_ended)
        self._batches = batches
        self._tickets = WaitingLine[Ticket]()
        self._workers: set[asyncio.Task[None]] = set()
        self._doing: dict[Ticket, asyncio.Task[None]] = {}
        self._let_go = let_go
        self._idle = 0
        self._feeding: asyncio.Task[None] | None = None
        self._admitting = False

    async def run(self) -> None:
        """Sample and judge until the plan, the budget, a fault or a person ends it."""
        held = dict.fromkeys(arm.meter for arm in self.arms if arm.meter is not None)
        meters = [asyncio.create_task(self._keep_meter(meter)) for meter in held]
        meters.append(asyncio.create_task(self.outages.watch()))
        try:
            for batch in self._batches:
                self._batching.adopt(batch)
            self._feeding = asyncio.create_task(self._feed())
            with contextlib.suppress(asyncio.CancelledError):
                await self._feeding
            # A run that stops does not wait for its batches: a resume adopts them.
            while self._state.in_flight > self._state.batched:
                await self.control.wait("answers")
        finally:
            for task in (*meters, *self._workers):
                task.cancel()
            await asyncio.gather(*meters, *self._workers, return_exceptions=True)
            await self._batching.close()

    def stop(self, fault: OrchError | None = None) -> None:
        """Admit nothing more; what is in flight is waited for."""
        self.control.stop(fault)

    def leave(self) -> None:
        """Leave fast: neither what is in flight nor what is to be judged is waited for."""
        self.judging.leave()
        self.cancel()

    def cancel(self) -> None:
        """Cancel what is in flight; each is held as uncertain unless never sent."""
        self.stop()
        for worker in self._workers:
            worker.cancel()
        for ticket in self._tickets.drain():
            ticket.release(self._ledger, "never sent")
            self._state.back(ticket.arm.number)
        self._batching.cancel()

    async def _feed(self) -> None:
        """Hand tickets to workers until nothing is left to ask."""
        while not self.control.stopping:
            if not self.judging.has_room:
                await self.judging.room()
            ticket = await self._dispatch.next()
            if ticket is not None and ticket.arm.batch:
                self._batching.add(ticket)
            elif ticket is not None:
                await self._admit(ticket)
            elif not self.control.stopping and not await self._wait_for_more():
                return

    async def _wait_for_more(self) -> bool:
        """Whether anything under way may still lead to another ticket; waits for it if so."""
        retry = self._dispatch.next_retry
        short = self._dispatch.short_of_money
        if self._dispatch.waits_for_a_server:
            await self.control.wait("server", until=retry)
            return True
        if not self._state.in_flight and retry is None and not self.judging.pending:
            # What the last arm waited for may have come back meanwhile: it is asked once more.
            return short
        waiting = "budget" if short else "answers"
        await self.control.wait(waiting, until=retry)
        return True

    async def _admit(self, ticket: Ticket) -> None:
        arm = ticket.arm
        tokens = arm.prompt_bounds[ticket.problem]
        self._admitting = True
        try:
            ticket.permit = await arm.limiter.admit(
                tokens, arm.base.max_tokens * ticket.n, ticket.n
            )
        except asyncio.CancelledError:
            ticket.release(self._ledger, "never sent")
            raise
        except Shut:
            ticket.release(self._ledger, "never sent")
            self._dispatch.wait_for_server(ticket)
            return
        except CannotClear as reason:
            ticket.release(self._ledger, "never sent")
            self.stop(RunFault(str(reason)))
            return
        finally:
            self._admitting = False
        self._state.sent(arm.number)
        # A worker that came before the reservation is on disk would only wait for that.
        durable = self._store.is_durable(ticket.group)
        self._tickets.put(ticket, None if durable else self._store.wake_when_decided)
        if self._idle < len(self._tickets):
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)

    def _back(self, arm: ReadyArm) -> None:
        self._dispatch.take_back(arm)
        self.control.changed.set()

    def _given_up(self, fault: RunFault) -> None:
        """A server did not come back: what is still in flight there never will."""
        self.stop(fault)
        self.cancel()

    def _stop_admitting(self) -> None:
        """A dispatcher that waits for a permit would wait on; nothing was sent, so it may go."""
        if self._admitting and self._feeding is not None:
            self._feeding.cancel()
        self._batching.stop()

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None
        while True:
            self._idle += 1
            ticket = await self._tickets.get()
            self._idle -= 1
            self._doing[ticket] = worker
            try:
                if ticket.arm.agent is None or self.agents is None:
                    await self._attempts.attempt(ticket)
                else:
                    await self._by_agent(ticket, self.agents)
            finally:
                del self._doing[ticket]
                self._state.back(ticket.arm.number)
                self.control.changed.set()

    async def _by_agent(self, ticket: Ticket, agents: Agents) -> None:
        started = time.monotonic()
        try:
            if await agents.attempt(ticket):
                self._dispatch.retry_at(time.monotonic() + REDRAW_AFTER_S, ticket)
        finally:
            ticket.arm.limiter.done(outcome="ok", sent_at=started, permit=ticket.permit)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and (error := worker.exception()) is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, OrchError):
            cause, error = error, RunFault(f"A fault of orch: {error!r}.")
            error.__cause__ = cause
        self.stop(error)

    def _judged(self, arm: int, problem: int, slot: int, passed: bool | None) -> None:
        """The schedule may have been waiting for this verdict."""
        self._schedule.resolved(arm, problem, slot, passed)
        self.control.changed.set()

    async def _keep_meter(self, meter: Meter) -> None:
        """Let a server go when its money ends, or when its arms need it no more."""
        users = [arm for arm in self.arms if arm.meter is meter]
        alone = len(users) == len(self.arms)
        while True:
            if meter.exhausted:
                self.control.changed.set()
            if near_the_end(meter):
                self.control.budget_reached = True
                if alone:
                    self.cancel()
                else:
                    await self._give_up(users, meter)
                    return
            elif not alone and not any(map(self._needed, users)):
                await self._let_go(meter)
                return
            await asyncio.sleep(METER_TICK_S)

    def _needed(self, arm: ReadyArm) -> bool:
        """Whether an arm may still ask its server for anything."""
        if self._state.arms[arm.number].in_flight:
            return True
        return not arm.closed and not (
            self._schedule.finished(arm.number) and self._dispatch.idle(arm.number)
        )

    async def _give_up(self, arms: list[ReadyArm], meter: Meter) -> None:
        """End the arms whose server has no more money; the others go on."""
        numbers = {arm.number for arm in arms}
        for arm in arms:
            self._shared.reach_budget(arm)
        for ticket in self._tickets.drain():
            if ticket.arm.number in numbers:
                ticket.release(self._ledger, "never sent")
                self._state.back(ticket.arm.number)
            else:
                self._tickets.put(ticket)
        for ticket, worker in self._doing.items():
            if ticket.arm.number in numbers:
                worker.cancel()
        self.control.changed.set()
        await self._let_go(meter)
