"""The verifiers that the tasks with final answers share, by name; the first is the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from verifiers.verdict import Verifier


def answer_verifiers(form: Literal["gsm8k", "math"]) -> Mapping[str, Callable[[], Verifier]]:
    """Makers of the verifiers for answers of that form."""
    return {"math-verify": modern, "paper": lambda: _paper(form)}


def modern() -> Verifier:
    """The rule on math-verify."""
    from verifiers.answer import ModernAnswer

    return ModernAnswer()


def _paper(form: Literal["gsm8k", "math"]) -> Verifier:
    from verifiers.answer import PaperAnswer

    return PaperAnswer(form)
