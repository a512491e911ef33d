"""The way of one attempt: schedule, reserve, admit, sample, settle, record, verify.

One dispatcher takes draws from the schedule (and retries that are due, first), reserves their
worst case in the ledger, waits for the limiter's permit, and hands a ticket to a worker. A worker
sends only once the reservation and the plan are on disk; its answer, the samples and the
settlement commit together. What must not be guessed is settled by table (budgets/outcomes.py).

Ends when the plan is done, when the cap is reached (nothing in flight and one attempt does not
fit), when a fault stops it, or when a person does.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from budgets.ledger import DoesNotFit, Ledger, LedgerFault
from budgets.limits import CannotClear, Permit
from budgets.limits import Outcome as LimiterOutcome
from budgets.outcomes import outcome_action, what_happened
from orchestrator.arms import ReadyArm
from orchestrator.errors import OrchError, RunFault
from orchestrator.judging import Judging
from orchestrator.schedule import Draw, Schedule
from orchestrator.seeds import request_seed
from orchestrator.state import RunState
from orchestrator.store.store import RunStore
from providers.errors import Fatal, ProviderError, RateLimited, TimedOut
from providers.sample import SampleResponse, Sending

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0


@dataclass(slots=True)
class Ticket:
    """One planned request on its way."""

    arm: ReadyArm
    request: int
    problem: int
    first_slot: int
    n: int
    seed: int
    reservation: int = 0
    failures: int = 0
    """Failures that count against the retries; a rate limit does not."""
    pauses: int = 0
    permit: Permit | None = None


class BudgetReached(Exception):
    """Nothing is in flight and one attempt does not fit."""


class Engine:
    """Drives one session of a run from its schedule to durable verdicts."""

    def __init__(
        self,
        arms: list[ReadyArm],
        schedule: Schedule,
        store: RunStore,
        ledger: Ledger,
        state: RunState,
        *,
        study_seed: int,
        max_retries: int,
        unfinished: list[Ticket],
        judge_jobs: int,
    ) -> None:
        self._arms = arms
        self._schedule = schedule
        self._store = store
        self._ledger = ledger
        self._state = state
        self.judging = Judging(store, state, jobs=judge_jobs, resolved=self.resolved)
        self._study_seed = study_seed
        self._max_retries = max_retries
        self._jitter = random.Random(study_seed)
        self._retries: list[tuple[float, int, Ticket]] = [(0.0, t.request, t) for t in unfinished]
        self._tickets: asyncio.Queue[Ticket] = asyncio.Queue()
        self._workers: set[asyncio.Task[None]] = set()
        self._idle = 0
        self._changed = asyncio.Event()
        self._dispatcher: asyncio.Task[None] | None = None
        self._admitting = False
        self.stopping = False
        """Admit nothing more; what is in flight is waited for."""
        self.budget_reached = False
        self.fault: OrchError | None = None

    async def run(self) -> None:
        """Sample and judge until the plan, the budget, a fault or a person ends it."""
        meters = [asyncio.create_task(self._keep_meter(arm)) for arm in self._arms if arm.meter]
        try:
            self._dispatcher = asyncio.create_task(self._dispatch())
            with contextlib.suppress(asyncio.CancelledError):
                await self._dispatcher
            await self._drained()
        finally:
            for task in (*meters, *self._workers):
                task.cancel()
            await asyncio.gather(*meters, *self._workers, return_exceptions=True)

    def stop(self, fault: OrchError | None = None) -> None:
        """Admit nothing more; the first fault is kept."""
        self.stopping = True
        self.fault = self.fault or fault
        self._changed.set()
        if self._admitting and self._dispatcher is not None:
            self._dispatcher.cancel()

    def cancel(self) -> None:
        """Leave fast: cancel what is in flight; each is held as uncertain unless never sent."""
        self.stop()
        for worker in self._workers:
            worker.cancel()

    # Dispatch: one coroutine decides what is asked next.

    async def _dispatch(self) -> None:
        while not self.stopping:
            await self.judging.room()
            ticket = self._due_retry()
            if ticket is None:
                ticket = await self._plan_next()
            elif not await self._reserve_again(ticket):
                continue
            if ticket is not None:
                await self._admit(ticket)
            elif not self._state.in_flight and not self._retries and not self.judging.pending:
                return
            else:
                await self._wait("answers", until=self._retries[0][0] if self._retries else None)

    async def _plan_next(self) -> Ticket | None:
        """Reserve and plan the schedule's next draw; both commit together."""
        draw = self._schedule.next()
        if draw is None:
            return None
        arm = self._arms[draw.arm]
        if arm.n_limit and draw.n > arm.n_limit:
            draw = self._shorten(draw, arm.n_limit)
        while not self.stopping:
            number = self._store.upcoming_request
            try:
                reservation = self._reserve(arm, draw.problem, draw.n, number)
            except DoesNotFit as miss:
                if self._state.in_flight:
                    await self._wait("budget")
                elif draw.n > 1:
                    draw = self._shorten(draw, draw.n // 2)
                else:
                    self._schedule.give_back(draw)
                    self._reach(arm, miss.scope)
                    return None
                continue
            except LedgerFault as fault:
                self.stop(RunFault(str(fault)))
                break
            seed = request_seed(
                self._study_seed, arm.key, arm.problems[draw.problem].id, draw.first_slot, draw.n
            )
            self._store.plan(draw.arm, draw.problem, draw.first_slot, draw.n, seed)
            return Ticket(arm, number, draw.problem, draw.first_slot, draw.n, seed, reservation)
        self._schedule.give_back(draw)
        return None

    async def _reserve_again(self, ticket: Ticket) -> bool:
        """Reserve for a planned request that is tried again: its n and seed do not change."""
        while not self.stopping:
            try:
                ticket.reservation = self._reserve(
                    ticket.arm, ticket.problem, ticket.n, ticket.request
                )
                return True
            except DoesNotFit as miss:
                if not self._state.in_flight:
                    self._reach(ticket.arm, miss.scope)
                    return False
                await self._wait("budget")
            except LedgerFault as fault:
                self.stop(RunFault(str(fault)))
        return False

    def _reserve(self, arm: ReadyArm, problem: int, n: int, request: int) -> int:
        if arm.meter is not None and arm.meter.exhausted:
            raise DoesNotFit(arm.scopes[0] if arm.spec.budget else "run", 0, 0)
        return self._ledger.reserve(arm.worst(problem, n), arm.scopes, f"request {request}")

    def _reach(self, arm: ReadyArm, scope: str) -> None:
        self.budget_reached = True
        if scope == "run":
            self.stop()
        else:
            arm.closed = True
            self._schedule.close_arm(arm.number)

    def _shorten(self, draw: Draw, n: int) -> Draw:
        rest = replace(draw, first_slot=draw.first_slot + n, n=draw.n - n)
        self._schedule.give_back(rest)
        return replace(draw, n=n)

    def _due_retry(self) -> Ticket | None:
        while self._retries and self._retries[0][0] <= time.monotonic():
            ticket = heapq.heappop(self._retries)[2]
            if not ticket.arm.closed:
                return ticket
        return None

    async def _admit(self, ticket: Ticket) -> None:
        arm = ticket.arm
        tokens = arm.prompt_bounds[ticket.problem]
        self._admitting = True
        try:
            ticket.permit = await arm.limiter.admit(tokens, arm.base.max_tokens * ticket.n)
        except asyncio.CancelledError:
            self._ledger.release(ticket.reservation, "never sent")
            raise
        except CannotClear as reason:
            self._ledger.release(ticket.reservation, "never sent")
            self.stop(RunFault(str(reason)))
            return
        finally:
            self._admitting = False
        self._state.in_flight += 1
        self._tickets.put_nowait(ticket)
        if self._idle < self._tickets.qsize():
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)

    async def _wait(self, what: str, until: float | None = None) -> None:
        self._changed.clear()
        self._state.waiting_for = what
        timeout = None if until is None else max(0.0, until - time.monotonic())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout)
        self._state.waiting_for = ""

    async def _drained(self) -> None:
        while self._state.in_flight:
            await self._wait("answers")

    # Workers: one request each at a time.

    async def _work(self) -> None:
        while True:
            self._idle += 1
            ticket = await self._tickets.get()
            self._idle -= 1
            try:
                await self._attempt(ticket)
            finally:
                self._state.in_flight -= 1
                self._changed.set()

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and (error := worker.exception()) is not None:
            self.stop(
                error if isinstance(error, OrchError) else RunFault(f"A fault of orch: {error!r}.")
            )

    async def _attempt(self, ticket: Ticket) -> None:
        arm = ticket.arm
        request = replace(
            arm.base,
            prompt=arm.problems[ticket.problem].prompt,
            messages=arm.problems[ticket.problem].messages,
            n=ticket.n,
            seed=ticket.seed if arm.provider.capabilities.seed else None,
            sending=Sending(),
        )
        try:
            await self._store.durable()
        except asyncio.CancelledError:
            self._ledger.release(ticket.reservation, "cancelled before it was sent")
            arm.limiter.done(outcome="other", sent_at=time.monotonic())
            raise
        sent_at = time.monotonic()
        try:
            response = await arm.provider.sample(request)
        except asyncio.CancelledError:
            sent = request.sending.sent
            self._fail(ticket, "Cancelled", sent, None, "cancelled", final=False)
            arm.limiter.done(outcome="other", sent_at=sent_at)
            raise
        except ProviderError as error:
            self._failed(ticket, error, sent_at)
        else:
            self._answered(ticket, response, sent_at)

    def _answered(self, ticket: Ticket, response: SampleResponse, sent_at: float) -> None:
        """Settle and record in one synchronous stretch, so that they commit together."""
        arm = ticket.arm
        latency_s = time.monotonic() - sent_at
        arm.limiter.done(
            outcome="ok", sent_at=sent_at, headers=response.headers, usage=response.usage,
            permit=ticket.permit,
        )  # fmt: skip
        cost = self._settle(ticket, response)
        if cost:
            self._schedule.paid(arm.number, ticket.problem, ticket.n, cost)
        self._store.put_answer(
            ticket.request, ticket.reservation, response, cost, time.time() - latency_s, latency_s
        )
        choices = response.choices[: ticket.n]
        for choice in choices:
            slot = ticket.first_slot + choice.index
            self._store.put_sample(arm.number, ticket.problem, slot, ticket.request, choice)
        self._store.when_durable(lambda: self._count(ticket, response, len(choices)))
        if len(choices) < ticket.n:
            self._missing(ticket, {choice.index for choice in choices})
        for choice in choices:
            slot = ticket.first_slot + choice.index
            self.judging.put(arm, ticket.problem, slot, choice.text)

    def _settle(self, ticket: Ticket, response: SampleResponse) -> int | None:
        arm = ticket.arm
        if arm.price is None:
            self._ledger.settle(ticket.reservation, 0)
            return 0
        if response.usage is None:
            self._ledger.hold(
                ticket.reservation, f"request {ticket.request}: answered without usage"
            )
            self._state.note("Some answers came without usage: they are held as uncertain.")
            return None
        cost = arm.price.cost(response.usage, at=datetime.now(UTC))
        self._ledger.settle(ticket.reservation, cost)
        if not arm.prompt_known[ticket.problem]:
            arm.prompt_known[ticket.problem] = True
            arm.prompt_bounds[ticket.problem] = max(1, response.usage.prompt_tokens)
        if self._ledger.fault is not None:
            self.stop(RunFault(self._ledger.fault))
        return cost

    def _count(self, ticket: Ticket, response: SampleResponse, filled: int) -> None:
        self._state.arms[ticket.arm.number].filled += filled
        if response.usage is not None:
            self._state.input_tokens += response.usage.prompt_tokens
            self._state.output_tokens += response.usage.output_tokens

    def _missing(self, ticket: Ticket, came: set[int]) -> None:
        """A server that ignores n: ask for the missing slots, from now on as many as it gives."""
        arm = ticket.arm
        arm.n_limit = max(1, len(came))
        self._state.note(
            f"{arm.provider.name} returned {len(came)} of {ticket.n} choices: "
            f"it is asked for {arm.n_limit} per request from now on."
        )
        for index in sorted(set(range(ticket.n)) - came, reverse=True):
            self._schedule.give_back(Draw(arm.number, ticket.problem, ticket.first_slot + index, 1))

    def _failed(self, ticket: Ticket, error: ProviderError, sent_at: float) -> None:
        """Decide what a failed try cost, and whether its slots are drawn again."""
        arm = ticket.arm
        kind = type(error).__name__
        arm.limiter.done(
            outcome=limiter_outcome(error), sent_at=sent_at, retry_after_s=error.retry_after_s
        )
        again = error.retryable and (
            isinstance(error, RateLimited) or ticket.failures < self._max_retries
        )
        self._state.failures[kind] += 1
        self._fail(ticket, kind, error.sent, error.status, str(error), final=not again)
        if again:
            self._retry_later(ticket, error)
        elif isinstance(error, Fatal):
            self.stop(RunFault(str(error)))
        elif isinstance(error, TimedOut):
            self._censor(ticket)
        else:
            self._state.unfilled += ticket.n
            self._unresolved(ticket)

    def _fail(
        self,
        ticket: Ticket,
        kind: str,
        sent: str,
        status: int | None,
        message: str,
        *,
        final: bool,
    ) -> None:
        """Book and record a try that brought nothing, by the provider's outcome table."""
        what = what_happened(kind, sent, status)
        if outcome_action(ticket.arm.provider.name, what) == "release":
            self._ledger.release(ticket.reservation, message)
        else:
            self._ledger.hold(ticket.reservation, message)
        self._store.put_failure(
            ticket.request, ticket.reservation, kind, sent, message, final=final
        )

    def _retry_later(self, ticket: Ticket, error: ProviderError) -> None:
        if isinstance(error, RateLimited):
            ticket.pauses += 1
            step = ticket.pauses
        else:
            ticket.failures += 1
            step = ticket.failures
        self._state.retried += 1
        wait = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** (step - 1))
        wait = max(error.retry_after_s or 0.0, wait * self._jitter.uniform(0.5, 1.0))
        heapq.heappush(self._retries, (time.monotonic() + wait, ticket.request, ticket))

    def _censor(self, ticket: Ticket) -> None:
        """A generation that timed out keeps its slots: drawing again would favour short answers."""
        for choice in range(ticket.n):
            self._store.put_censored(
                ticket.arm.number,
                ticket.problem,
                ticket.first_slot + choice,
                ticket.request,
                choice,
            )
        counts = self._state.arms[ticket.arm.number]
        n = ticket.n

        def count() -> None:
            counts.filled += n
            counts.censored += n

        self._store.when_durable(count)
        self._unresolved(ticket)

    def _unresolved(self, ticket: Ticket) -> None:
        for choice in range(ticket.n):
            slot = ticket.first_slot + choice
            self._schedule.resolved(ticket.arm.number, ticket.problem, slot, None)

    def resolved(self, arm: int, problem: int, slot: int, passed: bool | None) -> None:
        """A slot was judged: the schedule may have been waiting for that."""
        self._schedule.resolved(arm, problem, slot, passed)
        self._changed.set()

    async def _keep_meter(self, arm: ReadyArm) -> None:
        """Tick a server's time meter; let go of what is in flight when its money ends."""
        meter = arm.meter
        assert meter is not None
        while True:
            meter.tick()
            if meter.exhausted:
                self._changed.set()
                if meter.deadline is not None and time.time() >= meter.deadline - 1.0:
                    self.budget_reached = True
                    self.cancel()
            await asyncio.sleep(0.25)


def limiter_outcome(error: ProviderError) -> LimiterOutcome:
    """How a failure looks to the limiter."""
    names: dict[str, LimiterOutcome] = {
        "RateLimited": "rate_limited",
        "Overloaded": "overloaded",
        "TimedOut": "timeout",
        "ConnectionFailed": "connection",
    }
    return names.get(type(error).__name__, "other")
