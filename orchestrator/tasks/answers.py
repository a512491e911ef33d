"""The verifiers that the tasks with final answers share, by name; the first is the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from orchestrator.tasks.base import TaskError, TaskOptions
from verifiers.stated import StatedAnswer
from verifiers.verdict import Verifier

if TYPE_CHECKING:
    from verifiers.answer import AnswerVerifier


def answer_verifiers(
    form: Literal["gsm8k", "math"], options: TaskOptions
) -> Mapping[str, Callable[[], Verifier]]:
    """Makers of the verifiers for answers of that form; each raises TaskError for what it lacks."""

    def modern() -> Verifier:
        from verifiers.answer import ModernAnswer

        return _complete(
            ModernAnswer(sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)
        )

    def paper() -> Verifier:
        from verifiers.answer import PaperAnswer

        return _complete(
            PaperAnswer(form, sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)
        )

    return {"math-verify": modern, "paper": paper, "stated": StatedAnswer}


def _complete(verifier: AnswerVerifier) -> Verifier:
    """The verifier, if its packages are there: better said now than after attempts are bought."""
    from verifiers.answer import MissingPackage

    try:
        verifier.packages()
    except MissingPackage as missing:
        raise TaskError(str(missing)) from None
    return verifier
