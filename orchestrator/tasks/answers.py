"""The verifiers that the tasks with final answers share, by name; the first is the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from orchestrator.tasks.base import TaskOptions
from verifiers.verdict import Verifier


def answer_verifiers(
    form: Literal["gsm8k", "math"], options: TaskOptions
) -> Mapping[str, Callable[[], Verifier]]:
    """Makers of the verifiers for answers of that form."""

    def modern() -> Verifier:
        from verifiers.answer import ModernAnswer

        return ModernAnswer(sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)

    def paper() -> Verifier:
        from verifiers.answer import PaperAnswer

        return PaperAnswer(form, sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)

    return {"math-verify": modern, "paper": paper}
