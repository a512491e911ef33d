"""Judging outside of a run: reference solutions before one, stored samples after one.

Stored samples are judged problem by problem, identical texts once. A verdict of a run is never
replaced, only what is missing or failed for our own reasons is filled in: another verifier's
verdicts, and majorities of repeated verdicts, are stored beside the run's own under names of
their own, so that a report can show both.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec import structs

from orchestrator.errors import ConfigError
from orchestrator.plan import problems
from orchestrator.plan.study import Arm, Study
from orchestrator.store.audits import CHANGED_KEY
from orchestrator.store.held import distinct_texts, held_store
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow
from orchestrator.store.schema import beside
from orchestrator.store.store import RunStore
from orchestrator.tasks import Task, TaskError, TaskOptions, load_task
from verifiers.sandbox.limits import NoSandbox, default_jobs
from verifiers.trust import Agreement, ReferenceCheck, Repeated, agreement, repeat, self_check
from verifiers.verdict import Verdict, Verifier


@dataclass(slots=True)
class RejudgedArm:
    """What judging one arm's samples again gave."""

    arm: str
    verifier: str
    stored_as: str
    """Under which name the verdicts are in the run; its own name: only gaps were filled."""
    samples: int = 0
    distinct: int = 0
    """Different texts per problem, summed up: what was really judged."""
    repeats: int = 1
    flaky: int = 0
    """Distinct texts that passed at times and at times did not."""
    flaky_problems: list[str] = field(default_factory=list)
    """Where such texts were seen."""
    known_flaky: list[str] = field(default_factory=list)
    """Problems of these samples whose tests the task calls flaky."""
    solved: dict[str, bool] = field(default_factory=dict)
    """By problem, whether a sample passes."""
    kinds: Counter[str] = field(default_factory=Counter)
    changed: int = 0
    """Samples on whose passing the run's own verdict says otherwise."""
    filled: int = 0
    """Samples that had no verdict that counts."""
    against_run: Agreement = field(default_factory=Agreement)
    """The run's own verdicts as search, the new ones as gold, by sample."""

    @property
    def steady(self) -> dict[str, bool]:
        """`solved` without problems that are flaky here or by the task's word."""
        left_out = {*self.flaky_problems, *self.known_flaky}
        return {problem: it for problem, it in self.solved.items() if problem not in left_out}


async def check_references(
    task: Task, verifier_name: str | None, jobs: int, limit: int = 0
) -> list[ReferenceCheck]:
    """Judge a task's known right outputs, in the problems' order; raises ConfigError.

    With a limit, at most so many outputs per problem.
    """
    known = getattr(task, "reference_outputs", None)
    if known is None:
        raise ConfigError(f"The task {task.name} knows no right outputs to check itself with.")
    try:
        verifier = task.verifier(verifier_name)
        items = [
            (problem.id, problem.reference, outputs[: limit or None])
            for problem, outputs in known()
        ]
    except TaskError as error:
        raise ConfigError(str(error)) from None
    order = {item[0]: place for place, item in enumerate(items)}
    try:
        await _ready(verifier)
        checked = [one async for one in self_check(verifier, items, jobs=jobs)]
    finally:
        await verifier.aclose()
    return sorted(checked, key=lambda one: order[one.problem])


async def without_unsound(study: Study) -> tuple[Study, list[str]]:
    """The study without problems whose own reference solutions fail, and a sentence per arm.

    Raises ConfigError for a task that knows no reference solutions.
    """
    arms: list[Arm] = []
    said: list[str] = []
    for arm in study.arms:
        # References need no examples; without them nothing but the test split is read.
        options = replace(problems.options_of(arm, study), prompt_form="chat")
        jobs = study.judge_jobs or default_jobs()
        try:
            task = load_task(arm.task, options)
        except TaskError as error:
            raise ConfigError(str(error)) from None
        checked = await check_references(task, arm.verifier or None, jobs)
        unsound = [one.problem for one in checked if one.sound is False]
        left = sorted({*arm.exclude, *unsound})
        arms.append(structs.replace(arm, exclude=left))
        said.append(
            f"{arm.task}: the reference solutions of {len(unsound)} of {len(checked)} problems "
            "fail their own verifier; these problems are left out."
        )
    return structs.replace(study, arms=arms), said


def task_of(arm: ArmRow, options: TaskOptions) -> Task:
    """The task of a stored arm; raises ConfigError."""
    try:
        return load_task(arm.task, options)
    except TaskError as error:
        raise ConfigError(f"The verifier of the arm {arm.key} cannot be used: {error}") from None


async def judge_again(
    directory: Path,
    options: Callable[[ArmRow], TaskOptions],
    *,
    verifier_name: str | None = None,
    times: int = 1,
    jobs: int = 2,
) -> list[RejudgedArm]:
    """Judge every stored sample of a run again; raises ConfigError.

    `verifier_name` names another verifier of the task; `times` above one takes the majority.
    """
    async with held_store(directory) as store:
        with closing(RunReader(directory)) as reader:
            return [
                await _judge_arm(reader, store, arm, options(arm), verifier_name, times, jobs)
                for arm in reader.arms()
            ]


