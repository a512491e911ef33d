"""`swebench-lite` and `swebench-verified`: issues of SWE-bench, each a task in Harbor's layout.

Rows come through `datasets` or from `--data FILE` (JSONL or Parquet). What the official package
`swebench` makes of a row (image, test script, log parser) is asked of it in a process of its own
(swebench_writer.py), which also writes the folder that an agent's engine runs. A problem's
reference is its row without the solution, so that a stored patch is judged without the data set;
the judge is the official harness (verifiers/swebench.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.tasks.base import (
    NoField,
    Problem,
    SamplingDefaults,
    TaskError,
    TaskOptions,
    chosen,
)
from orchestrator.tasks.cache import cache_folder
from orchestrator.tasks.flaky import named_flaky
from orchestrator.tasks.lines import as_json
from orchestrator.tasks.records import Source, Table, text
from verifiers.swebench import NoHarness, SweBenchVerifier, harness_version
from verifiers.verdict import Verifier

WRITER = Path(__file__).with_name("swebench_writer.py")
SPECIFIED = ("image", "log_parser", "eval_type", "eval_script")
"""What the harness needs of a row since its version 5, where it fetches nothing."""
TEXTS = ("instance_id", "repo", "base_commit", "version", *SPECIFIED)
TESTS = ("FAIL_TO_PASS", "PASS_TO_PASS")
ASKED = (
    "The repository is in /testbed. Change its files so that the issue below is resolved; hidden "
    "tests decide. Leave tests as they are.\n\n"
)
_WRITING_S = 600.0


class SweBenchTask:
    """The issues of one published set."""

    version = "1"
    defaults = SamplingDefaults(max_tokens=4096)

    def __init__(self, name: str, repo: str, options: TaskOptions) -> None:
        self.name = name
        self._options = options
        # The hub's newest rows: every problem's hash is part of a study's identity.
        self._source = Source(name, repo, options.revision or "main", splits={"test": "test"})
        self._problems: list[Problem] | None = None
        self._solutions: dict[str, str] = {}
        self._written = False
        self.flaky = named_flaky()

    def problems(self) -> list[Problem]:
        if self._problems is None:
            self._harness()
            table = self._source.open("test", self._options)
            columns = (*TEXTS, *TESTS, "problem_statement", "patch")
            try:
                rows = list(enumerate(table.scan(columns)))
            except NoField as error:
                raise _older(error) from None
            problems = [self._problem(table, number, row) for number, row in rows]
            _unique(problems, table)
            asked_writer([{"instance": one.reference["instance"]} for one in problems])
            self._problems = problems
        return self._problems

    def source(self, problem_id: str) -> Path:
        """The folder of a problem in Harbor's layout, written when first asked for."""
        if not self._written:
            asked_writer([
                {
                    "instance": one.reference["instance"],
                    "asked": one.messages[0]["content"] if one.messages else "",
                    "folder": str(folder_of(one)),
                }
                for one in self.problems()
                if not folder_of(one).is_dir()
            ])  # fmt: skip
            self._written = True
        return folder_of(next(one for one in self.problems() if one.id == problem_id))

    def verifier(self, name: str | None = None) -> Verifier:
        self._harness()
        return chosen(self.name, name, {"swebench": SweBenchVerifier})

    def reference_outputs(self) -> Iterator[tuple[Problem, list[str]]]:
        """Yield every problem with the patch that resolved its issue."""
        for problem in self.problems():
            yield problem, [self._solutions[problem.id]]

    def _harness(self) -> None:
        try:
            harness_version()
        except NoHarness as missing:
            raise TaskError(f"The task {self.name} cannot be read: {missing}.") from None

    def _problem(self, table: Table, number: int, row: Any) -> Problem:
        instance: dict[str, Any] = {name: text(table, number, row, name) for name in TEXTS}
        for name in TESTS:
            instance[name] = _tests(table, number, as_json(row[name]), name)
        asked = ASKED + text(table, number, row, "problem_statement")
        problem_id = instance["instance_id"]
        if not problem_id or "/" in problem_id or problem_id.startswith("."):
            raise TaskError(f"{table.place(number)}: {problem_id!r} cannot name a folder.")
        self._solutions[problem_id] = text(table, number, row, "patch")
        message = {"role": "user", "content": asked}
        return Problem(problem_id, None, (message,), {"instance": instance})


def lite(options: TaskOptions) -> SweBenchTask:
    """The 300 issues of the paper."""
    return SweBenchTask("swebench-lite", "SWE-bench/SWE-bench_Lite", options)


def verified(options: TaskOptions) -> SweBenchTask:
    """The 500 issues that people checked."""
    return SweBenchTask("swebench-verified", "SWE-bench/SWE-bench_Verified", options)


def folder_of(problem: Problem) -> Path:
    """Where a problem's task is written: it is only ever what the problem's hash says."""
    writer = hashlib.sha256(WRITER.read_bytes()).hexdigest()[:8]
    return (
        cache_folder("swebench")
        / f"{problem.digest[:16]}-{harness_version()}-{writer}"
        / problem.id
    )


def asked_writer(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The specification of each row, and its folder where one is named; raises TaskError."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(WRITER)],
            input="".join(json.dumps(one) + "\n" for one in tasks),
            capture_output=True, text=True, check=False, timeout=_WRITING_S,
            env={"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/")},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TaskError(
            f"swebench did not specify {len(tasks)} issues within {_WRITING_S:.0f} s; see whether "
            "the cache directory answers, or try again."
        ) from None
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise TaskError(f"swebench cannot use these rows: {last[:300]}.")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _tests(table: Table, number: int, value: Any, name: str) -> list[str]:
    """Names of tests: a list, or a list as JSON text, as the sets have been published both ways."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TaskError(f"{table.place(number)}: the field {name!r} must list names of tests.")
    return value


def _older(error: NoField) -> TaskError:
    if error.name in SPECIFIED:
        return TaskError(
            f"{error} swebench 5 reads the rows that SWE-bench publishes for it: take the data set "
            "from https://huggingface.co/SWE-bench, not an older copy."
        )
    return error


def _unique(problems: list[Problem], table: Table) -> None:
    ids = [one.id for one in problems]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise TaskError(f"{table.where}: the issue {twice} stands there twice.")


TASKS = {"swebench-lite": lite, "swebench-verified": verified}
