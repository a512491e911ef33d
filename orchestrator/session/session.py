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
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from budgets.ledger import Ledger
from budgets.meter import Meter
from budgets.money import usd
from orchestrator import errors
from orchestrator.audit.ending import audit_at_the_end
from orchestrator.engine.control import Control
from orchestrator.engine.counters import RunState, arm_counts
from orchestrator.engine.engine import Engine
from orchestrator.engine.judging import Judging
from orchestrator.engine.rounds import Rounds
from orchestrator.engine.shared import Shared
from orchestrator.engine.target import UntilTarget
from orchestrator.errors import OrchError, RunFault
from orchestrator.plan.identity import identity_of, problems_digest
from orchestrator.plan.names import arm_names
from orchestrator.plan.prepare import Prepared, amount, open_provider
from orchestrator.plan.ready import ReadyArm, ready
from orchestrator.plan.study import Study
from orchestrator.report.fleet import fleet_sentence
from orchestrator.schedule import ArmPlan, Policy, Schedule, estimators_of, make_policy
from orchestrator.session.agents import open_agents
from orchestrator.session.fleets import Fleets, end_leftovers, resolve_ended
from orchestrator.session.gc_pace import collecting_seldom
from orchestrator.session.interrupts import Interrupts
from orchestrator.session.metering import (
    BudgetTooSmall,
    Meters,
    grace_s,
    start_meters,
    tick,
    unwatched,
    while_paid,
)
from orchestrator.session.opening import open_store, write_study
from orchestrator.session.progress import Display, Progress
from orchestrator.session.resume import (
    Owed,
    bought_nothing,
    owed,
    recount,
    refuse_unresumable,
    resolved_slots,
)
from orchestrator.session.speed import begin_as_found, keep_found, session_document
from orchestrator.session.stamps import set_aside_other_versions
from orchestrator.session.usage import fleet_documents
from orchestrator.session.watch import Watch
from orchestrator.store.reader import RunReader
from orchestrator.store.refusals import Refusal
from orchestrator.store.store import RunStore
from verifiers.dedupe import Deduplicating
from verifiers.sandbox.limits import default_jobs

if TYPE_CHECKING:
    from providers.tiny.child import Child


@dataclass(slots=True)
class RunOptions:
    """How a session is run, apart from what its study says."""

    directory: Path
    resume: bool
    display: Display
    console: Console


@dataclass(slots=True)
class Ending:
    """How a session ended."""

    exit_code: int
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    """What servers refused or broke off in this session, the commonest first."""
    cause: BaseException | None = None
    """What escaped every rule, where a fault of orch itself ended the session."""


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
    if options.resume:
        refuse_unresumable(options.directory, prepared)
        prepared.notes.extend(await asyncio.to_thread(end_leftovers, options.directory))
    store = await stack.enter_async_context(
        open_store(
            prepared,
            options.directory,
            resume=options.resume,
            say=lambda text: options.console.print(text, markup=False),
        )
    )
    if options.resume:
        aside = await set_aside_other_versions(prepared.arms, store, options.directory)
        prepared.notes.extend(aside)
    ledger = Ledger.open(store, _caps(prepared))
    resolve_ended(ledger)
    prepared.notes.extend(unwatched(ledger, options.directory))
    state = RunState([], notes=list(prepared.notes))
    watch = Watch(options.directory, store, state.notes)
    watching = asyncio.create_task(watch.run())
    stack.callback(watching.cancel)
    meters = start_meters(prepared, ledger)
    stack.callback(meters.stop)
    ticking = asyncio.create_task(tick(list(meters.running.values())))
    stack.callback(ticking.cancel)
    children = await _start_servers(prepared, options, stack, meters)
    fleets = Fleets(prepared, options.directory, meters, state)
    stack.push_async_callback(fleets.stop)
    await _start_launched(fleets, meters, options)
    arms, names = ready(prepared), arm_names(prepared)
    for arm, spec in zip(arms, prepared.arms, strict=True):
        arm.meter = meters.running.get(spec.endpoint)
        state.arms.append(arm_counts(names[arm.number], arm.spec.samples, len(arm.problems)))
    schedule, rest = _plan(prepared, options, store, ledger, arms, state)
    await store.durable()
    watches: list[asyncio.Task[None]] = []

    async def let_go(meter: Meter) -> None:
        """The server of one meter is needed no more, though the run goes on."""
        endpoint = next(place for place, one in meters.running.items() if one is meter)
        if endpoint.bundled and not meters.needs(True, meter):
            for task in watches:
                task.cancel()
            for child in children:
                await child.stop(grace_s(meters))
        await fleets.let_go(endpoint)
        meter.stop()

    shared = Shared(arms, schedule, store, ledger, state, Control(state))
    bundled_url = children[0].base_url if children else ""
    agents = await open_agents(prepared, shared, options.directory, stack, bundled_url)
    engine = Engine(
        shared,
        study_seed=prepared.study.seed, max_retries=prepared.study.max_retries,
        unfinished=rest.unfinished, batches=rest.batches,
        judge_jobs=prepared.study.judge_jobs or default_jobs(),
        server_patience_s=prepared.study.server_patience, let_go=let_go, agents=agents,
    )  # fmt: skip
    for number in meters.unpaid:
        engine.close_arm(arms[number])
    judging = engine.judging
    stack.push_async_callback(judging.close)

    def drain() -> None:
        state.stopping = True
        engine.stop()

    interrupts.follow(drain, engine.leave)
    store.checkpoint()
    watch.follow(engine.stop)
    watches += [asyncio.create_task(_watch(child, engine)) for child in children]
    keeping = asyncio.create_task(keep_found(arms, store))
    stack.callback(keeping.cancel)
    fleets.watch(engine.stop)
    progress = Progress(
        state, ledger, arms, options.display, options.console, engine.outages.sentence
    )
    shown = asyncio.create_task(progress.show())
    stack.enter_context(collecting_seldom())
    try:
        leftovers = asyncio.create_task(_judge_leftovers(arms, judging, options))
        await engine.run()
        for task in watches:
            task.cancel()
        for child in children:
            await child.stop(grace_s(meters))
        await fleets.stop()
        meters.stop()
        state.phase = "judging what is left"
        await leftovers
        await judging.finish()
        if agents is not None:
            await agents.finish()
        await store.durable()
        if not interrupts.count:
            await audit_at_the_end(prepared, store, options.directory, judging)
    except OrchError as error:
        engine.stop(error)
    finally:
        for task in (shown, *watches):
            task.cancel()
        await asyncio.gather(shown, *watches, return_exceptions=True)
        store.put_speed(time.time(), session_document(arms, state.started))
    return _ending(engine, ledger, state, interrupts, store)


