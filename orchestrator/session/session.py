"""One session of a run: from a prepared study to durable results and an exit code.

Everything that holds something (lock, database, server, connections, judging processes) is held
by one exit stack, so that a run ends the same way however it ends: what is bought is on disk, no
child process is left, and the run can be resumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from budgets.ledger import Ledger
from orchestrator import errors
from orchestrator.audit.at_end import audit_at_the_end
from orchestrator.engine.control import Control
from orchestrator.engine.counters import RunState, arm_counts
from orchestrator.engine.engine import Engine
from orchestrator.engine.judging import Judging
from orchestrator.engine.parts import SessionParts
from orchestrator.errors import BudgetTooSmall, OrchError, RunFault
from orchestrator.plan.dollars import amount
from orchestrator.plan.names import arm_names
from orchestrator.plan.prepare import Prepared
from orchestrator.plan.ready import ReadyArm, ready
from orchestrator.report.text import say
from orchestrator.session.agents import open_agents
from orchestrator.session.end import Ending, ending_of
from orchestrator.session.fleets import end_leftovers, resolve_ended
from orchestrator.session.gc_pace import collecting_seldom
from orchestrator.session.interrupts import Interrupts
from orchestrator.session.metering import start_meters, tick, unwatched
from orchestrator.session.opening import open_store
from orchestrator.session.planning import plan
from orchestrator.session.progress import Display, Progress
from orchestrator.session.resume import refuse_unresumable
from orchestrator.session.servers import Servers
from orchestrator.session.speed import keep_found, session_document
from orchestrator.session.stamps import set_aside_other_versions
from orchestrator.session.watch import RunWatch
from orchestrator.store.reader import RunReader
from orchestrator.store.schema import PILOT_KEY, arm_scope
from orchestrator.store.store import RunStore
from verifiers.sandbox.limits import default_jobs


@dataclass(slots=True)
class RunOptions:
    """How a session is run, apart from what its study says."""

    directory: Path
    resume: bool
    display: Display
    console: Console
    pilot: tuple[int, ...] = ()
    """Of a pilot, the attempts at each problem that the whole plan wants, arm by arm."""

    def say(self, text: str) -> None:
        """One line for the person who watches."""
        say(self.console, text)


async def run_session(prepared: Prepared, options: RunOptions) -> Ending:
    """Run a prepared study in its directory; raises OrchError where nothing could be run."""
    interrupts = Interrupts()
    loop, session = asyncio.get_running_loop(), asyncio.current_task()
    assert session is not None

    def give_up() -> None:
        session.cancel()

    # Until there is an engine: a first signal is acted on once there is, a second ends the start.
    interrupts.follow(lambda: None, give_up)
    heeded = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # what nohup is for
        heeded.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in heeded}
    for number in heeded:
        loop.add_signal_handler(number, interrupts.on_signal, options.console)
    try:
        async with contextlib.AsyncExitStack() as stack:
            for arm in prepared.arms:
                stack.push_async_callback(arm.aclose)
                stack.push_async_callback(arm.verifier.aclose)
            return await _session(prepared, options, interrupts, stack)
    except asyncio.CancelledError:
        if interrupts.count < 2:
            raise
        session.uncancel()
        return Ending(errors.INTERRUPTED, ["interrupted"])
    except (BudgetTooSmall, RunFault) as error:
        # The run exists, so it is reported like any other that ended early.
        return Ending(error.exit_code, [str(error)], list(prepared.notes))
    finally:
        for number, heeder in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, heeder)


async def _session(
    prepared: Prepared,
    options: RunOptions,
    interrupts: Interrupts,
    stack: contextlib.AsyncExitStack,
) -> Ending:
    """Take hold of the directory, start servers, and hand over to `_drive`."""
    store = await _open(prepared, options, stack)
    ledger = Ledger.open(store, _caps(prepared))
    resolve_ended(ledger)
    prepared.notes.extend(unwatched(ledger, options.directory))
    state = RunState([], notes=list(prepared.notes))
    watch = RunWatch(options.directory, store, state.notes)
    watching = asyncio.create_task(watch.run())
    stack.callback(watching.cancel)
    meters = start_meters(prepared, ledger)
    stack.callback(meters.stop)
    ticking = asyncio.create_task(tick(list(meters.running.values())))
    stack.callback(ticking.cancel)
    servers = Servers(prepared, options.directory, meters, state)
    await servers.start(stack, options.say if options.display != "none" else None)
    arms, names = ready(prepared), arm_names(prepared)
    for arm, spec in zip(arms, prepared.arms, strict=True):
        arm.meter = meters.running.get(spec.endpoint)
        state.arms.append(arm_counts(names[arm.number], arm.spec.samples, len(arm.problems)))
    schedule, rest = plan(prepared, options.directory, options.resume, store, ledger, arms, state)
    store.put_meta(PILOT_KEY, json.dumps(options.pilot))
    await store.durable()
    shared = SessionParts(arms, schedule, store, ledger, state, Control(state))
    agents = await open_agents(prepared, shared, options.directory, stack, servers.bundled_url)
    engine = Engine(
        shared,
        study_seed=prepared.study.seed, max_retries=prepared.study.max_retries,
        unfinished=rest.unfinished, batches=rest.batches,
        judge_jobs=prepared.study.judge_jobs or default_jobs(),
        server_patience_s=prepared.study.server_patience, let_go=servers.let_go, agents=agents,
    )  # fmt: skip
    for number in meters.unpaid:
        shared.reach_budget(arms[number])
    stack.push_async_callback(engine.judging.close)

    def drain() -> None:
        state.stopping = True
        engine.stop()

    interrupts.follow(drain, engine.leave)
    store.checkpoint()
    watch.follow(engine.stop)
    keeping = asyncio.create_task(keep_found(arms, store))
    stack.callback(keeping.cancel)
    servers.watch(engine.stop)
    stack.enter_context(collecting_seldom())
    await _drive(prepared, options, interrupts, shared, engine, servers)
    return ending_of(engine, ledger, state, store, interrupted=bool(interrupts.count))


async def _open(
    prepared: Prepared, options: RunOptions, stack: contextlib.AsyncExitStack
) -> RunStore:
    """The run's store; of a resumed run, with what earlier sessions left behind put in order."""
    if options.resume:
        refuse_unresumable(options.directory, prepared)
        prepared.notes.extend(await asyncio.to_thread(end_leftovers, options.directory))
    opening = open_store(prepared, options.directory, resume=options.resume, say=options.say)
    store = await stack.enter_async_context(opening)
    if options.resume:
        aside = await set_aside_other_versions(prepared.arms, store, options.directory)
        prepared.notes.extend(aside)
    return store


