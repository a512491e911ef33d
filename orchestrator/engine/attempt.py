"""One ticket on its way: sent once its reservation is on disk, then booked, whatever came of it.

An answer, its samples and its settlement commit in one transaction. What a failed try may have
cost is decided by the provider's outcome table (budgets/outcomes.py), never guessed. No redraw
looks at an output: a truncated sample is kept and judged, a generation that timed out keeps its
slots as censored, and only failures that do not depend on what was being written are tried again.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime

from budgets.limits import PATIENCE_S
from budgets.outcomes import LIMITER_OUTCOMES, outcome_action, what_happened
from orchestrator.engine.dispatch import Dispatch
from orchestrator.engine.judging import Judging
from orchestrator.engine.outage import Outages
from orchestrator.engine.shared import Shared
from orchestrator.engine.ticket import Ticket
from orchestrator.errors import RunFault
from orchestrator.plan.ready import ReadyArm
from orchestrator.schedule import Draw
from providers.errors import ConnectionFailed, Fatal, ProviderError, RateLimited, TimedOut
from providers.sample import SampleRequest, SampleResponse, Sending

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
MOST_CUTS = 20
"""A request during which the server died so often may be what kills it."""


def request_of(ticket: Ticket, arm: ReadyArm) -> SampleRequest:
    """What is asked for a ticket: the same whenever it is asked."""
    problem = arm.problems[ticket.problem]
    base = arm.base
    # Written out: dataclasses.replace takes three times as long.
    return SampleRequest(
        model=base.model,
        prompt=problem.prompt,
        messages=problem.messages,
        n=ticket.n,
        max_tokens=base.max_tokens,
        temperature=base.temperature,
        top_p=base.top_p,
        stop=base.stop,
        logprobs=base.logprobs,
        extra=base.extra,
        seed=ticket.seed if arm.provider.capabilities.seed else None,
        first_slot=ticket.first_slot,
        # Writing a cache costs more than not: only where the prompt is asked again.
        cache_prompt=arm.price is not None
        and arm.provider.capabilities.prompt_cache != "none"
        and arm.spec.samples > ticket.n,
        sending=Sending("not_sent"),
    )


class Attempts:
    """Sends tickets and books what came of them."""

    def __init__(
        self,
        shared: Shared,
        dispatch: Dispatch,
        judging: Judging,
        outages: Outages,
        *,
        max_retries: int,
        jitter_seed: int,
    ) -> None:
        self._dispatch = dispatch
        self._schedule = shared.schedule
        self._store = shared.store
        self._ledger = shared.ledger
        self._state = shared.state
        self._control = shared.control
        self._judging = judging
        self._outages = outages
        self._max_retries = max_retries
        self._jitter = random.Random(jitter_seed)

    async def attempt(self, ticket: Ticket) -> None:
        """Buy one ticket. Cancelled, it is held as uncertain unless it was never sent."""
        arm = ticket.arm
        request = request_of(ticket, arm)
        sent_at = time.monotonic()
        try:
            await self._store.durable()
            sent_at = time.monotonic()
            request.sending.sent = "maybe_billed"
            response = await arm.provider.sample(request)
        except asyncio.CancelledError:
            self._account(ticket, "cancelled", request.sending.sent, None, "cancelled")
            arm.limiter.done(outcome="other", sent_at=sent_at, permit=ticket.permit)
            raise
        except ProviderError as error:
            self._failed(ticket, error, sent_at)
        else:
            self._answered(ticket, response, sent_at)

    def _answered(self, ticket: Ticket, response: SampleResponse, sent_at: float) -> None:
        latency_s = time.monotonic() - sent_at
        self._outages.answered(ticket.arm)
        ticket.arm.limiter.done(
            outcome="ok",
            sent_at=sent_at,
            headers=response.headers,
            usage=response.usage,
            permit=ticket.permit,
        )
        self.book_answer(ticket, response, time.time() - latency_s, latency_s)

    def book_answer(
        self, ticket: Ticket, response: SampleResponse, sent_at: float, latency_s: float
    ) -> None:
        """Settle and record in one synchronous stretch, so that they commit together.

        `sent_at` is Unix time.
        """
        arm = ticket.arm
        self._dispatch.came_back(ticket, answered=True)
        cost = self._settle(ticket, response)
        self._store.put_answer(
            ticket.request, ticket.reservation, response, cost, sent_at, latency_s
        )
        choices = [choice for choice in response.choices if choice.index < ticket.n]
        for choice in choices:
            slot = ticket.first_slot + choice.index
            self._store.put_sample(arm.number, ticket.problem, slot, ticket.request, choice)
        self._store.when_durable(lambda: self._count(ticket, response, len(choices)))
        self._state.repeats.see(arm.number, ticket.problem, [choice.text for choice in choices])
        if response.surplus:
            self._state.note(
                f"{arm.provider.name} returned more choices than were asked for: they are paid "
                "for and not used."
            )
        if len(choices) < ticket.n:
            self._missing(ticket, {choice.index for choice in choices})
        for choice in choices:
            slot = ticket.first_slot + choice.index
            self._judging.put(arm, ticket.problem, slot, choice.text)

    def _settle(self, ticket: Ticket, response: SampleResponse) -> int | None:
        """Book what an answer cost; None where it did not say."""
        arm, usage = ticket.arm, response.usage
        if arm.price is None:
            ticket.settle(self._ledger, 0)
            return 0
        if usage is None:
            ticket.hold(self._ledger, "answered without usage")
            self._state.note(
                "Some answers came without usage, or with counts that cannot be: "
                "they are held as uncertain."
            )
            return None
        # When within its day a batch ran is not known: its dearest time counts.
        at = None if arm.batch else datetime.now(UTC)
        cost = (ticket.price or arm.price).cost(usage, at=at, batch=arm.batch)
        ticket.settle(self._ledger, cost)
        self._schedule.paid(arm.number, ticket.problem, ticket.n, cost)
        if not arm.prompt_known[ticket.problem] and usage.prompt_tokens:
            arm.prompt_known[ticket.problem] = True
            arm.prompt_bounds[ticket.problem] = usage.prompt_tokens
        if self._ledger.fault is not None:
            self._control.stop(RunFault(self._ledger.fault))
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
            slot = ticket.first_slot + index
            self._schedule.give_back(Draw(arm.number, ticket.problem, slot, 1))

    def _failed(self, ticket: Ticket, error: ProviderError, sent_at: float) -> None:
        ticket.arm.limiter.done(
            outcome=LIMITER_OUTCOMES.get(type(error).__name__, "other"),
            sent_at=sent_at,
            retry_after_s=error.retry_after_s,
            permit=ticket.permit,
        )
        self.book_failure(ticket, error, outage=self._outages.failed(ticket.arm, error))

    def book_failure(self, ticket: Ticket, error: ProviderError, *, outage: bool = False) -> None:
        """Decide what a failed try cost, and whether its slots are drawn again.

        `outage`: it is the server's alone and says nothing of this request.
        """
        kind = type(error).__name__
        again = self._asked_again(ticket, error, outage)
        too_long = _too_long(error) if again else ""
        again = again and not too_long
        self._state.failures[kind] += 1
        self._account(ticket, kind, error.sent, error.status, str(error), final=not again)
        if again:
            self._retry_later(ticket, error, charged=not outage)
        elif too_long:
            self._control.stop(RunFault(too_long))
        elif isinstance(error, Fatal):
            self._control.stop(RunFault(f"{error}"))
        elif _cut(error) or (isinstance(error, TimedOut) and error.phase != "connect"):
            self._censor(ticket)
        else:
            self.give_up(ticket)

    def _asked_again(self, ticket: Ticket, error: ProviderError, outage: bool) -> bool:
        if _cut(error):
            # Where the same seed gives the same text, asking again is no other draw. Elsewhere it
            # would favour short answers, which are cut less often.
            ticket.cuts += 1
            honoured = ticket.arm.provider.capabilities.seed
            return honoured and ticket.cuts <= max(self._max_retries, MOST_CUTS)
        if isinstance(error, TimedOut) and error.phase == "total":
            return self._outages.down(ticket.arm) and ticket.arm.provider.capabilities.seed
        free = outage or isinstance(error, RateLimited)
        return error.retryable and (free or ticket.failures < self._max_retries)

    def give_up(self, ticket: Ticket) -> None:
        """The ticket's slots stay unfilled in this session."""
        self._state.unfilled += ticket.n
        self._unresolved(ticket)

    def _account(
        self,
        ticket: Ticket,
        kind: str,
        sent: str,
        status: int | None,
        message: str,
        *,
        final: bool = False,
    ) -> None:
        """Release or hold by the outcome table, and record the failed try."""
        self._dispatch.came_back(ticket, answered=False)
        if outcome_action(ticket.arm.provider.name, what_happened(kind, sent, status)) == "release":
            ticket.release(self._ledger, message)
        else:
            ticket.hold(self._ledger, message)
        self._store.put_failure(
            ticket.request, ticket.reservation, kind, sent, message, final=final
        )

    def _retry_later(self, ticket: Ticket, error: ProviderError, *, charged: bool) -> None:
        if isinstance(error, RateLimited):
            ticket.pauses += 1
        elif charged and not _cut(error):
            ticket.failures += 1
        self._state.retried += 1
        step = max(ticket.pauses, ticket.failures, 1)
        wait = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** (step - 1))
        # What failed in one batch is asked again in one batch.
        jitter = 1.0 if ticket.arm.batch else self._jitter.uniform(0.5, 1.0)
        wait = max(error.retry_after_s or 0.0, wait * jitter)
        self._dispatch.retry_at(time.monotonic() + wait, ticket)

    def _censor(self, ticket: Ticket) -> None:
        """A generation that timed out keeps its slots: drawing again would favour short answers."""
        arm, n = ticket.arm, ticket.n
        for choice in range(n):
            slot = ticket.first_slot + choice
            self._store.put_censored(arm.number, ticket.problem, slot, ticket.request, choice)
        counts = self._state.arms[arm.number]

        def count() -> None:
            counts.filled += n
            counts.censored += n

        self._store.when_durable(count)
        self._unresolved(ticket)

    def _unresolved(self, ticket: Ticket) -> None:
        for slot in range(ticket.first_slot, ticket.first_slot + ticket.n):
            self._schedule.resolved(ticket.arm.number, ticket.problem, slot, None)


def _cut(error: ProviderError) -> bool:
    """Whether the connection was lost while the server may have been writing."""
    return isinstance(error, ConnectionFailed) and error.sent == "maybe_billed"


def _too_long(error: ProviderError) -> str:
    """Why the run stops rather than wait for what the provider asks; empty: it waits."""
    wait_s = error.retry_after_s or 0.0
    if wait_s <= PATIENCE_S:
        return ""
    return (
        f"{error}: it asks to wait {wait_s:.0f} s, longer than the {PATIENCE_S:.0f} s that are "
        "waited for; resume when that time is over"
    )
