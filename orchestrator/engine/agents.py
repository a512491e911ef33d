"""Attempts that are agents: started, metered, ended, and booked as one answer each.

    plan -> key -> agent at work (its calls are the gateway's) -> key revoked -> calls settled
         -> what it was decides what its slot becomes -> one transaction -> judged

What a slot becomes, by what happened to its attempt and never by what the agent wrote:

    a cap of its own (call, attempt) refused a call    kept and judged, as a long answer is at
                                                        max_tokens; its finish reason is "budget"
    its time was over                                   kept and judged; "timeout"
    a cap of its problem, arm or run refused a call     censored; its answer is judged and shown
                                                        apart, since more money might have helped
    the executor failed, or no call was ever answered   drawn again, twice at most, then censored
      because of the way to the model
    anything else: it ended, crashed, ran out of        kept and judged
      memory or disk, left nothing

The dollars of the answer are the sum of the attempt's calls.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from budgets.ledger import RUN, DoesNotFit
from budgets.money import usd
from orchestrator.engine.executors.base import AgentJob, Executor, ExecutorFailure, Output
from orchestrator.engine.judging import Judging, judge
from orchestrator.engine.live import LiveAttempt
from orchestrator.engine.parts import SessionParts
from orchestrator.engine.ticket import Ticket
from orchestrator.errors import RunFault
from orchestrator.plan.agents import MOST_REDRAWS
from orchestrator.plan.ready import ReadyArm
from orchestrator.store.attempts import AttemptRow, put_attempt
from orchestrator.store.trajectories import compress_files
from providers.gateway.attempts import Account, Attempt
from providers.gateway.server import Gateway
from providers.gateway.upstream import Upstream
from providers.sample import Choice, FinishReason, SampleResponse

SETTLING_S = 150.0
"""How long an ended agent's calls are waited for: more than the gateway listens to an upstream."""
CENSORED = " of censored attempts"
"""Ends the name of the verifier under which the answers of censored attempts are judged."""


@dataclass(slots=True)
class AgentArm:
    """What making an arm's attempts needs beside the arm itself."""

    executor: Executor
    upstream: Upstream
    trees: Mapping[str, bytes]
    """By problem, the work tree that an agent starts from."""
    sources: Mapping[str, Path]
    """By problem, its task's folder, for executors that take it whole."""
    rewarded: bool
    """Whether Harbor's own verifier judges, in the containers that it made."""
    accounts: dict[int, Account]
    """By problem, the money of all attempts at it."""


