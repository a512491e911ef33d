"""Judges Lean 4 proofs by real REPL processes of a Lean project, inside the cell.

    whole proof (default)   the reference's statement with the output's proof is one command
    tactics                 the paper's way: every line is one tactic, until all goals are closed

A candidate gets a REPL process of its own, which imports the header, reads the one candidate and
ends: no proof can leave anything to the next. The project is read-only there. What such a process
accepts is asked again in a second fresh process: for the whole proof that must state the axioms
that it rests on, and only Lean's three standard ones are allowed (with `native`, also those of
compiled evaluation). What a proof may not hold at all is refused before (lean_rules.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verifiers import lean_rules
from verifiers.lean_project import LeanProject, find_project
from verifiers.sandbox import Limits, Outcome, Sandbox, SandboxFault
from verifiers.verdict import Verdict, VerdictKind

LIMITS = Limits(wall_s=120, cpu_s=240, memory_mb=8192, output_mb=4, processes=64, disk_mb=16)
"""Of one process: importing Mathlib alone takes seconds and some gigabytes of mapped files."""
_AXIOMS = re.compile(r"depends on axioms: \[([^\]]*)\]")
_KINDS: dict[str, VerdictKind] = {
    "timeout": "timeout",
    "memory": "memory",
    "output": "failed",
    "fault": "infra_error",
}


class _Ended(Exception):
    """The proof was not accepted; carries the verdict."""

    def __init__(self, kind: VerdictKind, detail: str) -> None:
        super().__init__(detail)
        self.kind: VerdictKind = kind
        self.detail = detail


class LeanVerifier:
    """Judges outputs that hold Lean proofs.

    A reference holds `header` (imports and opens), `statement` (`theorem NAME ... :=`), and
    `code`: `continue` for an output that continues `by (`, `block` for one with a whole theorem.
    """

    version = "1"
    deterministic = False

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
        self.project = found
        self.name = "lean-tactics" if tactics else "lean"
        self._tactics, self._native, self._limits = tactics, native, limits
        self._box = Sandbox(limits, sandbox, jobs=jobs, trust=trust)

    async def start(self) -> None:
        """Open the cell; raises NoSandbox."""
        await self._box.start()

    async def aclose(self) -> None:
        """End the cell and every process in it."""
        await self._box.aclose()

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge the proof in an output. NoSandbox if there is no cell."""
        await self._box.start()
        times = [0.0, 0.0]
        try:
            kind, detail = await self._judge(text, reference, times)
        except lean_rules.Refused as refused:
            kind, detail = "failed", str(refused)
        except _Ended as ended:
            kind, detail = ended.kind, ended.detail
        except SandboxFault as fault:
            kind, detail = "infra_error", str(fault)
        return Verdict(kind, detail[:2000], None, self._box.tier, times[0], times[1])

    async def _judge(
        self, text: str, reference: Mapping[str, Any], times: list[float]
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
        commands: list[dict[str, Any]] = [{"cmd": header}, {"cmd": proof.command, "env": 0}]
        _accept(await self._talk(commands, times), header)
        asking = [*commands, {"cmd": f"#print axioms {proof.name}", "env": 1}]
        answers = await self._talk(asking, times)
        _accept(answers[:2], header)
        axioms = _axioms(answers, proof.name)
        allowed = lean_rules.STANDARD_AXIOMS | (
            lean_rules.NATIVE_AXIOMS if self._native else frozenset()
        )
        if axioms - allowed:
            return "failed", f"the proof rests on {', '.join(sorted(axioms - allowed))}"
        return "passed", f"rests on {', '.join(sorted(axioms)) or 'no axioms'}"

    async def _run_tactics(
        self, text: str, header: str, statement: str, times: list[float]
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
        closed = _closed_after(await self._talk([*opening, *running], times))
        if closed is None:
            if len(kept) < len(steps):
                lean_rules.check_words(steps[len(kept)], native=self._native)
            return "failed", "the tactics fail or leave goals open"
        again = _closed_after(await self._talk([*opening, *running[:closed]], times))
        if again != closed:
            return "failed", "the proof was not accepted a second time"
        return "passed", f"closed by {closed} of {len(steps)} tactics"

    async def _talk(
        self, commands: Sequence[Mapping[str, Any]], times: list[float]
    ) -> list[dict[str, Any]]:
        """One fresh REPL: all commands in, all answers out. Raises _Ended where it does not end."""
        sent = "".join(json.dumps(one, ensure_ascii=False) + "\n\n" for one in commands)
        outcome: Outcome = await self._box.tool(
            list(self.project.command),
            project=self.project.root,
            programs=self.project.programs,
            environment=dict(self.project.environment),
            stdin=sent.encode("utf-8", "replace"),
        )
        times[0] += outcome.wall_s
        times[1] += outcome.cpu_s
        if outcome.status not in ("ok", "error"):
            raise _Ended(_KINDS.get(outcome.status, "crashed"), outcome.detail or outcome.status)
        answers = _answers(outcome.stdout.decode("utf-8", "replace"))
        if not answers:
            said = outcome.stderr.decode("utf-8", "replace").strip()[:300]
            raise _Ended("infra_error", f"the REPL said nothing: {said or outcome.status}")
        return answers


def _answers(text: str) -> list[dict[str, Any]]:
    """The JSON objects in what a REPL printed; raises _Ended on anything else."""
    decoder, place, found = json.JSONDecoder(), 0, list[dict[str, Any]]()
    while True:
        while place < len(text) and text[place].isspace():
            place += 1
        if place == len(text):
            return found
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            raise _Ended("crashed", f"the REPL broke off: {text[place : place + 200]}") from None
        if not isinstance(value, dict):
            raise _Ended("crashed", "the REPL said something that is no answer")
        found.append(value)


def _accept(answers: Sequence[Mapping[str, Any]], header: str) -> None:
    """Raise _Ended unless the header and then the proof were taken without error and sorry."""
    if errors := _errors(answers[0]):
        raise _Ended(
            "infra_error", f"the project does not know the header {header.split()[:2]}: {errors[0]}"
        )
    if len(answers) < 2:
        raise _Ended("crashed", "the REPL ended before it had read the proof")
    if errors := _errors(answers[1]):
        raise _Ended("failed", errors[0])
    if answers[1].get("sorries") or "env" not in answers[1]:
        raise _Ended("failed", "the proof leaves something unproved")
    for message in answers[1].get("messages", ()):
        if "sorry" in str(message.get("data", "")):
            raise _Ended("failed", str(message["data"]))


def _errors(answer: Mapping[str, Any]) -> list[str]:
    if "message" in answer:
        return [str(answer["message"])]
    messages = answer.get("messages", [])
    return [str(one.get("data")) for one in messages if one.get("severity") == "error"]


def _axioms(answers: Sequence[Mapping[str, Any]], name: str) -> set[str]:
    if len(answers) != 3:
        raise _Ended("failed", "the proof was not accepted a second time")
    said = [str(one.get("data", "")) for one in answers[2].get("messages", [])]
    for text in said:
        if name not in text:
            continue
        if "does not depend on any axioms" in text:
            return set()
        found = _AXIOMS.search(text)
        if found:
            return {one.strip() for one in found.group(1).split(",") if one.strip()}
    raise _Ended("failed", f"its axioms could not be learnt: {said[:1]}")


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
    if errors := _errors(answers[0]):
        raise _Ended("infra_error", f"the project does not know the header: {errors[0]}")
    if len(answers) < 2 or not answers[1].get("sorries"):
        raise _Ended("infra_error", "the project does not understand the statement")
    for number, answer in enumerate(answers[2:], start=1):
        if _errors(answer) or answer.get("sorries") or "goals" not in answer:
            return None
        if not answer["goals"]:
            return number if answer.get("proofStatus", "Completed") == "Completed" else None
    return None
