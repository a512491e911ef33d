"""The verifiers of formal proofs, by name; the first is the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.tasks.base import TaskError, TaskOptions
from verifiers.verdict import Verifier


def proof_verifiers(options: TaskOptions) -> Mapping[str, Callable[[], Verifier]]:
    """Makers of the verifiers of Lean proofs; each raises TaskError where Lean is missing."""
    return {"lean": lambda: _lean(options, False), "lean-tactics": lambda: _lean(options, True)}


def _lean(options: TaskOptions, tactics: bool) -> Verifier:
    from verifiers.lean import LeanVerifier
    from verifiers.lean_project import LeanMissing

    try:
        return LeanVerifier(
            options.lean_project,
            tactics=tactics,
            sandbox=options.sandbox,
            jobs=options.jobs,
            trust=options.trust,
        )
    except LeanMissing as missing:
        raise TaskError(str(missing)) from None
