"""CodeContests (Li et al. 2022) as in "Large Language Monkeys": competition programs.

Raw completions with two examples per problem, drawn at random from those train problems that
have a Python 3 solution in plain ASCII and no image; the first such solution is the example's.
Of the 165 test problems those without an image remain (140), in shuffled order. An output's
program reads stdin and writes stdout; public, private and generated tests count alike. The
paper gives a program ten seconds more than the problem's own time limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.tasks import paper
from orchestrator.tasks.base import (
    Problem,
    SamplingDefaults,
    TaskError,
    TaskOptions,
    as_user_message,
    chosen,
)
from orchestrator.tasks.programs import contest_verifiers
from orchestrator.tasks.records import DatasetRow, Source, Table, text, texts
from verifiers.verdict import Verifier

SOURCE = Source(
    task="code_contests",
    repo="deepmind/code_contests",
    revision="802411c3010cb00d1b05bad57ca77365a3c699d6",
    splits={"train": "train", "test": "test"},
)
PYTHON_3 = 3
"""The data set's code for the language of a solution."""
EXTRA_S = 10.0
DEFAULT_LIMIT_S = 10.0
"""Where the data set has no limit; the paper's code fails there."""
_TESTS = ("public_tests", "private_tests", "generated_tests")
_COLUMNS = ("name", "description", "time_limit", *_TESTS)
_INSTRUCTION = (
    "Q: Write python code to solve the following coding problem that obeys the constraints and "
    "passes the example test cases. The output code needs to read from and write to standard IO. "
    "Please wrap your code answer using ```:"
)
"""The instruction of CodeLlama (Rozière et al. 2023), which the paper's prompt repeats."""


class CodeContestsTask:
    """Problems by the data set's names."""

    name = "code_contests"
    version = "2"
    defaults = SamplingDefaults(
        temperature=0.6, top_p=0.95, max_tokens=1024, stop=("Q:", "Question:"), keep_stop=True
    )

    def __init__(self, options: TaskOptions) -> None:
        self._options = options
        self._chat = options.prompt_form == "chat"
        self._shots = 2 if options.few_shot_count is None else options.few_shot_count
        if options.few_shot is not None:
            raise TaskError(
                "The task code_contests draws its examples from train: no --few-shot-file"
            )
        if self._chat:
            self.defaults = SamplingDefaults(temperature=0.6, top_p=0.95, max_tokens=1024)

    def problems(self) -> list[Problem]:
        """The paper's problems in its order, or with `all` all 165; raises TaskError."""
        test = SOURCE.open("test", self._options)
        rows = list(enumerate(test.scan(_COLUMNS)))
        if self._options.subset == "all":
            usable, order = rows, list(range(len(rows)))
        else:
            usable = [
                (i, row) for i, row in rows if not has_image(text(test, i, row, "description"))
            ]
            order = []
        blocks: list[str] = [""] * len(usable)
        if not (self._chat and order):
            pool, table = self._pool()
            draws = paper.draw(len(pool), len(usable), self._shots, self._options.few_shot_seed)
            order = order or list(draws.order)
            if not self._chat:
                wanted = [pool[e] for examples in draws.examples for e in examples]
                solved = _solved(table, wanted)
                blocks = ["".join(f"{solved[pool[e]]}\n" for e in one) for one in draws.examples]
        return [self._problem(test, *usable[place], blocks[place]) for place in order]

    def verifier(self, name: str | None = None) -> Verifier:
        """`program-paper` (the default; the paper's comparison) or `program`; raises TaskError."""
        return chosen(self.name, name, contest_verifiers(self._options), self._options)

    def reference_outputs(self) -> Iterator[tuple[Problem, list[str]]]:
        """Yield every problem with its Python 3 solutions, which may be none."""
        table = SOURCE.open("test", self._options)
        solutions = {
            row["name"]: python_solutions(row["solutions"])
            for row in table.scan(("name", "solutions"))
        }
        for problem in self.problems():
            yield problem, [f"```\n{code}\n```" for code in solutions[problem.id]]

    def _pool(self) -> tuple[list[int], Table]:
        train = SOURCE.open("train", self._options)
        pool = [
            index
            for index, row in enumerate(train.scan(("description", "solutions")))
            if not has_image(text(train, index, row, "description"))
            and python_solutions(row["solutions"], ascii_only=True, first=True)
        ]
        return pool, train

    def _problem(self, table: Table, index: int, row: DatasetRow, examples: str) -> Problem:
        reference = {
            "tests": {"kind": "stdio", "cases": _cases(table, index, row)},
            "code": {"rule": "block" if self._chat else "paper"},
            "time_limit_s": _limit(row["time_limit"]) + EXTRA_S,
        }
        name, described = (text(table, index, row, part) for part in ("name", "description"))
        question = f"{_INSTRUCTION}\n{described}"
        if self._chat:
            return Problem(name, None, as_user_message(question.removeprefix("Q: ")), reference)
        return Problem(name, f"{examples}{question}\nA:", None, reference)


def has_image(description: str) -> bool:
    """Whether a problem needs a picture that is not there."""
    return "<image>" in description or "[Image]" in description


def python_solutions(solutions: Any, *, ascii_only: bool = False, first: bool = False) -> list[str]:
    """The Python 3 programs among a row's solutions."""
    found: list[str] = []
    for language, code in zip(solutions["language"], solutions["solution"], strict=True):
        if int(language) == PYTHON_3 and (not ascii_only or code.isascii()):
            found.append(code)
            if first:
                break
    return found


def _solved(train: Table, indices: list[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for index, row in train.take(indices, ("description", "solutions")).items():
        (code,) = python_solutions(row["solutions"], ascii_only=True, first=True)
        found[index] = f"{_INSTRUCTION}\n{row['description']}\nA: ```{code.strip()}```"
    return found


def _cases(table: Table, index: int, row: DatasetRow) -> list[dict[str, str]]:
    cases: list[dict[str, str]] = []
    for name in _TESTS:
        tests = row[name]
        if not isinstance(tests, dict) or not {"input", "output"} <= set(tests):
            raise TaskError(f"{table.place(index)}: {name!r} must hold the lists input and output.")
        inputs, outputs = (texts(table, index, tests, part) for part in ("input", "output"))
        if len(inputs) != len(outputs):
            raise TaskError(
                f"{table.place(index)}: {name!r} has {len(inputs)} inputs "
                f"and {len(outputs)} outputs."
            )
        pairs = zip(inputs, outputs, strict=True)
        cases += [{"input": given, "output": wanted} for given, wanted in pairs]
    return cases


def _limit(limit: Any) -> float:
    if limit is None:
        return DEFAULT_LIMIT_S
    seconds = int(limit["seconds"]) + int(limit["nanos"]) / 1_000_000_000
    return seconds or DEFAULT_LIMIT_S


TASKS = {"code_contests": CodeContestsTask}