async def _judge_arm(
    reader: RunReader, store: RunStore, arm: ArmRow, options: TaskOptions,
    verifier_name: str | None, times: int, jobs: int,
) -> RejudgedArm:  # fmt: skip
    own = str(arm.spec.get("verifier") or "")
    task = task_of(arm, options)
    try:
        verifier = task.verifier(verifier_name or own or None)
    except TaskError as error:
        raise ConfigError(str(error)) from None
    try:
        await _ready(verifier)
        judge = _Arm(reader, store, arm, own, verifier, times, jobs)
        report = await judge.all()
        named = frozenset(getattr(task, "flaky", ()))
        report.known_flaky = sorted(named.intersection(report.solved))
        _keep_changed(reader, store, arm, judge.changed_problems)
        return report
    finally:
        await verifier.aclose()


def _keep_changed(reader: RunReader, store: RunStore, arm: ArmRow, changed: set[str]) -> None:
    """Store of which problems the run's own rule did not always say the same, seen ever."""
    key = f"{CHANGED_KEY}{arm.number}"
    before = set(json.loads(reader.meta(key, "[]")))
    if changed - before:
        store.put_meta(key, json.dumps(sorted(changed | before)))


async def _ready(verifier: Verifier) -> None:
    """Start what judges; raises ConfigError where it cannot judge at all."""
    start = getattr(verifier, "start", None)
    if start is None:
        return
    try:
        await start()
    except NoSandbox as error:
        raise ConfigError(str(error)) from None


class _Arm:
    def __init__(
        self,
        reader: RunReader,
        store: RunStore,
        arm: ArmRow,
        own: str,
        verifier: Verifier,
        times: int,
        jobs: int,
    ) -> None:
        self._reader, self._store, self._arm = reader, store, arm
        self._own, self._verifier, self._times = own, verifier, times
        self._seats = asyncio.Semaphore(jobs)
        name = verifier.name if times == 1 else f"{verifier.name}-majority-of-{times}"
        version = arm.spec.get("verifier_version", verifier.version)
        if name == own and version != verifier.version:
            # The run's own verdicts are all of one version.
            name = beside(name, verifier.version)
        self._report = RejudgedArm(arm.key, verifier.name, name, repeats=times)
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._same_rule = own == verifier.name and version == verifier.version
        self.changed_problems: set[str] = set()
        """Where the run's own rule did not always say the same of a sample."""

    async def all(self) -> RejudgedArm:
        problems = self._reader.problems(self._arm.problem_set)
        references = {one.number: (one.id, one.content["reference"]) for one in problems}
        stored = {
            (problem, slot): kind
            for problem, slot, kind, _ in self._reader.verdicts(self._arm.number, self._own)
        }
        for problem, slots in distinct_texts(self._reader.samples(self._arm.number)):
            await self._problem(problem, slots, *references[problem], stored)
        pairs = [
            (Verdict(old), Verdict(new))  # type: ignore[arg-type]
            for (old, new), count in self._pairs.items()
            for _ in range(count)
        ]
        self._report.against_run = agreement(pairs)
        return self._report

    async def _problem(
        self,
        problem: int,
        slots: dict[str, list[int]],
        problem_id: str,
        reference: dict[str, object],
        stored: dict[tuple[int, int], str],
    ) -> None:
        async def one(text: str) -> Repeated:
            async with self._seats:
                return await repeat(self._verifier, text, reference, self._times)

        results = await asyncio.gather(*map(one, slots))
        report, passed = self._report, False
        for (text, places), repeated in zip(slots.items(), results, strict=True):
            verdict = repeated.majority or repeated.verdicts[0]
            report.distinct += 1
            report.flaky += repeated.flaky
            passed = passed or verdict.passed
            for slot in places:
                before = stored.get((problem, slot))
                self._note(problem, slot, text, verdict, before)
                if self._same_rule and (repeated.flaky or _otherwise(before, verdict)):
                    self.changed_problems.add(problem_id)
        report.solved[problem_id] = passed
        if any(repeated.flaky for repeated in results):
            report.flaky_problems.append(problem_id)
        await self._store.durable()

    def _note(
        self, problem: int, slot: int, text: str, verdict: Verdict, before: str | None
    ) -> None:
        report = self._report
        report.samples += 1
        report.kinds[verdict.kind] += 1
        counted = before is not None and before != "infra_error"
        if counted:
            self._pairs[(str(before), verdict.kind)] += 1
            if verdict.kind != "infra_error":
                report.changed += verdict.passed != (before == "passed")
        else:
            report.filled += verdict.kind != "infra_error"
        if report.stored_as != self._own or not counted:
            self._store.put_verdict(
                self._arm.number, problem, slot, report.stored_as, verdict, text
            )


def _otherwise(before: str | None, verdict: Verdict) -> bool:
    """Whether two verdicts that both count differ on whether a sample passes."""
    if before in (None, "infra_error") or verdict.kind == "infra_error":
        return False
    return (before == "passed") != verdict.passed
