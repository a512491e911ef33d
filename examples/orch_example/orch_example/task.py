"""A task: round a number. The problems are made here; yours may read `options.data`."""

from __future__ import annotations

from orch_example.verifier import Nearest
from orchestrator import Problem, TaskOptions
from orchestrator.tasks import SamplingDefaults
from verifiers import Verifier


class Rounding:
    """Six numbers to round to a whole one."""

    name = "rounding"
    version = "1"
    defaults = SamplingDefaults(max_tokens=4)

    def __init__(self, options: TaskOptions) -> None:
        self._style = options.prompt_form or "chat"

    def problems(self) -> list[Problem]:
        """The same problems in the same order each time."""
        return [self._problem(number) for number in (1.2, 2.6, 3.4, 4.7, 5.1, 6.3)]

    def _problem(self, number: float) -> Problem:
        prompt = f"Round {number} to a whole number."
        reference = {"answer": str(number)}
        if self._style == "completion":
            return Problem(str(number), prompt, None, reference)
        return Problem(str(number), None, ({"role": "user", "content": prompt},), reference)

    def verifier(self, name: str | None = None) -> Verifier:
        """The task's only verifier."""
        return Nearest()
