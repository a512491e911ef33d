"""MBPP (Austin et al. 2021): 500 short Python functions from one sentence and three tests.

Not a task of "Large Language Monkeys"; the prompt is that of its own paper, with the problems 2,
3 and 4 as examples, taken from the data set's split `prompt`. The chat form leaves examples out
and asks for a code block.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from orchestrator.tasks.base import (
    Problem,
    SamplingDefaults,
    TaskError,
    TaskOptions,
    as_user_message,
    chosen,
)
from orchestrator.tasks.programs import program_verifiers
from orchestrator.tasks.records import DatasetRow, Source, Table, text, texts
from verifiers.verdict import Verifier

SOURCE = Source(
    task="mbpp",
    repo="google-research-datasets/mbpp",
    config="full",
    revision="4bb6404fdc6cacfda99d4ac4205087b89d32030c",
    splits={"prompt": "prompt", "test": "test"},
)
EXAMPLES = (2, 3, 4)
"""The ids of the example problems."""
_COLUMNS = ("task_id", "text", "code", "test_list", "test_setup_code")
_CHAT = "Answer with the whole function in one code block."


class MbppTask:
    """Problems `mbpp/ID` of the split test (ids 11 to 510)."""

    name = "mbpp"
    version = "1"
    defaults = SamplingDefaults(temperature=0.8, top_p=0.95, max_tokens=512, stop=("[DONE]",))

    def __init__(self, options: TaskOptions) -> None:
        self._options = options
        self._chat = options.prompt_form == "chat"
        if options.few_shot is not None or options.few_shot_count not in (None, 0, 3):
            raise TaskError("The task mbpp has three fixed examples: --few-shot-count 0 or 3.")
        if self._chat:
            self.defaults = SamplingDefaults(temperature=0.8, top_p=0.95, max_tokens=1024)

    def problems(self) -> list[Problem]:
        """Every problem of the split test, in its order; raises TaskError."""
        return [problem for problem, _ in self._read()]

    def verifier(self, name: str | None = None) -> Verifier:
        """`program`: the three tests of the data set, in the cell; raises TaskError."""
        return chosen(self.name, name, program_verifiers(self._options), self._options)

    def reference_outputs(self) -> Iterator[tuple[Problem, list[str]]]:
        """Yield every problem with its reference code."""
        for problem, code in self._read():
            yield problem, [code]

    def _read(self) -> Iterator[tuple[Problem, str]]:
        table = SOURCE.open("test", self._options)
        examples = "" if self._chat or self._options.few_shot_count == 0 else self._examples()
        for index, row in enumerate(table.scan(_COLUMNS)):
            yield self._problem(table, index, row, examples)

    def _examples(self) -> str:
        table = SOURCE.open("prompt", self._options)
        rows = {int(row["task_id"]): (i, row) for i, row in enumerate(table.scan(_COLUMNS))}
        lacking = [one for one in EXAMPLES if one not in rows]
        if lacking:
            raise TaskError(f"{table.where} lacks the example problem {lacking[0]}.")
        blocks: list[str] = []
        for example in EXAMPLES:
            index, row = rows[example]
            code = text(table, index, row, "code").replace("\r\n", "\n")
            blocks.append(f"{_question(table, index, row)}[BEGIN]\n{code}\n[DONE]\n\n")
        return "".join(blocks)

    def _problem(
        self, table: Table, index: int, row: DatasetRow, examples: str
    ) -> tuple[Problem, str]:
        asked = _question(table, index, row)
        code = text(table, index, row, "code").replace("\r\n", "\n")
        tests = texts(table, index, row, "test_list")
        setup = text(table, index, row, "test_setup_code")
        entry = entry_point(code, tests)
        if entry is None:
            raise TaskError(f"{table.place(index)}: no function of 'code' is called by 'test_list'")
        reference = {
            "tests": {"kind": "assert", "entry": entry, "source": check(entry, setup, tests)},
            "code": {"rule": "block", "entry": entry, "before": ""},
        }
        identity = f"mbpp/{row['task_id']}"
        if self._chat:
            return Problem(identity, None, as_user_message(asked + _CHAT), reference), code
        return Problem(identity, f"{examples}{asked}[BEGIN]\n", None, reference), code


def _question(table: Table, index: int, row: DatasetRow) -> str:
    tests = "\n".join(texts(table, index, row, "test_list"))
    asked = text(table, index, row, "text")
    return (
        f"You are an expert Python programmer, and here is your task: {asked} "
        f"Your code should pass these tests:\n\n{tests}\n"
    )


def entry_point(code: str, tests: Sequence[str]) -> str | None:
    """The function that the tests are about: the first name they call that `code` defines."""
    functions = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    for test in tests:
        for node in ast.walk(ast.parse(test)):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in functions:
                return called.id
    return None


def check(entry: str, setup: str, tests: Sequence[str]) -> str:
    """The tests as one function `check(candidate)`."""
    lines = [f"{entry} = candidate", *"\n".join(tests).splitlines()]
    body = "\n".join(f"    {line}" for line in lines)
    return f"{setup}\n\ndef check(candidate):\n{body}\n"


TASKS = {"mbpp": MbppTask}
