"""Judges programs against tests in the sandbox; expected results never enter the cell.

Tests are one of
    {"kind": "stdio", "cases": [{"input", "output"}], "compare": "lines", "tolerance": 0}
    {"kind": "calls", "entry": "f", "cases": [{"args", "expected"}], "tolerance": 0}
    {"kind": "assert", "entry": "f", "source": "def check(candidate): ..."}
All cases run in one process first. What is not a clean accept there is judged again with a fresh
process for each case, and so are a few percent of the accepts, chosen by a hash of the source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from verifiers import compare
from verifiers.extract import extract_code
from verifiers.sandbox.box import Sandbox
from verifiers.sandbox.limits import CallOutcome, Limits, Outcome, SandboxFault
from verifiers.verdict import Verdict, VerdictKind

_TOGETHER = 50
_AUDIT_PERCENT = 3
_KINDS: dict[str, VerdictKind] = {
    "error": "crashed",
    "crashed": "crashed",
    "timeout": "timeout",
    "memory": "memory",
    "output": "failed",
    "processes": "crashed",
    "disk": "failed",
    "fault": "infra_error",
}

Checker = Callable[[str, str, bytes], bool]
"""(input, expected output, output) -> whether the output is right; for problems with several."""


class BadTests(ValueError):
    """Tests that cannot be understood; says what is wrong."""


class ProgramVerifier:
    """Judges texts that hold programs. Makes a sandbox of its own unless it is given one."""

    name = "program"
    version = "1"
    deterministic = False

    def __init__(
        self,
        sandbox: Sandbox | None = None,
        *,
        limits: Limits | None = None,
        jobs: int | None = None,
        tier: str | None = None,
        trust: bool = False,
        run_all: bool = False,
        checker: Checker | None = None,
    ) -> None:
        self._owned = sandbox is None
        self.sandbox = sandbox or Sandbox(limits, tier, jobs=jobs, trust=trust)
        self.run_all, self.checker = run_all, checker

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge the program in `text` against `reference["tests"]`.

        `reference` may name a "language" ("python", "cpp").
        """
        tests = reference["tests"]
        language = str(reference.get("language", "python"))
        code = extract_code(text, language, tests.get("entry"))
        if not code.strip():
            return Verdict("no_answer", "the text holds no program")
        return await self.judge(code, tests, language)

    async def aclose(self) -> None:
        if self._owned:
            await self.sandbox.aclose()

    async def judge(self, code: str, tests: Mapping[str, Any], language: str = "python") -> Verdict:
        """Judge a program. BadTests says what is wrong with the tests; NoSandbox why none works."""
        check_tests(tests)
        if language not in ("python", "cpp"):
            raise BadTests(f"programs in {language!r} cannot be judged: use python or cpp")
        if language == "cpp" and tests["kind"] != "stdio":
            raise BadTests("C++ programs can only be judged by tests of kind stdio")
        await self.sandbox.start()
        try:
            if tests["kind"] == "assert":
                return await self._judge_assert(code, tests)
            tally = _Tally(self.sandbox.tier)
            if tests["kind"] == "stdio":
                return await self._judge_stdio(code, tests, language, tally)
            return await self._judge_calls(code, tests, tally)
        except SandboxFault as fault:
            return Verdict("infra_error", str(fault), tier=self.sandbox.tier)

    async def _judge_stdio(
        self, code: str, tests: Mapping[str, Any], language: str, tally: _Tally
    ) -> Verdict:
        cases: list[Mapping[str, Any]] = list(tests["cases"])
        program = await self.sandbox.program(code, language)

        async def run(numbers: Sequence[int]) -> list[_Judged]:
            inputs = [cases[n]["input"].encode("utf-8", "surrogatepass") for n in numbers]
            outcomes = await self.sandbox.run_many(program, inputs)
            tally.add(outcomes[-1:])
            return [self._look(o, cases[n], tests) for n, o in zip(numbers, outcomes, strict=True)]

        return await self._judge_cases(code, len(cases), run, tally, together=language == "python")

    def _look(self, outcome: Outcome, case: Mapping[str, Any], tests: Mapping[str, Any]) -> _Judged:
        if outcome.status != "ok":
            return _KINDS[outcome.status], outcome.detail
        expected = case["output"]
        if self.checker is not None:
            right = self.checker(case["input"], expected, outcome.stdout)
            return ("passed", "") if right else ("failed", "the checker refuses the output")
        rule, tolerance = tests.get("compare", "lines"), float(tests.get("tolerance", 0))
        if compare.same_output(outcome.stdout, expected, rule, tolerance):
            return "passed", ""
        return "failed", compare.first_difference(outcome.stdout, expected)

    async def _judge_calls(self, code: str, tests: Mapping[str, Any], tally: _Tally) -> Verdict:
        cases: list[Mapping[str, Any]] = list(tests["cases"])
        tolerance = float(tests.get("tolerance", 0))

        async def run(numbers: Sequence[int]) -> list[_Judged]:
            arguments = [cases[n]["args"] for n in numbers]
            outcomes = await self.sandbox.call(code, entry=tests["entry"], args=arguments)
            tally.add([outcomes[0].whole])
            return [
                _look_at_value(o, cases[n]["expected"], tolerance)
                for n, o in zip(numbers, outcomes, strict=True)
            ]

        return await self._judge_cases(code, len(cases), run, tally, together=True)

    async def _judge_cases(
        self, code: str, count: int, run: _Run, tally: _Tally, together: bool
    ) -> Verdict:
        if together and count > 1:
            verdict = await self._judge_together(code, count, run, tally)
            if verdict is not None:
                return verdict
        failures = []
        for number in range(count):
            kind, detail = (await run([number]))[0]
            if kind != "passed":
                failures.append((kind, f"case {number}: {detail}"))
                if not self.run_all or kind == "infra_error":
                    break
        if not failures:
            return tally.verdict("passed", _cases(count))
        if len(failures) > 1:
            return tally.verdict(
                failures[0][0], f"{failures[0][1]} ({len(failures)} of {count} failed)"
            )
        return tally.verdict(*failures[0])

    async def _judge_together(
        self, code: str, count: int, run: _Run, tally: _Tally
    ) -> Verdict | None:
        """A verdict from runs of many cases each, or None where each needs a process of its own."""
        for start in range(0, count, _TOGETHER):
            numbers = range(start, min(start + _TOGETHER, count))
            judged = await run(numbers)
            bad = next((n for n, (kind, _) in enumerate(judged) if kind != "passed"), None)
            if bad is None:
                continue
            if self.run_all:
                return None
            # The first case of a process had it for itself; any other is asked again alone.
            kind, detail = judged[0] if bad == 0 else (await run([start + bad]))[0]
            if kind == "passed":
                return None
            return tally.verdict(kind, f"case {start + bad}: {detail}")
        if _audited(code):
            return None
        return tally.verdict("passed", _cases(count))

    async def _judge_assert(self, code: str, tests: Mapping[str, Any]) -> Verdict:
        test, candidate = await self.sandbox.check(code, entry=tests["entry"], test=tests["source"])
        tally = _Tally(self.sandbox.tier)
        tally.add([candidate])
        return tally.verdict(*_look_at_test(test, candidate))


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


