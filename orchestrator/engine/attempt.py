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

from budgets.limiter import PATIENCE_S
from budgets.outcomes import LIMITER_OUTCOMES, outcome_action, what_happened
from orchestrator.engine.answers import Answers
from orchestrator.engine.dispatch import Dispatch
from orchestrator.engine.judging import Judging
from orchestrator.engine.outage import Outages
from orchestrator.engine.parts import SessionParts
from orchestrator.engine.refusing import Refusing
from orchestrator.engine.ticket import Ticket
from orchestrator.errors import RunFault
from orchestrator.plan.ready import ReadyArm
from providers.errors import (
    BadResponse,
    ConnectionFailed,
    Fatal,
    InvalidRequest,
    NoCredit,
    ProviderError,
    RateLimited,
    TimedOut,
)
from providers.sample import SampleRequest, SampleResponse, Sending

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
MOST_NAMED = 5
"""Problems that are named where their prompts are too long; the report counts all."""
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
        shared: SessionParts,
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
        self._outages = outages
        self._answers = Answers(shared, dispatch, judging)
        self._refusing = Refusing(shared)
        self._max_retries = max_retries
        self._jitter = random.Random(jitter_seed)

    async def attempt(self, ticket: Ticket) -> None:
        """Buy one ticket. Cancelled, it is held as uncertain unless it was never sent."""
        arm = ticket.arm
        request = request_of(ticket, arm)
        sent_at = time.monotonic()
        try:
            if ticket.problem in arm.too_long:
                raise InvalidRequest(arm.too_long[ticket.problem], sent="not_sent")
            if not self._store.is_durable(ticket.group):
                await self._store.durable()
            sent_at = time.monotonic()
            request.sending.sent = "maybe_billed"
            response = await arm.provider.sample(request)
        except asyncio.CancelledError:
            self._served(ticket, request, "cancelled")
            self._account(ticket, "cancelled", request.sending.sent, None, "cancelled")
            arm.limiter.done(outcome="other", sent_at=sent_at, permit=ticket.permit)
            raise
        except ProviderError as error:
            self._served(ticket, request, type(error).__name__)
            self._failed(ticket, error, sent_at)
        else:
            if request.sending.server:
                self._served(ticket, request, "answered")
            self._answered(ticket, response, sent_at)

    def _served(self, ticket: Ticket, request: SampleRequest, ending: str) -> None:
        """Keep which server of a fleet a try went to last, beside what came of it."""
        if request.sending.server:
            self._store.put_served(ticket.request, request.sending.server, ending)

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
        """Settle and record an answer; `sent_at` is Unix time."""
        self._tell(ticket.arm)
        self._answers.book(ticket, response, sent_at, latency_s)

    def _tell(self, arm: ReadyArm) -> None:
        """What a provider learnt of its server: what it leaves out, or names otherwise."""
        told: list[str] = getattr(arm.provider, "told", [])
        while told:
            self._state.note(told.pop(0))

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
        endless = self._never_clears(ticket, error) and again
        again = again and not too_long and not endless
        self._state.failed(ticket.arm.number, kind, str(error))
        self._tell(ticket.arm)
        if isinstance(error, BadResponse) and not again:
            self._unreadable(ticket, error)
            return
        self._account(ticket, kind, error.sent, error.status, str(error), final=not again)
        if again:
            self._retry_later(ticket, error, charged=not outage)
        elif too_long:
            self._control.stop(RunFault(too_long))
        elif endless and not _alone(ticket):
            self._control.stop(RunFault(
                f"{error}: nothing was answered for {self._outages.patience_s:.0f} s; --resume "
                "when the limit is over, or wait longer with --server-patience"
            ))  # fmt: skip
        elif isinstance(error, Fatal) and not _alone(ticket):
            self._control.stop(RunFault(f"{error}"))
        elif _cut(error) and not _honours_seeds(ticket):
            self._answers.censor(ticket, list(range(ticket.n)), "cut")
        elif isinstance(error, TimedOut) and error.phase != "connect":
            self._answers.censor(ticket, list(range(ticket.n)), "timeout")
        elif isinstance(error, InvalidRequest) and error.field == "n" and ticket.n > 1:
            ticket.arm.n_limit = 1
            self._state.note(f"{error}: it is asked for one choice at a time from now on.")
            self._answers.split(ticket, list(range(ticket.n)))
        else:
            if isinstance(error, InvalidRequest) and error.too_long:
                self._never_again(ticket, error)
            self.give_up(ticket)
            self._refusing.see(ticket, error)

    def _never_clears(self, ticket: Ticket, error: ProviderError) -> bool:
        """Whether a rate limit has let nothing pass for as long as a dead server is waited for."""
        now, arm = time.monotonic(), ticket.arm
        if not isinstance(error, RateLimited) or arm.batch:
            ticket.limited = None
            return False
        ticket.limited = ticket.limited or (now, arm.answers)
        return now - max(ticket.limited[0], arm.answered_at) > self._outages.patience_s

    def _never_again(self, ticket: Ticket, error: InvalidRequest) -> None:
        """A prompt that does not fit now does not fit later: its other slots are not sent."""
        arm = ticket.arm
        arm.too_long[ticket.problem] = str(error)
        if len(arm.too_long) <= MOST_NAMED:
            self._state.note(
                f"Problem {arm.problems[ticket.problem].id} does not fit the context of "
                f"{arm.model}: it is not asked again, and the report counts it apart."
            )

    def _unreadable(self, ticket: Ticket, error: BadResponse) -> None:
        """An answer without a readable sample: its money is booked as far as it can be read.

        Its slots keep their place, since what cannot be read may be what the model wrote.
        """
        if error.answer is not None and _priced(error.answer):
            self._dispatch.came_back(ticket, answered=True)
            self._answers.record(ticket, error.answer, time.time(), 0.0)
            self._store.put_failure(
                ticket.request, ticket.reservation, "BadResponse", error.sent, str(error),
                final=False,
            )  # fmt: skip
        else:
            self._account(ticket, "BadResponse", error.sent, error.status, str(error), final=False)
            if error.body:
                self._store.put_body(ticket.request, str(error), error.body)
        self._answers.censor(ticket, list(range(ticket.n)), "unreadable")
        self._refusing.see(ticket, error)

    def _asked_again(self, ticket: Ticket, error: ProviderError, outage: bool) -> bool:
        if _cut(error):
            # Where the same seed gives the same text, asking again is no other draw. Elsewhere it
            # would favour short answers, which are cut less often.
            ticket.cuts += 1
            most = max(self._max_retries, MOST_CUTS) if self._max_retries else 0
            return _honours_seeds(ticket) and ticket.cuts <= most
        if isinstance(error, Fatal):
            return _doubted(ticket, error)
        if isinstance(error, TimedOut) and error.phase == "total":
            return self._outages.down(ticket.arm) and _honours_seeds(ticket)
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
        elif charged and not _cut(error) and not isinstance(error, Fatal):
            ticket.failures += 1
        self._state.retried += 1
        step = max(ticket.pauses, ticket.failures, 1)
        wait = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** (step - 1))
        # What failed in one batch is asked again in one batch.
        jitter = 1.0 if ticket.arm.batch else self._jitter.uniform(0.5, 1.0)
        wait = max(error.retry_after_s or 0.0, wait * jitter)
        self._dispatch.retry_at(time.monotonic() + wait, ticket)

    def _unresolved(self, ticket: Ticket) -> None:
        for slot in range(ticket.first_slot, ticket.first_slot + ticket.n):
            self._schedule.resolved(ticket.arm.number, ticket.problem, slot, None)


def _priced(answer: SampleResponse) -> bool:
    """Whether an answer without a sample says what it costs."""
    return answer.usage is not None or answer.reported.pico is not None


def _doubted(ticket: Ticket, error: Fatal) -> bool:
    """Whether what would end the run is asked once more before it does.

    A gateway's slip (a redirect, a refused key) must not end a run; an empty account ends it.
    """
    arm = ticket.arm
    if isinstance(error, NoCredit) or arm.batch or ticket.doubted is not None:
        return False
    ticket.doubted = arm.answers
    return True


def _alone(ticket: Ticket) -> bool:
    """Whether only this request is refused so: others were answered since it was first."""
    before = ticket.limited[1] if ticket.limited is not None else ticket.doubted
    return before is not None and ticket.arm.answers > before


def _honours_seeds(ticket: Ticket) -> bool:
    """Whether the same request gives the same text, so that asking again is no other draw."""
    return ticket.arm.provider.capabilities.seed


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
