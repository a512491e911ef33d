"""Judges a task's outputs that hold programs: finds the program, sets its limits, compares.

A reference holds `tests` (see program_tests.py), `code` (how the program is found, see
program_rules.py) and may hold `time_limit_s` and a `language`.

Comparison of outputs, where the tests have no `checker`:
    paper    as "Large Language Monkeys" mimics CodeContests' own: split at blanks, lower case,
             as many words, integers equal, other numbers less than 1e-5 apart, else equal texts
    strict   by the `compare` and `tolerance` of the tests: line by line, unless they say otherwise

Differences of `paper` from the released code: a program that prints what is right and then fails
is wrong here; memory is limited; text that is no program is `no_answer` and ends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from verifiers.program import ProgramVerifier
from verifiers.program_rules import program
from verifiers.sandbox.limits import Limits
from verifiers.verdict import Verdict

MEMORY_MB = 1024
DEFAULT_LIMIT_S = 3.0
_BLANKS = re.compile(r"[ \n\t\r\v]+")
_INTEGER = re.compile(r"([+-]?)0*(\d+)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII)
_COMPILES = "import sys; compile(sys.stdin.buffer.read(), 'solution.py', 'exec', dont_inherit=True)"


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

    version = "3"
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
        checker = paper_checker if rule == "paper" else None
        limits = Limits(memory_mb=MEMORY_MB)
        self._judge = ProgramVerifier(
            limits=limits, tier=sandbox, jobs=jobs, trust=trust, run_all=run_all, checker=checker
        )

    async def start(self) -> None:
        """Open the cell; raises NoSandbox."""
        await self._judge.sandbox.start()

    async def aclose(self) -> None:
        """End the cell and every process in it."""
        await self._judge.aclose()

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge the program in an output. NoSandbox if there is no cell; BadTests on bad tests."""
        seconds = float(reference.get("time_limit_s", DEFAULT_LIMIT_S))
        limits = Limits(wall_s=seconds, cpu_s=seconds, memory_mb=MEMORY_MB)
        how = {"language": str(reference.get("language", "python")), **reference["code"]}
        return await judge_text(self._judge, text, how, reference["tests"], limits)


async def judge_text(
    judge: ProgramVerifier,
    text: str,
    how: Mapping[str, Any],
    tests: Mapping[str, Any],
    limits: Limits | None = None,
) -> Verdict:
    """Judge the program that `text` holds by the rule of `how` (program_rules.py).

    What no fence marked as a program and is none by its syntax was no answer.
    """
    found = program(text, how)
    if found is None:
        return Verdict("no_answer", "the output holds no program")
    language = how.get("language", "python")
    verdict = await judge.judge(found.source, tests, language, limits)
    if verdict.kind != "crashed" or language != "python" or await _compiles(judge, found.source):
        return verdict
    return replace(verdict, kind="failed" if found.fenced else "no_answer", answer=None)


async def _compiles(judge: ProgramVerifier, source: str) -> bool:
    """Whether it is Python by its syntax: asked in a cell, since a text can crash the parser.

    Not read off the program's last words, which name any SyntaxError that it met or made up.
    """
    text = source.encode("utf-8", "surrogatepass")
    return (await judge.sandbox.run(_COMPILES, stdin=text)).status != "error"
