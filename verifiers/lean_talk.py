"""Conversations with Lean inside the cell: the REPL's protocol, or one file for `lean --json`.

Every conversation is one fresh process that gets all its input at once and ends. Whatever ends
it otherwise is raised as Ended, which carries the verdict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from verifiers.lean_project import LeanProject
from verifiers.sandbox import Outcome, Sandbox
from verifiers.verdict import VerdictKind

_KINDS: dict[str, VerdictKind] = {
    "timeout": "timeout",
    "memory": "memory",
    "output": "failed",
    "fault": "infra_error",
}
LeanReply = dict[str, Any]


class Ended(Exception):
    """The proof was not accepted; carries the verdict."""

    def __init__(self, kind: VerdictKind, detail: str) -> None:
        super().__init__(detail)
        self.kind: VerdictKind = kind
        self.detail = detail


@dataclass(slots=True)
class Times:
    """Seconds that the processes of one verdict took."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


class LeanTalk:
    """Starts Lean processes of one project in one cell."""

    def __init__(self, project: LeanProject, box: Sandbox) -> None:
        self._project, self._box = project, box

    async def whole(
        self, header: str, command: str, question: str, times: Times
    ) -> tuple[list[str], list[str]]:
        """Have a header and a command read, and then the question, if there is one.

        Returns what Lean said to the command and to the question; raises Ended where the command
        was not accepted, without an error and without sorry.
        """
        if self._project.form == "repl":
            sent: list[LeanReply] = [{"cmd": header}, {"cmd": command, "env": 0}]
            sent += [{"cmd": question, "env": 1}] if question else []
            answers = await self.repl(sent, times)
        else:
            answers = await self.file([header, command, *([question] if question else [])], times)
        _accept(answers[:2], header)
        if not question:
            return _said(answers[1]), []
        if len(answers) != 3:
            raise Ended("failed", "the proof was not accepted a second time")
        return _said(answers[1]), _said(answers[2])

    async def repl(self, commands: Sequence[Mapping[str, Any]], times: Times) -> list[LeanReply]:
        """One fresh REPL: all commands in, all answers out. Raises Ended where it does not end."""
        sent = "".join(json.dumps(one, ensure_ascii=False) + "\n\n" for one in commands)
        outcome = await self._run(sent, times)
        answers = _objects(outcome.stdout.decode("utf-8", "replace"))
        if not answers:
            raise Ended("infra_error", f"the REPL said nothing: {_complaint(outcome)}")
        return answers

    async def file(self, parts: Sequence[str], times: Times) -> list[LeanReply]:
        """One fresh `lean` over the joined parts; the messages come back as a REPL's answers."""
        text, starts = "", list[int]()
        for part in parts:
            starts.append(text.count("\n") + 1)
            text += part.rstrip() + "\n\n"
        outcome = await self._run(text, times)
        messages = _messages(outcome.stdout.decode("utf-8", "replace"))
        answers: list[LeanReply] = [{"messages": [], "env": number} for number in range(len(parts))]
        for message in messages:
            line = int(message["pos"]["line"])
            place = max((n for n, start in enumerate(starts) if start <= line), default=0)
            answers[place]["messages"].append(message)
        if outcome.status != "ok" and not any(map(errors_of, answers)):
            raise Ended("crashed", f"lean ended without saying why: {_complaint(outcome)}")
        return answers

    async def _run(self, stdin: str, times: Times) -> Outcome:
        outcome: Outcome = await self._box.tool(
            list(self._project.command),
            project=self._project.root,
            programs=self._project.programs,
            environment=dict(self._project.environment),
            stdin=stdin.encode("utf-8", "replace"),
        )
        times.wall_s += outcome.wall_s
        times.cpu_s += outcome.cpu_s
        if outcome.status not in ("ok", "error"):
            raise Ended(_KINDS.get(outcome.status, "crashed"), outcome.detail or outcome.status)
        return outcome


def errors_of(answer: Mapping[str, Any]) -> list[str]:
    """The errors in an answer."""
    if "message" in answer:
        return [str(answer["message"])]
    messages = answer.get("messages", [])
    return [str(one.get("data")) for one in messages if one.get("severity") == "error"]


def _said(answer: Mapping[str, Any]) -> list[str]:
    return [str(one.get("data", "")) for one in answer.get("messages", [])]


def _complaint(outcome: Outcome) -> str:
    return outcome.stderr.decode("utf-8", "replace").strip()[:300] or outcome.status


def _objects(text: str) -> list[LeanReply]:
    """The JSON objects in what a REPL printed; raises Ended on anything else."""
    decoder, place, found = json.JSONDecoder(), 0, list[LeanReply]()
    while True:
        while place < len(text) and text[place].isspace():
            place += 1
        if place == len(text):
            return found
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            raise Ended("crashed", f"the REPL broke off: {text[place : place + 200]}") from None
        if not isinstance(value, dict):
            raise Ended("crashed", "the REPL said something that is no answer")
        found.append(value)


def _messages(text: str) -> list[LeanReply]:
    """The messages in what `lean --json` printed: one to a line, among lines of other kinds."""
    found: list[LeanReply] = []
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise Ended("crashed", f"lean broke off: {line[:200]}") from None
        place = value.get("pos") if isinstance(value, dict) else None
        if not isinstance(place, dict) or not isinstance(place.get("line"), int):
            raise Ended("crashed", f"lean said something that is no message: {line[:200]}")
        found.append(value)
    return found


def _accept(answers: Sequence[Mapping[str, Any]], header: str) -> None:
    """Raise Ended unless the header and then the proof were taken without error and sorry."""
    if errors := errors_of(answers[0]):
        raise Ended(
            "infra_error", f"the project does not know the header {header.split()[:2]}: {errors[0]}"
        )
    if len(answers) < 2:
        raise Ended("crashed", "the REPL ended before it had read the proof")
    if errors := errors_of(answers[1]):
        raise Ended("failed", errors[0])
    if answers[1].get("sorries") or "env" not in answers[1]:
        raise Ended("failed", "the proof leaves something unproved")
    for said in _said(answers[1]):
        if "sorry" in said:
            raise Ended("failed", said)
