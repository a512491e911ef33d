"""One verdict on one program: runs it against tests in the sandbox and looks at what came back.

Every case is judged once. Cases share a process as long as that is as good as one each; a few
percent of what passes so, chosen by a hash of the source, is judged again with a process for each
case, and must pass there too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from verifiers import boundary, compare
from verifiers.sandbox.box import Sandbox
from verifiers.sandbox.limits import SHARED, CallOutcome, Limits, Outcome
from verifiers.sandbox.native import Executable
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


Cases = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ProgramJudging:
    """How programs are judged: in which cells, within which limits, by which comparison."""

    sandbox: Sandbox
    limits: Limits
    run_all: bool = False
    checker: Checker | None = None

    async def by_outputs(self, code: str, tests: Mapping[str, Any], language: str) -> Verdict:
        """Tests of kind stdio."""
        cases: Cases = tests["cases"]
        program: str | Executable = await self.sandbox.program(code, language)
        tally = _Tally(self.sandbox.tier)

        async def run(numbers: Sequence[int]) -> list[_Judged]:
            inputs = [cases[n]["input"].encode("utf-8", "surrogatepass") for n in numbers]
            outcomes = await self.sandbox.run_many(program, inputs, limits=self.limits)
            tally.add(outcomes[-1:])
            pairs = zip(numbers, outcomes, strict=False)
            return [await self._look_at_output(o, cases[n], tests) for n, o in pairs]

        return await self._by_cases(code, len(cases), run, tally, together=language == "python")

    async def _look_at_output(
        self, outcome: Outcome, case: Mapping[str, Any], tests: Mapping[str, Any]
    ) -> _Judged:
        if outcome.status != "ok":
            return _KINDS[outcome.status], outcome.detail
        expected = case["output"]
        if "checker" in tests:
            return await self._ask(tests["checker"], case, outcome)
        if self.checker is not None:
            right = self.checker(case["input"], expected, outcome.stdout)
            return ("passed", "") if right else ("failed", "the checker refuses the output")
        rule, tolerance = tests.get("compare", "lines"), float(tests.get("tolerance", 0))
        if compare.same_output(outcome.stdout, expected, rule, tolerance):
            return "passed", ""
        return "failed", compare.first_difference(outcome.stdout, expected)

    async def _ask(self, checker: str, case: Mapping[str, Any], outcome: Outcome) -> _Judged:
        """What the problem's own checker says, in a cell of its own."""
        output = outcome.stdout.decode("utf-8", "replace")
        arguments = [case["input"], case["output"], output]
        (said,) = await self.sandbox.tool(source=checker, entry="checker:check", args=[arguments])
        if said.status != "returned" or not isinstance(said.value, bool):
            return "infra_error", f"the problem's checker gave no answer: {said.detail}"
        if said.value:
            return "passed", ""
        return "failed", f"the checker refuses {compare.show(output, 80)}"

    async def by_calls(self, code: str, tests: Mapping[str, Any]) -> Verdict:
        """Tests of kind calls."""
        cases: Cases = tests["cases"]
        tolerance = float(tests.get("tolerance", 0))
        tally = _Tally(self.sandbox.tier)

        async def run(numbers: Sequence[int]) -> list[_Judged]:
            arguments = [cases[n]["args"] for n in numbers]
            outcomes = await self.sandbox.call(
                code, entry=tests["entry"], args=arguments, limits=self.limits
            )
            tally.add([outcomes[0].whole])
            return [
                _look_at_value(o, cases[n]["expected"], tolerance)
                for n, o in zip(numbers, _own_calls(outcomes), strict=False)
            ]

        together = not _keeps_state(code)
        return await self._by_cases(code, len(cases), run, tally, together=together)

    async def _by_cases(
        self, code: str, count: int, run: _Run, tally: _Tally, together: bool
    ) -> Verdict:
        """Judge every case once: many in a process where that is as good as one each.

        `run` judges one or more of the cases it is given, in order; those that it leaves out get
        processes of their own. Of what passes in shared processes, a few percent are judged again
        in processes of their own, whose verdict counts.
        """
        verdict = await self._by_processes(count, run, tally, _TOGETHER if together else 1)
        if verdict.passed and together and count > 1 and _audited(code):
            return await self._by_processes(count, run, tally, 1)
        return verdict

    async def _by_processes(self, count: int, run: _Run, tally: _Tally, size: int) -> Verdict:
        failures = list[_Judged]()
        at = 0
        while at < count and (self.run_all or not failures):
            numbers = range(at, min(at + size, count))
            judged = await run(numbers)
            for number, (kind, detail) in enumerate(judged, at):
                if kind != "passed":
                    failures.append((kind, f"case {number}: {detail}"))
                    if kind == "infra_error":
                        return tally.verdict(*failures[-1])
            if len(judged) < len(numbers):
                size = 1
            at += len(judged)
        if not failures:
            return tally.verdict("passed", _cases(count))
        kind, detail = failures[0]
        if self.run_all and len(failures) > 1:
            detail = f"{detail} ({len(failures)} of {count} failed)"
        return tally.verdict(kind, detail)

    async def across(self, code: str, tests: Mapping[str, Any]) -> Verdict:
        """A test of kind assert in a cell of its own."""
        test, candidate = await self.sandbox.check(
            code, entry=tests["entry"], test=tests["source"], limits=self.limits
        )
        tally = _Tally(self.sandbox.tier)
        tally.add([candidate])
        return tally.verdict(*_look_at_test(test, candidate))

    async def inside(self, code: str, tests: Mapping[str, Any]) -> Verdict:
        """A test of kind assert in one cell with the program, which could forge the verdict."""
        outcome = await self.sandbox.check_inside(
            code,
            entry=tests["entry"],
            test=tests["source"],
            modules=boundary.imports(tests["source"]),
            limits=self.limits,
        )
        tally = _Tally(self.sandbox.tier, forgeable=True)
        tally.add([outcome])
        if outcome.status in ("ok", "error") and not outcome.claims:
            # Only the program could end the process before the test had said anything.
            return tally.verdict("crashed", "the program ended before the test did")
        return tally.verdict(*_look_at_test(replace(outcome, status="ok"), outcome))


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


