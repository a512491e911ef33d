"""The problems of an arm: loaded by task, then filtered, shuffled and limited as the study asks."""

from __future__ import annotations

import random
import re
from pathlib import Path

from orchestrator.errors import ConfigError
from orchestrator.plan.patience import TooSlow, within
from orchestrator.plan.study import Arm, Study
from orchestrator.tasks import Problem, Task, TaskError, TaskOptions, load_task
from verifiers.own import is_own

FILTER_S = 10.0
"""A regular expression can take exponential time; so long it may."""


def options_of(arm: Arm, study: Study, *, trust: bool = False) -> TaskOptions:
    """How the arm's task is to be read. `trust`: a person agreed to judge without a sandbox."""
    return TaskOptions(
        data=Path(arm.data) if arm.data else None,
        prompt_form=arm.prompt_style or None,  # type: ignore[arg-type]
        few_shot=Path(arm.few_shot_file) if arm.few_shot_file else None,
        few_shot_count=arm.few_shot_count,
        subset=arm.subset or "paper",  # type: ignore[arg-type]
        sandbox=study.sandbox or None,
        trust=trust,
        jobs=study.judge_jobs or None,
        most_bytes=study.max_file_mb * 2**20,
        own_verifier=is_own(arm.verifier),
        lean_project=Path(arm.lean_project) if arm.lean_project else None,
        harbor_python=arm.harbor_python,
    )


def load(arm: Arm, study: Study, *, trust: bool = False) -> Task:
    """The arm's task; raises ConfigError. `trust`: a person agreed to judge without a sandbox."""
    try:
        return load_task(arm.task, options_of(arm, study, trust=trust))
    except TaskError as error:
        raise ConfigError(str(error)) from None


def select(task: Task, arm: Arm, study: Study) -> list[Problem]:
    """The problems that the study asks for, in a fixed order; raises ConfigError."""
    try:
        problems = task.problems()
    except TaskError as error:
        raise ConfigError(str(error)) from None
    whole = len(problems)
    if arm.exclude:
        excluded = set(arm.exclude)
        problems = [problem for problem in problems if problem.id not in excluded]
    if study.filter:
        try:
            pattern = re.compile(study.filter)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(
                f"--filter {study.filter!r} is not a regular expression: {error}."
            ) from None
        try:
            with within(FILTER_S):
                problems = [problem for problem in problems if pattern.search(problem.id)]
        except TooSlow:
            raise ConfigError(
                f"--filter {study.filter!r} takes more than {FILTER_S:.0f} s on the problems' ids; "
                "write it without repeats inside repeats."
            ) from None
    if study.shuffle is not None:
        problems = list(problems)
        random.Random(study.shuffle).shuffle(problems)
    if study.limit:
        problems = problems[: study.limit]
    if not problems:
        raise ConfigError(
            f"The task {arm.task} has {whole} problems and none of them is left "
            "after --filter and --limit; widen them."
        )
    return problems