_Judged = tuple[VerdictKind, str]
_Run = Callable[[Sequence[int]], Awaitable[list[_Judged]]]


class _Tally:
    """Times of all runs behind one verdict."""

    def __init__(self, tier: str) -> None:
        self.tier, self.wall_s, self.cpu_s, self.scratch = tier, 0.0, 0.0, True

    def add(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.wall_s += outcome.wall_s
            self.cpu_s += outcome.cpu_s
            self.scratch = self.scratch and outcome.scratch

    def verdict(self, kind: VerdictKind, detail: str) -> Verdict:
        if not self.scratch:
            detail += " (no writable directory in this tier)"
        return Verdict(
            kind, detail, tier=self.tier, wall_s=round(self.wall_s, 6), cpu_s=round(self.cpu_s, 6)
        )


def _audited(code: str) -> bool:
    digest = hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()
    return digest[0] * 256 + digest[1] < 65536 * _AUDIT_PERCENT // 100


def _look_at_value(outcome: CallOutcome, expected: Any, tolerance: float) -> _Judged:
    if outcome.status == "returned":
        if compare.same_value(outcome.value, expected, tolerance):
            return "passed", ""
        return "failed", f"{compare.show(outcome.value)} instead of {compare.show(expected)}"
    if outcome.status == "raised":
        return ("memory" if outcome.detail.startswith("MemoryError") else "failed"), outcome.detail
    if outcome.whole.status == "ok":
        return "crashed", outcome.detail
    return _KINDS[outcome.whole.status], outcome.whole.detail


def _look_at_test(test: Outcome, candidate: Outcome) -> _Judged:
    if "fault" in (test.status, candidate.status):
        return "infra_error", test.detail or candidate.detail
    try:
        said = json.loads(test.claims)
        end, detail = said["end"], said.get("detail", "")
    except (ValueError, KeyError, TypeError):
        end, detail = "", ""
    if candidate.status in ("timeout", "memory", "crashed", "processes", "disk", "output"):
        return _KINDS[candidate.status], candidate.detail
    if end == "passed" and candidate.status == "ok" and test.status == "ok":
        return "passed", ""
    if end == "failed":
        return ("memory" if detail.startswith("MemoryError") else "failed"), detail
    if end == "cannot":
        return "infra_error", detail
    if end == "gone" or candidate.status == "error":
        return "crashed", candidate.detail or "the program ended before the test did"
    if test.status in ("timeout", "memory", "output"):
        return _KINDS[test.status], f"the test's own process: {test.detail}"
    return "infra_error", f"the test's own process: {test.detail or 'it said nothing'}"


def check_tests(tests: Any) -> None:
    """BadTests with one clear sentence unless `tests` has one of the shapes above."""
    if not isinstance(tests, Mapping):
        raise BadTests("`tests` must be an object with a `kind`")
    kind = tests.get("kind")
    if kind not in ("stdio", "calls", "assert"):
        raise BadTests(f"`kind` of the tests is {kind!r}: use stdio, calls or assert")
    if kind != "stdio" and not (isinstance(tests.get("entry"), str) and tests["entry"]):
        raise BadTests(f"tests of kind {kind} need an `entry`, the name of a function")
    if kind == "assert":
        if not isinstance(tests.get("source"), str):
            raise BadTests("tests of kind assert need `source`, the test's code")
        return
    if isinstance(tests.get("tolerance", 0), bool) or not isinstance(
        tests.get("tolerance", 0), int | float
    ):
        raise BadTests("`tolerance` must be a number")
    if kind == "stdio" and tests.get("compare", "lines") not in compare.RULES:
        raise BadTests(f"`compare` must be one of {', '.join(compare.RULES)}")
    cases = tests.get("cases")
    if not isinstance(cases, Sequence) or isinstance(cases, str) or not cases:
        raise BadTests("`cases` must be a list of at least one case")
    for number, case in enumerate(cases):
        _check_case(kind, case, number)


def _check_case(kind: str, case: Any, number: int) -> None:
    if not isinstance(case, Mapping):
        raise BadTests(f"case {number} is no object")
    for name in ("input", "output") if kind == "stdio" else ("args", "expected"):
        if name not in case:
            raise BadTests(f"case {number} has no `{name}`")
        if kind == "stdio" and not isinstance(case[name], str):
            raise BadTests(f"`{name}` of case {number} must be text")
    if kind == "calls" and not isinstance(case["args"], list | tuple):
        raise BadTests(f"`args` of case {number} must be a list")
