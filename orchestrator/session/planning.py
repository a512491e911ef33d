"""What a session is to buy: the schedule, with what an earlier session left owed.

A new run's study, problems and arms are written here; a resumed run's are read, and brought to
what this session asks for.
"""

from __future__ import annotations

import contextlib
import json
import time
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import to_builtins

from budgets.ledger import Ledger
from budgets.money import usd
from orchestrator.engine.counters import RunState
from orchestrator.engine.rounds import Rounds
from orchestrator.engine.target import UntilTarget
from orchestrator.plan.identity import identity_of, problems_digest
from orchestrator.plan.prepare import Prepared
from orchestrator.plan.ready import ReadyArm
from orchestrator.plan.study import Study
from orchestrator.schedule import ArmPlan, Policy, Schedule, estimators_of, make_policy
from orchestrator.session.opening import write_study
from orchestrator.session.resume import Owed, bought_nothing, owed, recount, resolved_slots
from orchestrator.session.speed import begin_as_found
from orchestrator.store.reader import RunReader
from orchestrator.store.store import RunStore


def plan(
    prepared: Prepared,
    directory: Path,
    resume: bool,
    store: RunStore,
    ledger: Ledger,
    arms: list[ReadyArm],
    state: RunState,
) -> tuple[Schedule, Owed]:
    """The schedule and what is owed; a new run's study and problems are appended to the store."""
    rest = Owed([[0] * len(arm.problems) for arm in arms], [], [], [], [])
    if resume:
        with contextlib.closing(RunReader(directory)) as reader:
            stored = bool(reader.meta("identity"))
            if stored and bought_nothing(reader):
                _put_identity(prepared, store)
            if stored:
                # What may change on resume (more samples, another budget) is the study from now on.
                write_study(directory, prepared)
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
        for slot in resolved_slots(directory, arms, every=prepared.study.target_coverage > 0):
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
            if problem.group:
                content["group"] = problem.group
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
    store.put_meta("prices", prepared.book.snapshot)
    store.put_meta("orch", _version())
    for arm, problem_set in zip(arms, problem_sets(arms), strict=True):
        spec = {
            **to_builtins(arm.spec),
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