_Judged = tuple[VerdictKind, str]
_Run = Callable[[Sequence[int]], Awaitable[list[_Judged]]]


class _Tally:
    """Times of all runs behind one verdict."""

    def __init__(self, tier: str, *, forgeable: bool = False) -> None:
        self.tier, self.forgeable = tier, forgeable
        self.wall_s, self.cpu_s, self.scratch = 0.0, 0.0, True

    def add(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.wall_s += outcome.wall_s
            self.cpu_s += outcome.cpu_s
            self.scratch = self.scratch and outcome.scratch

    def verdict(self, kind: VerdictKind, detail: str) -> Verdict:
        if not self.scratch:
            detail += " (no writable directory in this tier)"
        return Verdict(
            kind, detail, tier=self.tier, wall_s=round(self.wall_s, 6),
            cpu_s=round(self.cpu_s, 6), forgeable=self.forgeable,
        )  # fmt: skip


_MUTABLE = r"(?:[\[{]|[\w.]+\()"
_KEEPS_STATE = re.compile(
    rf"^[A-Za-z_][\w.]*(?:\[.*\])?\s*(?::[^=\n]*)?=\s*{_MUTABLE}"
    r"|^\s*(?:global|nonlocal)\s"
    rf"|def\s+\w+\([^)]*=\s*{_MUTABLE}",
    re.MULTILINE,
)
_CLASS_KEEPS_STATE = re.compile(rf"^(?:    |\t|  )\w+\s*(?::[^=\n]*)?=\s*{_MUTABLE}", re.MULTILINE)


def _keeps_state(code: str) -> bool:
    """Whether the text of a program has what one call could leave for the next one to meet."""
    if _KEEPS_STATE.search(code):
        return True
    return "class " in code and _CLASS_KEEPS_STATE.search(code) is not None


def _own_calls(outcomes: Sequence[CallOutcome]) -> Sequence[CallOutcome]:
    """The calls that a process of their own would have ended in the same way."""
    for number, one in enumerate(outcomes):
        if one.status == "missing" or (number and one.detail.startswith("MemoryError")):
            shared = number and (one.whole.status in SHARED or one.status == "raised")
            return outcomes[: number if shared else number + 1]
    return outcomes


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
    if end == "nothing":
        return "infra_error", f"no test ran: {detail}"
    if test.status in ("timeout", "memory", "output"):
        return _KINDS[test.status], f"the test's own process: {test.detail}"
    if end == "gone" or candidate.status == "error":
        return "crashed", candidate.detail or "the program ended before the test did"
    return "infra_error", f"the test's own process: {test.detail or 'it said nothing'}"
