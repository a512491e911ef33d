"""What a resumed run still owes: read from the durable plan, never guessed.

A planned request without an answer is sent again as it was planned, with the same seed. A slot
whose request was answered with too few choices and that no later request covers is drawn anew.
Everything beyond the plan is the schedule's. What a batch holds that may be at its provider is
not asked again: the batch is gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from budgets.ledger import Ledger
from budgets.price import Price
from orchestrator.engine.batches.running import Phase, Running, price_key
from orchestrator.engine.counters import RunState
from orchestrator.engine.ticket import MoneyState, Ticket
from orchestrator.errors import ConfigError
from orchestrator.plan.identity import identity_of, refuse_difference
from orchestrator.plan.prepare import Prepared
from orchestrator.plan.ready import ReadyArm
from orchestrator.schedule import Draw
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import BatchRow, PlannedRequest

Place = tuple[int, int]
"""Arm and problem."""


@dataclass(frozen=True, slots=True)
class Owed:
    """The rest of a plan."""

    planned: list[list[int]]
    """Per arm and problem, the first slot that is not planned yet."""
    unfinished: list[Ticket]
    missing: list[Draw]
    batches: list[Running]
    """Batches of earlier sessions that are gone on with."""
    dropped: list[BatchRow]
    """Batches that were not found and whose money a person has cleared up: over."""


def refuse_unresumable(directory: Path, prepared: Prepared) -> None:
    """Raise ConfigError where the study is not the run's; reads only.

    To be asked before anything is opened for writing and before any server starts.
    """
    with closing(RunReader(directory)) as reader:
        stored = json.loads(reader.meta("identity", "{}"))
        if not stored:
            return
        now = identity_of(prepared)
        if bought_nothing(reader):
            # Nothing was drawn under the lengths of then, so they may be put right.
            stored |= {key: value for key, value in now.items() if key.endswith(LENGTHS)}
        refuse_difference(stored, now, str(directory))
        uncertain = {item.reservation for item in Ledger.read(reader.events()).uncertain()}
        for row in reader.open_batches():
            if not _over(row, uncertain) and not prepared.arms[row.arm].spec.batch:
                raise ConfigError(
                    f"{directory} has a batch at {prepared.arms[row.arm].spec.provider} whose "
                    "results are not fetched; resume it with --batch."
                )


LENGTHS = (".max_tokens", ".stop")
"""What of an arm's identity may change while nothing of the run is answered."""


def bought_nothing(reader: RunReader) -> bool:
    """Whether not one sample of a run is stored, not even a censored one."""
    return not any(reader.filled(arm.number) for arm in reader.arms())


def _over(row: BatchRow, uncertain: Set[int]) -> bool:
    """Whether a batch was not found and a person has cleared its money up."""
    return row.state == "lost" and not any(number in uncertain for _, number in row.requests)


def owed(reader: RunReader, arms: list[ReadyArm], uncertain: Set[int]) -> Owed:
    """What is left to buy of the plan so far; `uncertain`: reservations that are held so."""
    batches, dropped = _batches(reader, arms, uncertain)
    in_batches = {ticket.request for batch in batches for ticket in batch.tickets}
    tops: dict[Place, int] = {}
    open_requests: dict[Place, list[PlannedRequest]] = {}
    for planned in reader.requests():
        place = (planned.arm, planned.problem)
        top = tops.get(place, 0)
        tops[place] = max(top, planned.first_slot + planned.n)
        if planned.first_slot >= arms[planned.arm].spec.samples:
            # Fewer samples are wanted than were planned: what lies beyond is not bought.
            continue
        # A request inside the plan so far takes over slots of an earlier one.
        if planned.filled < planned.n or planned.first_slot < top:
            open_requests.setdefault(place, []).append(planned)
    unfinished: list[Ticket] = []
    missing: list[Draw] = []
    for place, requests in open_requests.items():
        taken: set[int] = set()
        for planned in reversed(requests):
            slots = set(range(planned.first_slot, planned.first_slot + planned.n))
            got = reader.slots_of(planned.request)
            if planned.request in in_batches:
                pass
            elif not planned.answered and not got and not slots & taken:
                arm = arms[planned.arm]
                unfinished.append(
                    Ticket(arm, planned.request, planned.problem, planned.first_slot, planned.n,
                           planned.seed)
                )  # fmt: skip
            else:
                missing += [Draw(*place, slot, 1) for slot in sorted(slots - got - taken)]
            taken |= slots
    planned_to = [[tops.get((i, p), 0) for p in range(len(a.problems))] for i, a in enumerate(arms)]
    unfinished.sort(key=lambda ticket: ticket.request)
    return Owed(planned_to, unfinished, missing, batches, dropped)


def _batches(
    reader: RunReader, arms: list[ReadyArm], uncertain: Set[int]
) -> tuple[list[Running], list[BatchRow]]:
    """The batches to go on with, and those that are over."""
    found: list[Running] = []
    dropped: list[BatchRow] = []
    for row in reader.open_batches():
        arm = arms[row.arm]
        if _over(row, uncertain):
            dropped.append(row)
            continue
        tickets = []
        stored = reader.meta(price_key(row.number))
        price = Price.from_dict(json.loads(stored)) if stored else None
        for planned, reservation in row.requests:
            account: MoneyState = "held" if reservation in uncertain else "closed"
            tickets.append(
                Ticket(arm, planned.request, planned.problem, planned.first_slot, planned.n,
                       planned.seed, reservation, account, price=price)
            )  # fmt: skip
        phase: Phase = "there" if row.provider_id else "unknown"
        found.append(Running(arm, row.number, row.tag, tickets, row.at, row.provider_id, phase))
    return found, dropped


Resolved = tuple[int, int, int, bool | None]
"""Arm, problem, slot, whether it passed; None: censored."""


def resolved_slots(
    directory: Path, arms: list[ReadyArm], *, every: bool = False
) -> Iterator[Resolved]:
    """What became of slots in earlier sessions, for the policies that look at it.

    `every`: of the others too, whose coverage is looked at while they go on.
    """
    with closing(RunReader(directory)) as reader:
        for arm in arms:
            if every or arm.spec.policy != "uniform":
                yield from reader.resolved(arm.number, arm.verifier.name)


def recount(reader: RunReader, arms: list[ReadyArm], state: RunState) -> None:
    """Enter what earlier sessions made durable into the counters.

    What answers told of a problem's prompt bounds the next request for it, exactly.
    """
    for arm, counts in zip(arms, state.arms, strict=True):
        slots = reader.slot_counts(arm.number, len(arm.problems), arm.verifier.name)
        counts.judged, counts.passed = slots.judged.tolist(), slots.passed.tolist()
        counts.filled = reader.filled(arm.number)
        counts.censored = int(slots.censored.sum())
        for problem, tokens in reader.prompt_tokens(arm.number).items():
            arm.prompt_bounds[problem], arm.prompt_known[problem] = tokens, True
        for kind, number in reader.verdict_kinds(arm.number).get(arm.verifier.name, {}).items():
            # What the judge failed on is judged again in this session.
            if kind != "infra_error":
                state.verdicts[kind] += number
    state.filled_before = state.filled
