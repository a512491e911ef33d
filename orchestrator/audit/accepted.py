"""An audit of what a run accepted: every accepted sample is judged by a second rule.

Coverage at a large k rests on few accepted samples, so a kind of wrong accept that a weak model
hits once in a thousand draws decides it. The second rule's verdicts are stored beside the run's
own, as `audit:RULE`; nothing of the run's is changed. `orch report` then says for each arm what
rests on one rule alone.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ConfigError
from orchestrator.store.audits import AUDIT_KEY, AUDIT_NAME, accepted
from orchestrator.store.held import distinct_texts, held_store
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow
from orchestrator.store.store import RunStore
from orchestrator.tasks import TaskOptions
from verifiers.answer import MissingPackage
from verifiers.rules import RuleOptions
from verifiers.second import second_opinion
from verifiers.verdict import Verifier


@dataclass(slots=True)
class Audited:
    """What the audit of one arm came to."""

    arm: str
    rule: str
    """"" where there is no second rule for this arm's."""
    samples: int = 0
    distinct: int = 0
    disputed: int = 0
    """Accepted samples that the second rule does not accept."""
    unjudged: int = 0
    """Those on which the second rule itself failed."""


async def audit_run(
    directory: Path, options: Callable[[ArmRow], TaskOptions], jobs: int
) -> list[Audited]:
    """Judge every accepted sample of a run by a second rule; raises ConfigError."""
    async with held_store(directory) as store:
        with closing(RunReader(directory)) as reader:
            return [
                await audit_arm(reader, store, arm, options(arm), jobs) for arm in reader.arms()
            ]


async def audit_arm(
    reader: RunReader, store: RunStore, arm: ArmRow, options: TaskOptions, jobs: int
) -> Audited:
    """Judge the accepted samples of one arm by a second rule; durable before it returns."""
    own = str(arm.spec["verifier"])
    problems = {one.number: one.content["reference"] for one in reader.problems(arm.problem_set)}
    if not problems:
        return Audited(arm.key, "")
    how = RuleOptions(options.sandbox, options.jobs, options.trust)
    try:
        second = second_opinion(own, next(iter(problems.values())), how)
    except MissingPackage as missing:
        raise ConfigError(f"The audit of {arm.key} needs a second rule. {missing}") from None
    if second is None:
        return Audited(arm.key, "")
    try:
        audited = Audited(arm.key, second.name)
        for problem, slots in distinct_texts(accepted(reader, arm.number, own)):
            await _problem(
                store, arm.number, second, problem, slots, problems[problem], audited, jobs
            )
        said = {"rule": second.name, "version": second.version, "at": time.time()}
        store.put_meta(f"{AUDIT_KEY}{arm.number}", json.dumps(said))
        await store.durable()
        return audited
    finally:
        await second.aclose()


async def _problem(
    store: RunStore, arm: int, second: Verifier, problem: int, slots: dict[str, list[int]],
    reference: dict[str, object], audited: Audited, jobs: int,
) -> None:  # fmt: skip
    seats = asyncio.Semaphore(jobs)

    async def one(text: str, places: list[int]) -> None:
        async with seats:
            verdict = await second.verify(text, reference)
        audited.distinct += 1
        audited.samples += len(places)
        if verdict.kind == "infra_error":
            audited.unjudged += len(places)
        elif not verdict.passed:
            audited.disputed += len(places)
        for slot in places:
            store.put_verdict(arm, problem, slot, f"{AUDIT_NAME}{second.name}", verdict, text)

    await asyncio.gather(*(one(text, places) for text, places in slots.items()))
    await store.durable()