async def _drive(
    prepared: Prepared,
    options: RunOptions,
    interrupts: Interrupts,
    shared: SessionParts,
    engine: Engine,
    servers: Servers,
) -> None:
    """Sample, end the servers, judge what is left; what ends a run early is kept in its engine."""
    arms, store, state, judging = shared.arms, shared.store, shared.state, engine.judging
    progress = Progress(
        state, shared.ledger, arms, options.display, options.console, engine.outages.sentence
    )
    shown = asyncio.create_task(progress.show())
    try:
        leftovers = asyncio.create_task(_judge_leftovers(arms, judging, options))
        await engine.run()
        await servers.stop()
        state.phase = "judging what is left"
        await leftovers
        await judging.finish()
        if engine.agents is not None:
            await engine.agents.finish()
        await store.durable()
        if not interrupts.count:
            await audit_at_the_end(prepared, store, options.directory, judging)
    except OrchError as error:
        engine.stop(error)
    finally:
        shown.cancel()
        await asyncio.gather(shown, return_exceptions=True)
        await servers.stop_watching()
        store.put_speed(time.time(), session_document(arms, state.started))


def _caps(prepared: Prepared) -> dict[str, int | None]:
    caps: dict[str, int | None] = {"run": prepared.cap}
    for number, arm in enumerate(prepared.arms):
        caps[arm_scope(number)] = (
            amount(arm.spec.budget, "an arm's budget") if arm.spec.budget else None
        )
    return caps


async def _judge_leftovers(arms: list[ReadyArm], judging: Judging, options: RunOptions) -> None:
    """Queue what an earlier session stored and did not judge, beside what this one buys.

    One view of the database throughout: what this session stores is queued when it comes.
    """
    if not options.resume:
        return
    with contextlib.closing(RunReader(options.directory)) as reader:
        reader.freeze()
        for arm in arms:
            for problem, slot, text in reader.unjudged(arm.number, arm.verifier.name):
                await judging.room()
                judging.put(arm, problem, slot, text)
