"""Judges a task's outputs that hold programs: finds the program, sets its limits, compares.

A reference holds `tests` (see program.py), `code` (how the program is found, see
program_rules.py) and may hold `time_limit_s` and a `language`. Tests of kind stdio may hold a
`checker`: trusted Python source whose `check(input, expected, output)` says whether an output is
right, for problems with several right outputs; it runs in a cell as well, apart from the program.

Comparison of outputs, where the tests do not name one:
    paper    as "Large Language Monkeys" mimics CodeContests' own: split at blanks, lower case,
             as many words, integers equal, other numbers less than 1e-5 apart, else equal texts
    strict   line by line, exact but for white space at line ends

Differences of `paper` from the released code: a program that prints what is right and then fails
is wrong here; memory is limited; text that is no program is `no_answer` and ends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from verifiers import compare
from verifiers.program import BadTests, ProgramVerifier
from verifiers.program_rules import program
from verifiers.sandbox import Limits, Outcome, Sandbox, SandboxFault
from verifiers.verdict import Verdict

MEMORY_MB = 1024
DEFAULT_LIMIT_S = 3.0
_BLANKS = re.compile(r"[ \n\t\r\v]+")
_INTEGER = re.compile(r"([+-]?)0*(\d+)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII)
_NO_PROGRAM = ("SyntaxError", "IndentationError", "TabError")


def paper_outputs_match(expected: str, output: str) -> bool:
    """The paper's comparison of a program's output with the expected one."""
    wanted, got = (list(filter(None, _BLANKS.split(one))) for one in (expected, output))
    return len(wanted) == len(got) and all(map(_paper_words_match, wanted, got))


def _paper_words_match(first: str, second: str) -> bool:
    first, second = first.lower(), second.lower()
    if first == second:
        return True
    integers = _INTEGER.fullmatch(first), _INTEGER.fullmatch(second)
    if integers[0] and integers[1]:
        return _whole(integers[0]) == _whole(integers[1])
    if _NUMBER.fullmatch(first) and _NUMBER.fullmatch(second):
        return abs(float(first) - float(second)) < 1e-5
    return False


def _whole(integer: re.Match[str]) -> tuple[bool, str]:
    sign, digits = integer.groups()
    return sign == "-" and digits != "0", digits


def paper_checker(_given: str, expected: str, output: bytes) -> bool:
    """The paper's comparison as a checker; an output that is no UTF-8 is wrong."""
    try:
        return paper_outputs_match(expected, output.decode())
    except UnicodeDecodeError:
        return False


class TaskProgramVerifier:
    """Judges outputs that hold programs, in the cell."""

    version = "1"
    deterministic = False

    def __init__(
        self,
        rule: Literal["paper", "strict"] = "strict",
        *,
        sandbox: str | None = None,
        jobs: int | None = None,
        trust: bool = False,
        run_all: bool = False,
    ) -> None:
        self.name = "program-paper" if rule == "paper" else "program"
        self._checker = paper_checker if rule == "paper" else None
        self._run_all = run_all
        limits = Limits(memory_mb=MEMORY_MB)
        self._box = Sandbox(limits, sandbox, jobs=jobs, trust=trust)

    async def start(self) -> None:
        """Open the cell; raises NoSandbox."""
        await self._box.start()

    async def aclose(self) -> None:
        """End the cell and every process in it."""
        await self._box.aclose()

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge the program in an output. NoSandbox if there is no cell; BadTests on bad tests."""
        found = program(text, reference["code"])
        if found is None:
            return Verdict("no_answer", "the output holds no program")
        seconds = float(reference.get("time_limit_s", DEFAULT_LIMIT_S))
        limits = Limits(wall_s=seconds, cpu_s=seconds, memory_mb=MEMORY_MB)
        tests, language = reference["tests"], str(reference.get("language", "python"))
        if "checker" in tests:
            verdict = await self._judge_with_checker(found.source, tests, language, limits)
        else:
            box = cast(Sandbox, _Timed(self._box, limits))
            judge = ProgramVerifier(box, run_all=self._run_all, checker=self._checker)
            verdict = await judge.judge(found.source, tests, language)
        if any(name in verdict.detail for name in _NO_PROGRAM) and verdict.kind == "crashed":
            kind: Literal["failed", "no_answer"] = "failed" if found.fenced else "no_answer"
            return Verdict(kind, verdict.detail, None, verdict.tier, verdict.wall_s, verdict.cpu_s)
        return verdict

    async def _judge_with_checker(
        self, source: str, tests: Mapping[str, Any], language: str, limits: Limits
    ) -> Verdict:
        if not isinstance(tests["checker"], str):
            raise BadTests(
                "`checker` must be the source of a function check(input, expected, output)"
            )
        await self._box.start()
        wall_s = cpu_s = 0.0
        try:
            ready = await self._box.program(source, language)
            for number, case in enumerate(tests["cases"]):
                given = case["input"].encode("utf-8", "surrogatepass")
                (outcome,) = await self._box.run_many(ready, [given], limits=limits)
                wall_s, cpu_s = wall_s + outcome.wall_s, cpu_s + outcome.cpu_s
                kind, detail = await self._ask(tests["checker"], case, outcome)
                if kind != "passed":
                    where = f"case {number}: {detail}"
                    return Verdict(kind, where, None, self._box.tier, wall_s, cpu_s)
        except SandboxFault as fault:
            return Verdict("infra_error", str(fault), tier=self._box.tier)
        return Verdict(
            "passed", f"{len(tests['cases'])} cases", None, self._box.tier, wall_s, cpu_s
        )

    async def _ask(self, checker: str, case: Mapping[str, Any], outcome: Outcome) -> _Judged:
        if outcome.status != "ok":
            return _KINDS.get(outcome.status, "crashed"), outcome.detail
        output = outcome.stdout.decode("utf-8", "replace")
        arguments = [case["input"], case["output"], output]
        (said,) = await self._box.tool(source=checker, entry="checker:check", args=[arguments])
        if said.status != "returned" or not isinstance(said.value, bool):
            return "infra_error", f"the problem's checker gave no answer: {said.detail}"
        if said.value:
            return "passed", ""
        return "failed", f"the checker refuses {compare.show(output, 80)}"


_Judged = tuple[
    Literal["passed", "failed", "timeout", "memory", "crashed", "no_answer", "infra_error"], str
]
_KINDS: dict[str, Literal["failed", "timeout", "memory", "crashed", "infra_error"]] = {
    "timeout": "timeout",
    "memory": "memory",
    "output": "failed",
    "disk": "failed",
    "fault": "infra_error",
}


class _Timed:
    """A sandbox whose samples have the limits of one problem."""

    def __init__(self, box: Sandbox, limits: Limits) -> None:
        self._box, self._limits = box, limits

    @property
    def tier(self) -> str:
        return self._box.tier

    async def start(self) -> None:
        await self._box.start()

    async def program(self, source: str, language: str = "python") -> Any:
        return await self._box.program(source, language)

    async def run_many(self, source: Any, inputs: Sequence[bytes]) -> list[Outcome]:
        return await self._box.run_many(source, inputs, limits=self._limits)

    async def call(self, source: str, *, entry: str, args: Sequence[Sequence[Any]]) -> Any:
        return await self._box.call(source, entry=entry, args=args, limits=self._limits)

    async def check(self, source: str, *, entry: str, test: str) -> tuple[Outcome, Outcome]:
        return await self._box.check(source, entry=entry, test=test, limits=self._limits)