def _caps(prepared: Prepared) -> dict[str, int | None]:
    caps: dict[str, int | None] = {"run": prepared.cap}
    for number, arm in enumerate(prepared.arms):
        caps[f"arm:{number}"] = (
            amount(arm.spec.budget, "an arm's budget") if arm.spec.budget else None
        )
    return caps


async def _start_launched(fleets: Fleets, meters: Meters, options: RunOptions) -> None:
    """Wait for the first server of each fleet that is launched, while its money lasts."""

    def say(text: str) -> None:
        if options.display != "none":
            options.console.print(text, highlight=False, markup=False, soft_wrap=True)

    telling = asyncio.create_task(fleets.tell_start(say))
    try:
        await while_paid(asyncio.create_task(fleets.start()), list(meters.running.values()))
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _start_servers(
    prepared: Prepared,
    options: RunOptions,
    stack: contextlib.AsyncExitStack,
    meters: Meters,
) -> list[Child]:
    """Start the bundled model's server where an arm needs it, and open its provider."""
    places = [arm.endpoint for arm in prepared.arms]
    users = [n for n, place in enumerate(places) if place.bundled and place.launch is None]
    bundled = [prepared.arms[number] for number in users]
    if users and set(users) <= set(meters.unpaid):
        for arm in bundled:
            # Nothing is ever sent there.
            arm.provider = open_provider(arm, prepared.study, "http://127.0.0.1:9/v1")
        return []
    if not bundled:
        return []
    from providers.tiny.child import ServerStartError, start_server

    try:
        starting = start_server(log=options.directory / "logs" / "server.log")
        paid = list(meters.running.values())
        child = await while_paid(asyncio.create_task(starting), paid)
    except ServerStartError as error:
        raise RunFault(f"{error}.") from None
    stack.push_async_callback(child.stop)
    for arm in bundled:
        # Closed with the arm.
        arm.provider = open_provider(arm, prepared.study, child.base_url)
    return [child]


async def _watch(child: Child, engine: Engine) -> None:
    """A server of ours that dies on its own ends the run; what was bought is kept."""
    code = await child.process.wait()
    engine.stop(
        RunFault(f"The bundled model's server ended by itself with exit code {code}; use --resume.")
    )


def _plan(
    prepared: Prepared,
    options: RunOptions,
    store: RunStore,
    ledger: Ledger,
    arms: list[ReadyArm],
    state: RunState,
) -> tuple[Schedule, Owed]:
    """The schedule and what is owed; a new run's study and problems are appended to the store."""
    rest = Owed([[0] * len(arm.problems) for arm in arms], [], [], [], [])
    if options.resume:
        with contextlib.closing(RunReader(options.directory)) as reader:
            stored = bool(reader.meta("identity"))
            if stored and bought_nothing(reader):
                _put_identity(prepared, store)
            if stored:
                # What may change on resume (more samples, another budget) is the study from now on.
                write_study(options.directory, prepared)
                rest = owed(reader, arms, {item.reservation for item in ledger.uncertain()})
                recount(reader, arms, state)
                begin_as_found(arms, reader)
    else:
        stored = False
    if not stored:
        _put_study(prepared, store, arms)
    _put_arms(prepared, store, arms)
    rounds = Rounds(arms, ledger, state)
    policies = [_policy(prepared.study, arm, rest, rounds, state) for arm in arms]
    schedule = Schedule(policies)
    if stored:
        for slot in resolved_slots(
            options.directory, arms, every=prepared.study.target_coverage > 0
        ):
            schedule.resolved(*slot)
    for draw in rest.missing:
        schedule.give_back(draw)
    for batch in rest.dropped:
        store.put_batch(batch.number, batch.arm, batch.tag, batch.provider_id, "done", batch.at)
    return schedule, rest


