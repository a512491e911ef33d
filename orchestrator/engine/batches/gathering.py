"""Tickets of batch arms wait here for company until they are handed over as one batch.

A dispatcher that waits for settlements sends nothing more, so a batch never waits to be full: it
goes once no ticket has come for a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.engine.parts import SessionParts
from orchestrator.engine.ticket import Ticket

SILENCE_S = 1.0
"""A batch is handed over once no ticket has come for this long: the next may wait for its end."""
MOST_REQUESTS = 1000
MOST_TOKENS = 20_000_000
"""Prompt and output tokens of one batch at most, so that its file and its results stay within
what a provider takes and one answer may hold."""


@dataclass(slots=True)
class Gathered:
    """Tickets that wait for company."""

    tickets: list[Ticket] = field(default_factory=list)
    tokens: int = 0
    timer: asyncio.TimerHandle | None = None


class Gathering:
    """Gathers tickets, and hands each group over."""

    def __init__(self, shared: SessionParts, hand_over: Callable[[list[Ticket]], None]) -> None:
        self._ledger = shared.ledger
        self._state = shared.state
        self._control = shared.control
        self._hand_over = hand_over
        self._gathered: dict[tuple[int, bool], Gathered] = {}
        self.most: dict[int, int] = {}
        """Requests per batch at most, of an arm whose provider takes fewer."""

    def add(self, ticket: Ticket) -> None:
        """Take a ticket whose worst case is reserved; it counts as in flight from now on."""
        arm = ticket.arm
        # A batch holds either chat or raw completions.
        key = (arm.number, arm.problems[ticket.problem].messages is not None)
        gathered = self._gathered.setdefault(key, Gathered())
        self._state.sent(arm.number)
        gathered.tickets.append(ticket)
        gathered.tokens += arm.prompt_bounds[ticket.problem] + arm.base.max_tokens * ticket.n
        if gathered.timer is not None:
            gathered.timer.cancel()
        most = self.most.get(arm.number, MOST_REQUESTS)
        if self._control.stopping:
            self.stop()
        elif len(gathered.tickets) >= most or gathered.tokens >= MOST_TOKENS:
            self._flush(key)
        else:
            loop = asyncio.get_running_loop()
            gathered.timer = loop.call_later(SILENCE_S, self._flush, key)

    def stop(self) -> None:
        """Nothing more is handed over: what was only gathered is released."""
        waiting, self._gathered = self._gathered, {}
        for gathered in waiting.values():
            if gathered.timer is not None:
                gathered.timer.cancel()
            for ticket in gathered.tickets:
                ticket.release(self._ledger, "never sent")
                self._state.back(ticket.arm.number)

    def _flush(self, key: tuple[int, bool]) -> None:
        gathered = self._gathered.pop(key)
        if gathered.timer is not None:
            gathered.timer.cancel()
        self._hand_over(gathered.tickets)