class Agents:
    """Makes the attempts of every arm that has an agent."""

    def __init__(
        self,
        shared: SessionParts,
        arms: Mapping[int, AgentArm],
        gateway: Gateway,
        url: str,
        directory: Path,
        first_attempt: int,
    ) -> None:
        self._shared = shared
        self._store, self._ledger = shared.store, shared.ledger
        self._schedule, self._state, self._control = shared.schedule, shared.state, shared.control
        self._arms, self._ready = arms, shared.arms
        self._gateway = gateway
        self._url = url
        self._directory = directory
        self._next = first_attempt
        self._judging: Judging | None = None
        self._free_slots = list(range(4000))
        self._working: dict[int, str] = {}
        """By attempt under way, its problem."""
        self._redraws: dict[int, int] = {}
        """By request, how often its slot was drawn again."""
        self._state.live = self._shown
        self._apart: set[asyncio.Task[None]] = set()
        """Answers of censored attempts that are being judged."""

    def judged_by(self, judging: Judging) -> None:
        """Where answers go."""
        self._judging = judging

    @property
    def live(self) -> list[Attempt]:
        """The attempts under way."""
        return list(self._gateway.attempts)

    def _shown(self) -> list[LiveAttempt]:
        now = time.monotonic()
        return [
            LiveAttempt(one.number, self._working.get(one.number, ""), one.calls,
                        one.own.settled + one.own.uncertain, now - one.started,
                        one.in_flight)
            for one in self.live
        ]  # fmt: skip

    def check_room(self, arm: ReadyArm) -> None:
        """Raise DoesNotFit unless another attempt has room, beside what others may still spend.

        With a cap of its own an attempt starts only where all of it is free, so that no budget
        cuts one that has begun; without one, where anything is.
        """
        assert arm.agent is not None
        wanted = arm.agent.caps.attempt_usd or 1
        for scope in (RUN, *arm.scopes):
            totals = self._ledger.totals(scope)
            if totals.cap is None:
                continue
            promised = sum(self._promised(number) for number in self._arms
                           if scope == RUN or scope in self._ready[number].scopes)  # fmt: skip
            room = totals.cap - totals.committed - promised
            if room < wanted:
                raise DoesNotFit(scope, wanted, room)

    def _promised(self, arm: int) -> int:
        """What the attempts of an arm that are under way, or about to begin, may still spend."""
        setting = self._ready[arm].agent
        cap = None if setting is None else setting.caps.attempt_usd
        if cap is None:
            return 0
        live = [one for one in self.live if one.upstream is self._arms[arm].upstream]
        beginning = max(0, self._state.arms[arm].in_flight - len(live))
        return beginning * cap + sum(cap - attempt.own.committed for attempt in live)

    async def attempt(self, ticket: Ticket) -> bool:
        """Make one attempt; whether its slot is to be drawn again.

        Cancelled, its key is revoked, what its calls came to is booked, and its slot stays open.
        """
        arm = self._arms[ticket.arm.number]
        account = self._account(ticket)
        if account.free is not None and account.free <= 0:
            self._book_censored(ticket, "problem", "", None)
            return False
        number, self._next = self._next, self._next + 1
        setting = ticket.arm.agent
        assert setting is not None
        attempt, key = self._gateway.begin(
            number, arm.upstream, caps=setting.caps, scopes=ticket.arm.scopes,
            shared=(account,), request=ticket.request,
        )  # fmt: skip
        folder = self._directory / "attempts" / str(number)
        row = AttemptRow(number, ticket.request, time.time(),
                         files=str(folder.relative_to(self._directory)))  # fmt: skip
        put_attempt(self._store, row)
        slot = self._free_slots.pop(0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            await self._store.durable()
            problem = ticket.arm.problems[ticket.problem]
            self._working[number] = problem.id
            job = AgentJob(
                attempt=number, slot=slot, problem="\n\n".join(problem.texts),
                tree=arm.trees.get(problem.id, b""), model=ticket.arm.model, key=key,
                gateway=self._gateway, url=self._url, time_s=setting.time_s, folder=folder,
                source=arm.sources.get(problem.id), rewarded=arm.rewarded,
            )  # fmt: skip
            output, failure = await _made(arm.executor, job)
        except asyncio.CancelledError:
            self._gateway.end(attempt)
            put_attempt(self._store, row._replace(ended_at=time.time(), ending="again",
                                                  reason="orch stopped"))  # fmt: skip
            ticket.release(self._ledger, "stopped")
            raise
        finally:
            self._gateway.end(attempt)
            self._working.pop(number, None)
            self._free_slots.append(slot)
        await self._gateway.settled(attempt, SETTLING_S)
        await asyncio.to_thread(compress_files, folder)
        return self._decide(ticket, attempt, row._replace(ended_at=time.time()), output, failure)

    def _account(self, ticket: Ticket) -> Account:
        arm = self._arms[ticket.arm.number]
        account = arm.accounts.get(ticket.problem)
        if account is None:
            setting = ticket.arm.agent
            cap = None if setting is None else setting.problem_usd
            account = arm.accounts[ticket.problem] = Account(name="problem", cap=cap)
        return account

    def _decide(
        self,
        ticket: Ticket,
        attempt: Attempt,
        row: AttemptRow,
        output: Output | None,
        failure: str,
    ) -> bool:
        cut = attempt.cut
        row = row._replace(cut=cut, reason=failure or (output.note if output else ""))
        if cut and cut not in ("call", "attempt"):
            text = "" if output is None else output.text
            if cut in (RUN, *ticket.arm.scopes):
                self._shared.reach_budget(ticket.arm, cut)
            if not attempt.answered and cut != "problem":
                # As if it had never begun: a higher budget makes it.
                put_attempt(self._store, row._replace(ending="again"))
                ticket.release(self._ledger, "no call fitted")
                return False
            put_attempt(self._store, row._replace(ending="censored"))
            self._book_censored(ticket, cut, text, attempt)
            return False
        if self._control.fault is not None and attempt.failed:
            # The way to the model is shut: what the agent made of that says nothing about it.
            put_attempt(self._store, row._replace(ending="again", reason=str(self._control.fault)))
            ticket.release(self._ledger, "the run stopped")
            return False
        why = failure or _never_answered(attempt, output)
        if why:
            put_attempt(self._store, row._replace(ending="again", reason=why))
            return self._draw_again(ticket, attempt, why)
        assert output is not None
        reason: FinishReason = "stop"
        if output.timed_out:
            reason = "timeout"
        elif cut:
            reason = "budget"
        ending = (
            "timeout" if output.timed_out else "done" if not output.exit_code else "own_failure"
        )
        put_attempt(self._store, row._replace(ending=ending))
        self._book(ticket, attempt, output, reason)
        return False

    def _draw_again(self, ticket: Ticket, attempt: Attempt, why: str) -> bool:
        """Whether the slot is drawn again; censored where that happened too often."""
        self._state.failed(ticket.arm.number, "AgentNotStarted", why)
        done = self._redraws[ticket.request] = self._redraws.get(ticket.request, 0) + 1
        last = done > MOST_REDRAWS
        self._store.put_failure(
            ticket.request, ticket.reservation, "AgentNotStarted", "rejected", why, final=last
        )
        if last:
            self._state.note(f"An attempt could not be made: {why}")
            self._book_censored(ticket, "executor", "", attempt)
            return False
        ticket.release(self._ledger, why)
        # A run that stops leaves the slot open; a resume makes it again.
        return not self._control.stopping

    def _answer(self, ticket: Ticket, attempt: Attempt) -> None:
        """The attempt as one answer: its tokens and dollars are its calls'."""
        response = SampleResponse(
            choices=(), usage=attempt.used if attempt.known else None,
            usage_raw={"calls": attempt.calls, "usd": usd(attempt.own.settled)},
            model=ticket.arm.model,
        )  # fmt: skip
        cost = attempt.own.settled if attempt.known else None
        seconds = time.monotonic() - attempt.started
        ticket.settle(self._ledger, 0)
        self._store.put_answer(
            ticket.request, ticket.reservation, response, cost, time.time() - seconds, seconds
        )
        self._schedule.paid(ticket.arm.number, ticket.problem, 1, attempt.own.committed)

    def _book(self, ticket: Ticket, attempt: Attempt, output: Output, reason: FinishReason) -> None:
        """One transaction: the answer, its sample, and the end of its reservation."""
        arm = ticket.arm
        self._answer(ticket, attempt)
        choice = Choice(0, output.text, reason, attempt.output_tokens)
        self._store.put_sample(
            arm.number, ticket.problem, ticket.first_slot, ticket.request, choice
        )

        def count() -> None:
            self._state.arms[arm.number].filled += 1
            self._state.input_tokens += attempt.prompt_tokens
            self._state.output_tokens += attempt.output_tokens

        self._store.when_durable(count)
        self._state.repeats.see(arm.number, ticket.problem, [output.text])
        assert self._judging is not None
        self._judging.put(arm, ticket.problem, ticket.first_slot, output.text)

    def _book_censored(self, ticket: Ticket, cut: str, text: str, attempt: Attempt | None) -> None:
        """Keep the slot as censored, with the answer that was cut off, judged apart."""
        arm = ticket.arm
        if attempt is None:
            ticket.release(self._ledger, "nothing was asked")
        else:
            self._answer(ticket, attempt)
        self._store.put_censored(
            arm.number, ticket.problem, ticket.first_slot, ticket.request, 0,
            reason="budget" if cut != "executor" else "error", text=text,
        )  # fmt: skip
        counts = self._state.arms[arm.number]

        def count() -> None:
            counts.filled += 1
            counts.censored += 1

        self._store.when_durable(count)
        self._schedule.resolved(arm.number, ticket.problem, ticket.first_slot, None)
        if text:
            task = asyncio.create_task(self._judge_apart(ticket, text))
            self._apart.add(task)
            task.add_done_callback(self._apart.discard)

    async def _judge_apart(self, ticket: Ticket, text: str) -> None:
        arm = ticket.arm
        verdict = await judge(arm, ticket.problem, text)
        name = arm.verifier.name + CENSORED
        self._store.put_verdict(arm.number, ticket.problem, ticket.first_slot, name, verdict, text)

    async def finish(self) -> None:
        """Return once every censored answer is judged."""
        await asyncio.gather(*self._apart, return_exceptions=True)


async def _made(executor: Executor, job: AgentJob) -> tuple[Output | None, str]:
    """The agent's output, or why the executor failed."""
    try:
        return await executor.attempt(job), ""
    except ExecutorFailure as failure:
        return None, str(failure)
    except OSError as error:
        raise RunFault(f"Attempt {job.attempt} could not be kept: {error}.") from None


def _never_answered(attempt: Attempt, output: Output | None) -> str:
    """Why an attempt had no chance, before any of its calls was answered; "" where it had one."""
    if attempt.answered or output is None:
        return ""
    if attempt.failed:
        told = ", ".join(f"{number} {kind}" for kind, number in sorted(attempt.failed.items()))
        return f"no call was answered: {told}"
    if output.exit_code and not attempt.calls and not output.timed_out and not output.text:
        return f"the agent ended with {output.exit_code} before its first call"
    return ""
