"""Judges Lean 4 proofs by real Lean processes of a Lean project, inside the cell.

    whole proof (default)   the reference's statement with the output's proof is one command
    tactics                 the paper's way: every line is one tactic, until all goals are closed

A candidate gets a process of its own (the project's REPL, or `lean --json` where it has none),
which imports the header, reads the one candidate and ends: no proof can leave anything to the
next. The project is read-only there. What such a process accepts is asked again in a second fresh
process: for the whole proof that must state the axioms
that it rests on, and only Lean's three standard ones are allowed (with `native`, also those of
compiled evaluation). What a proof may not hold at all is refused before (lean_rules.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verifiers import lean_rules
from verifiers.lean_project import GET_REPL, LeanMissing, LeanProject, find_project
from verifiers.lean_talk import Ended, LeanTalk, Times, errors_of
from verifiers.sandbox import Limits, Sandbox, SandboxFault
from verifiers.sandbox.limits import cores
from verifiers.verdict import Verdict, VerdictKind

LIMITS = Limits(wall_s=120, cpu_s=240, memory_mb=8192, output_mb=4, processes=64, disk_mb=16)
"""Of one process: importing Mathlib alone takes seconds and some gigabytes of mapped files."""
_AXIOMS = re.compile(r"depends on axioms: \[([^\]]*)\]")


class LeanVerifier:
    """Judges outputs that hold Lean proofs.

    A reference holds `header` (imports and opens), `statement` (`theorem NAME ... :=`), and
    `code`: `continue` for an output that continues `by (`, `block` for one with a whole theorem.
    """

    version = "2"
    deterministic = True

    def __init__(
        self,
        project: LeanProject | Path | None = None,
        *,
        tactics: bool = False,
        native: bool = False,
        sandbox: str | None = None,
        jobs: int | None = None,
        trust: bool = False,
        limits: Limits = LIMITS,
    ) -> None:
        found = project if isinstance(project, LeanProject) else find_project(project)
        if tactics and found.form != "repl":
            raise LeanMissing(f"Single tactics need a REPL, and {found.root} has none: {GET_REPL}.")
        self.project = found
        self.name = "lean-tactics" if tactics else "lean"
        self._tactics, self._native, self._limits = tactics, native, limits
        # No more than there are cores: a Lean process takes gigabytes and rarely waits.
        self._box = Sandbox(limits, sandbox, jobs=jobs or cores(), trust=trust)
        self._lean = LeanTalk(found, self._box)

    async def start(self) -> None:
        """Open the cell; raises NoSandbox."""
        await self._box.start()

    async def aclose(self) -> None:
        """End the cell and every process in it."""
        await self._box.aclose()

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge the proof in an output. NoSandbox if there is no cell."""
        await self._box.start()
        times = Times()
        try:
            kind, detail = await self._judge(text, reference, times)
        except lean_rules.Refused as refused:
            kind, detail = "failed", str(refused)
        except Ended as ended:
            kind, detail = ended.kind, ended.detail
        except SandboxFault as fault:
            kind, detail = "infra_error", str(fault)
        return Verdict(kind, detail[:2000], None, self._box.tier, times.wall_s, times.cpu_s)

    async def _judge(
        self, text: str, reference: Mapping[str, Any], times: Times
    ) -> tuple[VerdictKind, str]:
        header, statement = reference["header"], reference["statement"]
        if self._tactics:
            return await self._run_tactics(text, header, statement, times)
        if reference["code"] == "continue":
            proof = lean_rules.continued(text, statement, native=self._native)
        else:
            proof = lean_rules.whole(text, statement, header, native=self._native)
        if proof is None:
            return "no_answer", "the output holds no proof"
        await self._lean.whole(header, proof.command, "", times)
        question = f"#print axioms {proof.name}" if self.project.asks_axioms else ""
        _, said = await self._lean.whole(header, proof.command, question, times)
        if not question:
            return "passed", "its axioms cannot be asked of this Lean"
        axioms = _axioms(said, proof.name)
        allowed = lean_rules.STANDARD_AXIOMS | (
            lean_rules.NATIVE_AXIOMS if self._native else frozenset()
        )
        if axioms - allowed:
            return "failed", f"the proof rests on {', '.join(sorted(axioms - allowed))}"
        return "passed", f"rests on {', '.join(sorted(axioms)) or 'no axioms'}"

    async def _run_tactics(
        self, text: str, header: str, statement: str, times: Times
    ) -> tuple[VerdictKind, str]:
        steps = lean_rules.tactics(text)
        if not steps:
            return "no_answer", "the output holds no tactic"
        kept = _allowed(steps, self._native)
        opening: list[dict[str, Any]] = [
            {"cmd": header},
            {"cmd": f"{statement.rstrip()} by sorry", "env": 0},
        ]
        # Every tactic that works makes the next proof state; what follows a failure is ignored.
        running = [{"tactic": step, "proofState": number} for number, step in enumerate(kept)]
        closed = _closed_after(await self._lean.repl([*opening, *running], times))
        if closed is None:
            if len(kept) < len(steps):
                lean_rules.check_words(steps[len(kept)], native=self._native)
            return "failed", "the tactics fail or leave goals open"
        again = _closed_after(await self._lean.repl([*opening, *running[:closed]], times))
        if again != closed:
            return "failed", "the proof was not accepted a second time"
        return "passed", f"closed by {closed} of {len(steps)} tactics"


def _axioms(said: Sequence[str], name: str) -> set[str]:
    for text in said:
        if name not in text:
            continue
        if "does not depend on any axioms" in text:
            return set()
        found = _AXIOMS.search(text)
        if found:
            return {one.strip() for one in found.group(1).split(",") if one.strip()}
    # A Lean that cannot answer must not count against the proof.
    kind: VerdictKind = "infra_error" if any("#print axioms" in one for one in said) else "failed"
    raise Ended(kind, f"its axioms could not be learnt: {' '.join(said[:1])}")


def _allowed(steps: Sequence[str], native: bool) -> list[str]:
    """The steps up to the first that holds a refused word."""
    for number, step in enumerate(steps):
        try:
            lean_rules.check_words(step, native=native)
        except lean_rules.Refused:
            return list(steps[:number])
    return list(steps)


def _closed_after(answers: Sequence[Mapping[str, Any]]) -> int | None:
    """After how many tactics all goals were closed; None where they never were."""
    if errors := errors_of(answers[0]):
        raise Ended("infra_error", f"the project does not know the header: {errors[0]}")
    if len(answers) < 2 or not answers[1].get("sorries"):
        raise Ended("infra_error", "the project does not understand the statement")
    for number, answer in enumerate(answers[2:], start=1):
        if errors_of(answer) or answer.get("sorries") or "goals" not in answer:
            return None
        if not answer["goals"]:
            return number if answer.get("proofStatus", "Completed") == "Completed" else None
    return None
