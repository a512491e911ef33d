"""What is asked next, and whether the money for it is there.

Retries that are due go first, then the schedule's draws. A draw becomes a ticket once its worst
case is reserved; the plan (slots, n, seed) is stored in the same transaction. When a reservation
does not fit, the dispatcher waits for what is in flight, then asks for fewer choices; only when
nothing is in flight and one attempt does not fit is the budget reached. An arm that does not fit
its own budget waits aside for what that arm has in flight, while the others go on.
"""

from __future__ import annotations

import heapq
import time

from msgspec import structs

from budgets.ledger import RUN, DoesNotFit, LedgerFault
from orchestrator.engine.agents import Agents
from orchestrator.engine.parts import SessionParts
from orchestrator.engine.seeds import request_seed
from orchestrator.engine.tail import Tail
from orchestrator.engine.ticket import Ticket
from orchestrator.errors import RunFault
from orchestrator.plan.ready import ReadyArm
from orchestrator.schedule import Draw

MOST_COLD = 1024
"""Draws that wait for a prompt cache to be warmed, at most."""


class Dispatch:
    """Turns draws and retries into tickets whose worst case is reserved."""

    def __init__(
        self,
        shared: SessionParts,
        *,
        study_seed: int,
        unfinished: list[Ticket],
        agents: Agents | None,
    ) -> None:
        self._shared = shared
        self._agents = agents
        self._arms = shared.arms
        self._schedule = shared.schedule
        self._tail = Tail(shared.schedule, shared.arms)
        self._store = shared.store
        self._ledger = shared.ledger
        self._state = shared.state
        self._control = shared.control
        self._study_seed = study_seed
        self._retries: list[tuple[float, int, Ticket]] = [(0.0, t.request, t) for t in unfinished]
        self._cold: list[Draw] = []
        self._short: dict[int, int] = {}
        """Arms that wait for money of their own budget, and what each needs in picodollars."""
        self._short_retries: list[Ticket] = []
        self._aside: dict[int, list[Ticket]] = {}
        """Arms whose server cannot be asked, and their planned requests that wait for it."""
        self._in_hand: int | None = None
        """The arm of what was taken up last, until the next is."""

    async def next(self) -> Ticket | None:
        """The next ticket, its worst case reserved; None where nothing can be asked for now."""
        if self._short:
            self._look_again()
        self._in_hand = None
        ticket = self._due_retry() if self._retries else None
        if ticket is not None:
            self._in_hand = ticket.arm.number
            ticket = await self._reserve_again(ticket)
        if ticket is not None or self._control.stopping:
            return ticket
        # A retry that did not fit whole has become smaller draws, which come next; an arm whose
        # budget is reached leaves the others to go on.
        while ticket is None and not self._control.stopping:
            draw = self._next_draw()
            self._in_hand = None if draw is None else draw.arm
            if draw is None:
                break
            ticket = await self._plan(draw)
        return ticket

    @property
    def short_of_money(self) -> bool:
        """Whether an arm waits for money of its own budget."""
        return bool(self._short)

    def idle(self, arm: int) -> bool:
        """Whether nothing of an arm waits here to be asked."""
        waiting = [draw.arm for draw in self._cold]
        waiting += [ticket.arm.number for _, _, ticket in self._retries]
        waiting += [ticket.arm.number for ticket in self._short_retries]
        waiting += [number for number, tickets in self._aside.items() if tickets]
        return arm not in waiting and arm != self._in_hand

    @property
    def waits_for_a_server(self) -> bool:
        """Whether an arm is aside until its server can be asked."""
        return bool(self._aside)

    def put_aside(self, arm: ReadyArm) -> None:
        """Ask nothing of an arm until `take_back`: its server cannot be asked."""
        self._aside.setdefault(arm.number, [])
        self._schedule.pause_arm(arm.number)

    def take_back(self, arm: ReadyArm) -> None:
        """An arm's server can be asked again: what waited for it is due."""
        for ticket in self._aside.pop(arm.number, []):
            self.retry_at(0.0, ticket)
        if arm.number not in self._short:
            self._schedule.go_on(arm.number)

    def wait_for_server(self, ticket: Ticket) -> None:
        """A planned request without a reservation waits for its arm's server."""
        self.put_aside(ticket.arm)
        self._aside[ticket.arm.number].append(ticket)

    @property
    def next_retry(self) -> float | None:
        """Monotonic time at which a retry is due; None: none waits."""
        return self._retries[0][0] if self._retries else None

    def retry_at(self, when: float, ticket: Ticket) -> None:
        """Ask the same request again at a monotonic time."""
        heapq.heappush(self._retries, (when, ticket.request, ticket))

    def came_back(self, ticket: Ticket, *, answered: bool) -> None:
        """Whoever went ahead to warm a prompt's cache is back: what waited for it goes next."""
        warmer = ticket.arm.warmer
        if warmer.enabled and answered:
            warmer.warmed(str(ticket.problem))
        elif warmer.enabled:
            warmer.failed(str(ticket.problem))
        if self._cold:
            waiting, self._cold = self._cold, []
            for draw in reversed(waiting):
                self._schedule.give_back(draw)

    def _due_retry(self) -> Ticket | None:
        while self._retries and self._retries[0][0] <= time.monotonic():
            ticket = heapq.heappop(self._retries)[2]
            if ticket.arm.number in self._aside:
                self._aside[ticket.arm.number].append(ticket)
            elif not ticket.arm.closed:
                return ticket
        return None

    def _next_draw(self) -> Draw | None:
        """The schedule's next draw whose prompt cache is warm, or that goes ahead to warm it."""
        while len(self._cold) < MOST_COLD:
            draw = self._tail.next()
            if draw is None:
                return None
            arm = self._arms[draw.arm]
            if not arm.warmer.enabled:
                return draw
            tokens = arm.prompt_bounds[draw.problem]
            if arm.warmer.advice(str(draw.problem), tokens) != "wait":
                return draw
            self._cold.append(draw)
        return None

    async def _plan(self, draw: Draw) -> Ticket | None:
        """Reserve and plan a draw; both commit together."""
        arm = self._arms[draw.arm]
        if arm.n_limit and draw.n > arm.n_limit:
            draw = self._shorten(draw, arm.n_limit)
        while not self._control.stopping:
            number = self._store.upcoming_request
            try:
                reservation = self._reserve(arm, draw.problem, draw.n, number)
            except DoesNotFit as miss:
                if self._waits_aside(arm, miss):
                    break
                if self._in_flight(arm, miss.scope):
                    await self._control.wait("budget")
                elif draw.n > 1:
                    draw = self._shorten(draw, draw.n // 2)
                else:
                    self._shared.reach_budget(arm, miss.scope)
                    break
            except LedgerFault as fault:
                self._control.stop(RunFault(str(fault)))
            else:
                identifier = arm.problems[draw.problem].id
                seed = request_seed(self._study_seed, arm.key, identifier, draw.first_slot, draw.n)
                self._store.plan(draw.arm, draw.problem, draw.first_slot, draw.n, seed)
                return Ticket(
                    arm, number, draw.problem, draw.first_slot, draw.n, seed, reservation,
                    group=self._store.gathering,
                )  # fmt: skip
        # It did not go ahead to warm a cache after all.
        arm.warmer.failed(str(draw.problem))
        if not arm.closed:
            self._schedule.give_back(draw)
        return None

    async def _reserve_again(self, ticket: Ticket) -> Ticket | None:
        """Reserve for a planned request that is tried again: its n and seed do not change.

        Where it does not fit whole, its slots are planned anew as smaller requests.
        """
        arm = ticket.arm
        while not self._control.stopping:
            try:
                ticket.reservation = self._reserve(arm, ticket.problem, ticket.n, ticket.request)
                ticket.group = self._store.gathering
                ticket.account, ticket.price = "open", None
                return ticket
            except DoesNotFit as miss:
                if self._waits_aside(arm, miss):
                    self._short_retries.append(ticket)
                    return None
                if self._in_flight(arm, miss.scope):
                    await self._control.wait("budget")
                elif ticket.n > 1:
                    draw = Draw(arm.number, ticket.problem, ticket.first_slot, ticket.n)
                    self._schedule.give_back(self._shorten(draw, ticket.n // 2))
                    return None
                else:
                    self._shared.reach_budget(arm, miss.scope)
                    return None
            except LedgerFault as fault:
                self._control.stop(RunFault(str(fault)))
        return None

    def _reserve(self, arm: ReadyArm, problem: int, n: int, request: int) -> int:
        if arm.meter is not None and arm.meter.exhausted:
            raise DoesNotFit(arm.scopes[0] if arm.spec.budget else RUN, 0, 0)
        if arm.agent is not None and self._agents is not None:
            self._agents.check_room(arm)
        return self._ledger.reserve(arm.worst(problem, n), arm.scopes, request=request)

    def _in_flight(self, arm: ReadyArm, scope: str) -> int:
        """How many requests under way share a scope with an arm, so that their end may free it."""
        return self._state.in_flight if scope == RUN else self._state.arms[arm.number].in_flight

    def _waits_aside(self, arm: ReadyArm, miss: DoesNotFit) -> bool:
        """Whether an arm is left out until something of its own comes back."""
        if miss.scope == RUN or not self._in_flight(arm, miss.scope):
            return False
        self._short[arm.number] = miss.worst
        self._schedule.pause_arm(arm.number)
        return True

    def _look_again(self) -> None:
        """Let arms go on whose own budget has room again, or of which nothing is under way."""
        for number, worst in list(self._short.items()):
            arm = self._arms[number]
            room = self._ledger.room(arm.scopes)
            fits = room is None or worst <= room
            if arm.meter is not None:
                fits = fits and not arm.meter.exhausted
            if fits or not self._state.arms[number].in_flight:
                del self._short[number]
                if number not in self._aside:
                    self._schedule.go_on(number)
                retries, self._short_retries = self._short_retries, []
                for ticket in retries:
                    self.retry_at(0.0, ticket)

    def _shorten(self, draw: Draw, n: int) -> Draw:
        self._schedule.give_back(
            structs.replace(draw, first_slot=draw.first_slot + n, n=draw.n - n)
        )
        return structs.replace(draw, n=n)