def _policy(study: Study, arm: ReadyArm, rest: Owed, rounds: Rounds, state: RunState) -> Policy:
    plan = ArmPlan(
        arm.number,
        len(arm.problems),
        arm.spec.samples,
        arm.n_per_request,
        study.seed,
        rest.planned[arm.number],
        partial(rounds.fitting, arm.number),
    )
    make = partial(make_policy, arm.spec.policy)
    if not study.target_coverage:
        return make(plan)
    label = state.arms[arm.number].label

    def reached(said: str) -> None:
        state.note(f"{label}: {said}")

    return UntilTarget(make, plan, study.target_coverage, reached)


def _put_identity(prepared: Prepared, store: RunStore) -> None:
    store.put_meta("identity", json.dumps(identity_of(prepared), sort_keys=True))


def _put_study(prepared: Prepared, store: RunStore, arms: list[ReadyArm]) -> None:
    _put_identity(prepared, store)
    store.put_meta("created", str(time.time()))
    sets = dict(zip(problem_sets(arms), prepared.arms, strict=True))
    for name, arm in sets.items():
        for number, problem in enumerate(arm.problems):
            content = {
                "prompt": problem.prompt,
                "messages": None
                if problem.messages is None
                else [dict(m) for m in problem.messages],
                "reference": dict(problem.reference),
            }
            store.put_problem(name, number, problem.id, problem.digest, content)


def problem_sets(arms: list[ReadyArm]) -> list[str]:
    """Per arm, under which name its problems are stored: arms that ask the same share them."""
    owners: dict[str, str] = {}
    names = []
    for arm in arms:
        digest = problems_digest(arm.problems)
        name = Path(arm.spec.task).name
        if owners.setdefault(name, digest) != digest:
            name = f"{name}#{digest[:12]}"
        names.append(name)
    return names


def _put_arms(prepared: Prepared, store: RunStore, arms: list[ReadyArm]) -> None:
    """Arms as they are in this session: the wanted samples and the price may have changed."""
    import msgspec

    store.put_meta("prices", prepared.book.snapshot)
    store.put_meta("orch", _version())
    for arm, problem_set in zip(arms, problem_sets(arms), strict=True):
        spec = {
            **msgspec.to_builtins(arm.spec),
            "price": None if arm.price is None else arm.price.to_dict(),
            # So that a run is reported where a policy of another package is not installed.
            "estimators": estimators_of(arm.spec.policy),
            "verifier": arm.verifier.name,
            "problem_set": problem_set,
            "verifier_version": arm.verifier.version,
            "n_per_request": arm.n_per_request,
            "max_tokens": arm.base.max_tokens,
            "target_coverage": prepared.study.target_coverage,
            "temperature": arm.base.temperature,
            "top_p": arm.base.top_p,
            "budget_usd": None if prepared.cap is None else usd(prepared.cap),
        }
        store.put_arm(
            arm.number, arm.key, arm.spec.provider, arm.model, arm.spec.task, arm.spec.policy,
            arm.spec.samples, spec,
        )  # fmt: skip


def _version() -> str:
    try:
        return version("orch-sampling")
    except PackageNotFoundError:
        return "not installed"


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


def _ending(
    engine: Engine, ledger: Ledger, state: RunState, interrupts: Interrupts, store: RunStore
) -> Ending:
    fault = (
        engine.control.fault or store.fault or (RunFault(ledger.fault) if ledger.fault else None)
    )
    ending = Ending(
        errors.COMPLETE,
        notes=[*state.notes, *state.repeats.sentences()],
        refusals=state.refusals.most_common(),
    )
    if state.unfilled:
        ending.exit_code = errors.UNFILLED
        after = ", after retries" if state.retried else ""
        ending.reasons.append(f"{state.unfilled} slots could not be filled{after}")
    if broken := state.verdicts["infra_error"]:
        ending.exit_code = errors.UNFILLED
        ending.reasons.append(f"the judge failed on {broken} samples")
    if engine.control.budget_reached:
        ending.exit_code = errors.BUDGET_REACHED
        ending.reasons.insert(0, "the budget is reached")
    for fleet in fleet_documents(engine.arms, state.started):
        ending.notes.append(f"{', '.join(fleet['models'])}: {fleet_sentence(fleet)}")
    for verifier in {arm.verifier.name: arm.verifier for arm in engine.arms}.values():
        if isinstance(verifier, Deduplicating) and verifier.saved:
            ending.notes.append(
                f"{verifier.name}: {verifier.saved:,} of {verifier.asked:,} samples were identical "
                "to one judged before, and were not judged again"
            )
    if fault is not None:
        ending.exit_code, ending.cause = fault.exit_code, fault.__cause__
        ending.reasons.insert(0, str(fault))
    if interrupts.count:
        ending.exit_code = errors.INTERRUPTED
        ending.reasons.insert(0, "interrupted")
    return ending
