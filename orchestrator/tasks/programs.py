"""The verifiers that the tasks with programs share, by name; the first is the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from orchestrator.tasks.base import TaskOptions
from verifiers.verdict import Verifier


def program_verifiers(options: TaskOptions) -> Mapping[str, Callable[[], Verifier]]:
    """Makers of the verifiers for functions."""
    return {"program": lambda: _verifier("strict", options)}


def contest_verifiers(options: TaskOptions) -> Mapping[str, Callable[[], Verifier]]:
    """Makers of the verifiers for programs that read stdin and write stdout."""
    return {
        "program-paper": lambda: _verifier("paper", options),
        "program": lambda: _verifier("strict", options),
    }


def _verifier(rule: Literal["paper", "strict"], options: TaskOptions) -> Verifier:
    from verifiers.program_task import TaskProgramVerifier

    return TaskProgramVerifier(
        rule, sandbox=options.sandbox, jobs=options.jobs, trust=options.trust
    )
