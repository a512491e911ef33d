"""The bundled task: sums and products, made for the bundled tiny model, judged by equality.

The problems stand in arithmetic.jsonl beside this file: `{"id", "prompt", "answer",
"difficulty"}`, difficulty being the kind of problem. The output is the answer's digits alone.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.tasks.base import (
    Problem,
    SamplingDefaults,
    TaskError,
    TaskOptions,
    as_user_message,
    chosen,
)
from orchestrator.tasks.lines import read_lines, text_field
from verifiers.exact import ExactAnswer
from verifiers.verdict import Verifier

DATA = Path(__file__).with_name("arithmetic.jsonl")


class ArithmeticTask:
    """The problems on which the tiny model shows the whole method within a minute."""

    name = "arithmetic"
    version = "1"
    defaults = SamplingDefaults(temperature=1.0, top_p=None, max_tokens=12, stop=("\n",))

    def __init__(self, options: TaskOptions) -> None:
        self._path = options.data or DATA
        self._form = options.prompt_form or "completion"

    def problems(self) -> list[Problem]:
        """Every line of the data, in its order; raises TaskError."""
        found: dict[str, Problem] = {}
        for number, fields in read_lines(self._path):
            where = f"{self._path}, line {number}"
            identity = text_field(where, fields, "id", numbers=True)
            prompt = text_field(where, fields, "prompt")
            difficulty = text_field(where, fields, "difficulty", numbers=True)
            reference = {
                "answer": text_field(where, fields, "answer", numbers=True),
                "difficulty": int(difficulty) if difficulty.isdecimal() else difficulty,
            }
            if identity in found:
                raise TaskError(f"{where}: the id {identity!r} was used by an earlier line.")
            if self._form == "chat":
                found[identity] = Problem(identity, None, as_user_message(prompt), reference)
            else:
                found[identity] = Problem(identity, prompt, None, reference)
        return list(found.values())

    def verifier(self, name: str | None = None) -> Verifier:
        """`exact`: the whole output, without outer blanks, is the answer; raises TaskError."""
        return chosen(self.name, name, {"exact": ExactAnswer})


TASKS = {"arithmetic": ArithmeticTask}
