"""Judges programs against tests in the sandbox; expected results never enter the cell.

The shapes of tests are in program_tests.py, how one verdict comes about in program_judging.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from verifiers import boundary
from verifiers.extract import extract_code
from verifiers.program_judging import Checker, ProgramJudging
from verifiers.program_tests import BadTests, check_tests
from verifiers.sandbox.box import Sandbox
from verifiers.sandbox.limits import LONGEST_S, Limits, SandboxFault
from verifiers.shared_results import SharedResults
from verifiers.verdict import Verdict

__all__ = ["BadTests", "Checker", "ProgramVerifier", "check_tests"]


class ProgramVerifier:
    """Judges texts that hold programs. Makes a sandbox of its own unless it is given one."""

    name = "program"
    version = "2"
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
        self._decided = SharedResults()

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
        """End every process that the verifier holds."""
        await self._decided.aclose()
        if self._owned:
            await self.sandbox.aclose()

    async def judge(
        self,
        code: str,
        tests: Mapping[str, Any],
        language: str = "python",
        limits: Limits | None = None,
    ) -> Verdict:
        """Judge a program. BadTests says what is wrong with the tests; NoSandbox why none works.

        `limits` are the sandbox's unless given; a test's own `time_limit_s` goes before both.
        """
        check_tests(tests, language)
        await self.sandbox.start()
        limits = limits or self.sandbox.limits
        if "time_limit_s" in tests:
            seconds = float(tests["time_limit_s"])
            cpu_s = min(LONGEST_S, seconds * limits.cpu_s / limits.wall_s)
            limits = replace(limits, wall_s=seconds, cpu_s=cpu_s)
        judging = ProgramJudging(self.sandbox, limits, self.run_all, self.checker)
        try:
            if tests["kind"] == "stdio":
                return await judging.by_outputs(code, tests, language)
            if tests["kind"] == "calls":
                return await judging.by_calls(code, tests)
            if await self._needs_one_cell(judging, tests):
                return await judging.inside(code, tests)
            return await judging.across(code, tests)
        except SandboxFault as fault:
            return Verdict("infra_error", str(fault), tier=self.sandbox.tier)

    async def _needs_one_cell(self, judging: ProgramJudging, tests: Mapping[str, Any]) -> bool:
        """Decided once for each test, from it and its reference, and never by a candidate."""
        if "forgeable" in tests:
            return bool(tests["forgeable"])
        if boundary.looks_at_more(tests["source"], tests["entry"]):
            return True
        if "reference" not in tests:
            return False

        async def try_both() -> bool:
            if (await judging.across(tests["reference"], tests)).passed:
                return False
            return (await judging.inside(tests["reference"], tests)).passed

        key = (tests["source"], tests["entry"], tests["reference"])
        return await self._decided.get(key, try_both)
