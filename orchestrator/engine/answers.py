"""What came for a ticket is booked: money, samples, and what its server broke off.

An answer, its samples and its settlement commit in one transaction. What of its cost is not certain
is held (budgets/charge.py). A choice that the server broke off is no answer of the model: it is
never judged, and keeps its slot as censored, unless it was refused before anything was written.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial

from budgets.charge import Charge, charge
from budgets.dialects import NOTHING, Reported
from budgets.price import Price
from budgets.usage import Usage
from orchestrator.engine.dispatch import Dispatch
from orchestrator.engine.judging import Judging
from orchestrator.engine.parts import SessionParts
from orchestrator.engine.ticket import Ticket
from orchestrator.errors import RunFault
from orchestrator.schedule import Draw
from providers.sample import Choice, SampleResponse


class Answers:
    """Books answers; see the module's contract."""

    def __init__(self, shared: SessionParts, dispatch: Dispatch, judging: Judging) -> None:
        self._dispatch = dispatch
        self._schedule = shared.schedule
        self._store = shared.store
        self._ledger = shared.ledger
        self._state = shared.state
        self._control = shared.control
        self._judging = judging

    def book(
        self, ticket: Ticket, response: SampleResponse, sent_at: float, latency_s: float
    ) -> None:
        """Settle and record in one synchronous stretch, so that they commit together.

        `sent_at` is Unix time.
        """
        arm = ticket.arm
        arm.answers += 1
        arm.answered_at = time.monotonic()
        self._dispatch.came_back(ticket, answered=True)
        self.record(ticket, response, sent_at, latency_s)
        kept, broken = list[Choice](), list[Choice]()
        for choice in response.choices:
            if choice.index < ticket.n:
                (broken if choice.finish_reason == "broken" else kept).append(choice)
        texts, wordless = list[str](), False
        for choice in kept:
            slot, text = ticket.first_slot + choice.index, choice.text
            self._store.put_sample(arm.number, ticket.problem, slot, ticket.request, choice)
            self._judging.put(arm, ticket.problem, slot, text)
            texts.append(text)
            wordless = wordless or (choice.finish_reason == "length" and not text.strip())
        if broken:
            self._broken(ticket, broken)
        self._store.when_durable(partial(self._count, arm.number, response.usage, len(kept)))
        self._state.repeats.see(arm.number, ticket.problem, texts)
        if response.surplus:
            self._state.note(
                f"{arm.provider.name} returned more choices than were asked for: they are paid "
                "for and not used."
            )
        if len(kept) + len(broken) < ticket.n:
            self._missing(ticket, {choice.index for choice in (*kept, *broken)})
        if wordless:
            self._state.note(
                f"{arm.model} spent all of its tokens before it wrote a word (on thinking, "
                "probably): a higher --max-tokens leaves room for the answer."
            )

    def record(
        self, ticket: Ticket, response: SampleResponse, sent_at: float, latency_s: float
    ) -> None:
        """Book what an answer cost, and store it without its samples."""
        booked = self._settle(ticket, response)
        self._store.put_answer(
            ticket.request, ticket.reservation, response, booked.settled, sent_at, latency_s,
            booked.why,
        )  # fmt: skip
        if response.odd:
            self._state.note(
                f"Some answers of {ticket.arm.provider.name} were odd ({response.odd}): what could "
                "be read is kept, and so are they, in the table bodies of run.db."
            )

    def censor(
        self, ticket: Ticket, choices: list[int], why: str, raw: str = "", text: str = ""
    ) -> None:
        """Slots whose draw was cut keep their place: drawing again would favour short answers."""
        arm, counts = ticket.arm, self._state.arms[ticket.arm.number]
        for choice in choices:
            slot = ticket.first_slot + choice
            self._store.put_censored(
                arm.number, ticket.problem, slot, ticket.request, choice, why, text, raw
            )
            self._schedule.resolved(arm.number, ticket.problem, slot, None)

        def count() -> None:
            counts.filled += len(choices)
            counts.censored += len(choices)

        self._store.when_durable(count)

    def _broken(self, ticket: Ticket, broken: list[Choice]) -> None:
        """What a server broke off: a failure of its own, never a wrong answer."""
        for choice in broken:
            said = f"finish reason {choice.finish_raw!r}" + (
                f" after {len(choice.text)} characters" if choice.text else ""
            )
            self._state.failed(ticket.arm.number, "Broken", f"{ticket.arm.provider.name}: {said}")
            self._store.put_failure(
                ticket.request, ticket.reservation, "Broken", "maybe_billed", said, final=False
            )
        for choice in broken:
            if not choice.refused:
                self.censor(ticket, [choice.index], "broken", choice.finish_raw, choice.text)
        # Refused before a word was written: another draw looks at no output.
        for choice in reversed(broken):
            if choice.refused:
                slot = ticket.first_slot + choice.index
                self._schedule.give_back(Draw(ticket.arm.number, ticket.problem, slot, 1))

    def _settle(self, ticket: Ticket, response: SampleResponse) -> Charge:
        """Book what an answer cost, and perhaps more."""
        arm, usage = ticket.arm, response.usage
        if usage is not None:
            self._state.arms[arm.number].lengths.add(ticket.n, usage.output_tokens)
        if arm.price is None:
            ticket.settle(self._ledger, 0)
            return Charge(0, 0)
        price, doubt = self._price(ticket, response.model)
        said = response.reported if response.reported is not NOTHING else Reported(usage)
        bound = self._ledger.worst_of(ticket.reservation)
        # When within its day a batch ran is not known: its dearest time counts.
        batch = arm.batch
        at = None if batch else datetime.now(UTC)
        booked = charge(price, said, bound, at=at, batch=batch, doubt=doubt)
        if booked.held:
            self._state.note(
                "Of some answers not all of the cost is certain, and the difference is held as "
                f"uncertain: {booked.why}."
            )
        if booked.settled is None:
            ticket.hold(self._ledger, booked.why)
            return booked
        ticket.settle(self._ledger, booked.settled, booked.held, booked.why)
        self._schedule.paid(arm.number, ticket.problem, ticket.n, booked.settled)
        most = said.most or usage
        if not arm.prompt_known[ticket.problem] and most is not None and most.prompt_tokens:
            arm.prompt_known[ticket.problem] = True
            arm.prompt_bounds[ticket.problem] = most.prompt_tokens
        if self._ledger.fault is not None:
            self._control.stop(RunFault(self._ledger.fault))
        return booked

    def _price(self, ticket: Ticket, answered: str) -> tuple[Price, str]:
        """The price of the model that answered, and why it may not be that; "" where it is."""
        arm = ticket.arm
        asked = ticket.price or arm.price
        assert asked is not None
        if answered == arm.model:
            return asked, ""
        known = arm.price_of(answered)
        if known is not None:
            if known.bands != asked.bands:
                self._state.note(f"{arm.model} was answered by {answered}, and is priced so.")
            return known, ""
        if alike(arm.model, answered):
            return asked, ""
        if arm.price_stated:
            self._state.note(
                f"{arm.model} was answered by {answered}, and is priced as the --prices file says."
            )
            return asked, ""
        self._state.note(
            f"{arm.model} was answered by {answered}, of which no price is known: what it may cost "
            "beyond the price of what was asked for is held; a price in a --prices file settles it."
        )
        return asked, f"answered by {answered}, of which no price is known"

    def _count(self, arm: int, usage: Usage | None, filled: int) -> None:
        self._state.arms[arm].filled += filled
        if usage is not None:
            self._state.input_tokens += usage.prompt_tokens
            self._state.output_tokens += usage.output_tokens

    def _missing(self, ticket: Ticket, came: set[int]) -> None:
        """A server that ignores n: ask for the missing slots, from now on as many as it gives."""
        arm = ticket.arm
        arm.n_limit = max(1, len(came))
        self._state.note(
            f"{arm.provider.name} returned {len(came)} of {ticket.n} choices: "
            f"it is asked for {arm.n_limit} per request from now on."
        )
        self.split(ticket, sorted(set(range(ticket.n)) - came))

    def split(self, ticket: Ticket, choices: list[int]) -> None:
        """Ask for some of a ticket's slots anew, one by one."""
        for index in reversed(choices):
            slot = ticket.first_slot + index
            self._schedule.give_back(Draw(ticket.arm.number, ticket.problem, slot, 1))


def alike(asked: str, answered: str) -> bool:
    """Whether two names are of one model: a path before it, a date or a size of numbers after."""
    one, other = (name.lower().rstrip("/").rsplit("/", 1)[-1] for name in (asked, answered))
    shorter, longer = sorted((one, other), key=len)
    return bool(shorter) and longer.startswith(shorter) and not _grows(longer[len(shorter) :])


def _grows(rest: str) -> bool:
    """Whether what follows a name makes it another model (gpt-4o and gpt-4o-mini)."""
    return any(
        part.isalpha() and part not in SAME for part in rest.strip("-:@_").split("-") if part
    )


SAME = frozenset({"latest", "preview", "instruct", "chat", "free", "it", "fp", "awq", "gptq"})
"""Words after a model's name that leave it the same model."""
