"""Second opinions: for each rule another way to the same verdict, for what the first accepted.

    math-verify, stated, number, choice   the package math-verify, by its own parser and comparison
    paper                                 math-verify's rule: what is stated, read whole
    exact, exact-last-line                equal texts, whatever their case and spacing
    programs                              a process for each case; an assert test once more, with
                                          the candidate in the test's own process
    any other rule of answers             math-verify's rule, or `stated` where that is not there

The two share how an answer is found, or how a program is, but not how it is judged. A sample on
which they disagree is not wrong for that: it is one on which nothing should rest alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from verifiers.program_task import MEMORY_MB, TaskProgramVerifier
from verifiers.rules import RuleOptions, make_rule
from verifiers.sandbox.limits import Limits
from verifiers.stated import StatedAnswer
from verifiers.verdict import Verdict, Verifier


def second_opinion(
    name: str, reference: Mapping[str, Any], options: RuleOptions
) -> Verifier | None:
    """The rule that checks what the rule `name` accepts, for references of that shape.

    None where there is none (proofs, whose checker asks twice by itself). Raises MissingPackage.
    """
    if name == "tests":
        return TestsAgain(options)
    if "tests" in reference:
        return ProgramAgain("paper" if name == "program-paper" else "strict", options)
    if "answer" not in reference:
        return None
    if name in ("exact", "exact-last-line"):
        return AlikeAnswer()
    if name in ("math-verify", "stated", "number", "choice"):
        from verifiers.answer import PackageAnswer

        package = PackageAnswer(sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)
        package.packages()
        return package
    from verifiers.answer import MissingPackage

    try:
        return make_rule("math-verify", options)
    except MissingPackage:
        return StatedAnswer()


class AlikeAnswer:
    """Passes where the output, or its last line, is the answer but for case and spacing."""

    name = "alike"
    version = "1"
    deterministic = True

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """`passed` or `failed`; never raises on any text."""
        wanted = _alike(str(reference["answer"]))
        lines = text.strip().splitlines() or [""]
        right = wanted in (_alike(text), _alike(lines[-1]))
        return Verdict("passed") if right else Verdict("failed", "the texts differ")

    async def aclose(self) -> None:
        """Nothing is held."""


def _alike(text: str) -> str:
    return " ".join(text.split()).casefold()


class ProgramAgain(TaskProgramVerifier):
    """Judges a task's programs once more: each case alone, an assert test in one process."""

    def __init__(self, rule: Literal["paper", "strict"], options: RuleOptions) -> None:
        super().__init__(rule, sandbox=options.sandbox, jobs=options.jobs, trust=options.trust)
        self.name = f"{self.name}-again"

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """The first verdict that is not `passed`, or the last."""
        verdict = Verdict("infra_error", "there is no test")
        for tests in _alone(reference["tests"]):
            verdict = await super().verify(text, {**reference, "tests": tests})
            if not verdict.passed:
                break
        return verdict


class TestsAgain:
    """Judges once more by tests of a person's own, which may differ from line to line."""

    version = "1"
    deterministic = False
    name = "tests-again"

    def __init__(self, options: RuleOptions) -> None:
        from verifiers.judge import Judge

        limits = Limits(memory_mb=MEMORY_MB)
        self._judge = Judge(limits, jobs=options.jobs, tier=options.sandbox, trust=options.trust)
        self._options = options
        self._rules: dict[str, Verifier] = {}

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """A program's first verdict that is not `passed`, or the last; an answer's by its rule."""
        tests = reference.get("tests", {"kind": "answer", "expected": reference.get("answer")})
        if tests["kind"] == "answer":
            return await self._answer(text, tests)
        verdict = Verdict("infra_error", "there is no test")
        for some in _alone(tests):
            verdict = await self._judge.verify(text, {**reference, "tests": some})
            if not verdict.passed:
                break
        return verdict

    async def _answer(self, text: str, tests: Mapping[str, Any]) -> Verdict:
        from verifiers.answer import MissingPackage

        rule, reference = tests.get("rule", "stated"), {"answer": str(tests["expected"])}
        if rule not in self._rules:
            try:
                found = second_opinion(rule, reference, self._options)
            except MissingPackage as missing:
                return Verdict("infra_error", str(missing))
            self._rules[rule] = found or AlikeAnswer()
        return await self._rules[rule].verify(text, reference)

    async def aclose(self) -> None:
        """End every process that is held."""
        await self._judge.aclose()
        for rule in self._rules.values():
            await rule.aclose()


def _alone(tests: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "cases" in tests:
        yield from ({**tests, "cases": [case]} for case in tests["cases"])
    else:
        yield {**tests, "forgeable": True}
