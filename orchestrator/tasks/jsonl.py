"""A person's own task: FILE.jsonl with one problem per line.

A line holds `id` (a string or number, unique), `prompt` (raw text) or `messages` (a list of
`{"role", "content"}`), and either `answer` (a string or number, compared by the verifier) or
`tests` as orch judge has them, with `extract` and `language` beside them. Problems that belong
together (questions on one text) may share a `group`, which reports allow for. Other fields are left
alone, and told to a verifier of the person's own. Answers are judged by `stated` unless another
rule of verifiers/rules.py is named; a file with tests by `tests`, which judges answers as `stated`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from budgets.given import open_given
from orchestrator.tasks.answers import answer_verifiers
from orchestrator.tasks.base import (
    Problem,
    SamplingDefaults,
    TaskError,
    TaskOptions,
    as_user_message,
    chosen,
    rule_options,
)
from orchestrator.tasks.lines import as_json, kind_of, read_lines, text_field, unreadable
from verifiers.rules import make_rule, rule_names
from verifiers.verdict import Verifier

_ROLES = ("system", "developer", "user", "assistant")


class JsonlTask:
    """Problems of one JSON Lines file. The version is the digest of the file's content."""

    defaults = SamplingDefaults()

    def __init__(self, path: Path, options: TaskOptions) -> None:
        self._path = path
        self._options = options
        self.name = path.stem

    @property
    def version(self) -> str:
        """The first 12 hex digits of the file's SHA-256; raises TaskError."""
        try:
            with open_given(self._path, self._options.most_bytes) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()[:12]
        except OSError as error:
            raise TaskError(unreadable(self._path, error)) from None

    def problems(self) -> list[Problem]:
        """Every line as a problem, in the file's order; raises TaskError."""
        found: list[Problem] = []
        lines: dict[str, int] = {}
        for number, fields in read_lines(self._path, self._options.most_bytes):
            where = f"{self._path}, line {number}"
            problem = self._problem(where, fields)
            if "group" in fields:
                group = text_field(where, fields, "group", numbers=True)
                problem = replace(problem, group=group)
            # Ids that look alike and differ only in how their accents are written are one.
            name = unicodedata.normalize("NFC", problem.id)
            if name in lines:
                raise TaskError(
                    f"{self._path}: lines {lines[name]} and {number} have the same id "
                    f"{shown(problem.id)}; every problem needs its own."
                )
            lines[name] = number
            found.append(problem)
        return found

    def verifier(self, name: str | None = None) -> Verifier:
        """`stated` for answers and `tests` for tests unless named otherwise; raises TaskError."""
        known: dict[str, Callable[[], Verifier]] = {
            rule: partial(self._rule, rule) for rule in rule_names()
        }
        known["paper"] = answer_verifiers("math", self._options)["paper"]
        lines = read_lines(self._path, self._options.most_bytes)
        if name in (None, "tests") and any("tests" in fields for _, fields in lines):
            known = {"tests": self._tests, **known}
        return chosen(self.name, name, known, self._options)

    def _rule(self, name: str) -> Verifier:
        from verifiers.answer import MissingPackage

        try:
            return make_rule(name, rule_options(self._options))
        except MissingPackage as missing:
            raise TaskError(str(missing)) from None

    def _tests(self) -> Verifier:
        from verifiers.judge import Judge
        from verifiers.program_task import MEMORY_MB
        from verifiers.sandbox.limits import Limits

        own = self._options
        limits = Limits(memory_mb=MEMORY_MB)
        return Judge(limits, jobs=own.jobs, tier=own.sandbox, trust=own.trust)

    def _problem(self, where: str, fields: Mapping[str, Any]) -> Problem:
        identity = text_field(where, fields, "id", numbers=True)
        if not identity.strip():
            raise TaskError(f"{where}: the field 'id' is empty; every problem needs one.")
        reference = self._reference(where, fields)
        form = self._options.prompt_form
        if "prompt" in fields and "messages" in fields:
            raise TaskError(f"{where} has both 'prompt' and 'messages'; keep one of them.")
        if "messages" in fields:
            if form == "completion":
                raise TaskError(
                    f"{where} has 'messages', which cannot be sent as a raw completion; "
                    "give 'prompt' instead or use the chat form."
                )
            return Problem(identity, None, _messages(where, fields["messages"]), reference)
        if "prompt" not in fields:
            raise TaskError(f"{where} has no field 'prompt' (or 'messages').")
        prompt = text_field(where, fields, "prompt")
        if not prompt:
            raise TaskError(f"{where}: the field 'prompt' is empty; there is nothing to ask.")
        if form == "chat":
            return Problem(identity, None, as_user_message(prompt), reference)
        return Problem(identity, prompt, None, reference)

    def _reference(self, where: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What the verifier needs of a line."""
        reference: dict[str, Any] = {}
        if self._options.own_verifier:
            reference = {k: as_json(v) for k, v in fields.items() if k not in _ASKED}
        if "tests" in fields:
            if "answer" in fields:
                raise TaskError(f"{where} has both 'answer' and 'tests'; keep one of them.")
            return reference | _tests_of(where, fields)
        if "answer" not in fields:
            if self._options.own_verifier:
                return reference
            raise TaskError(f"{where} has no field 'answer' (or 'tests').")
        answer = text_field(where, fields, "answer", numbers=True)
        if not answer.strip():
            raise TaskError(f"{where}: the field 'answer' is empty; no output could be right.")
        return reference | {"answer": answer}


_ASKED = ("id", "prompt", "messages")


def _tests_of(where: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The tests of a line with what belongs to them, checked; raises TaskError."""
    from verifiers.judge import begins, check_sample
    from verifiers.program_tests import BadTests

    told = {k: as_json(fields[k]) for k in ("tests", "extract", "language") if k in fields}
    try:
        check_sample({**told, "text": ""})
    except BadTests as fault:
        raise TaskError(f"{where}: {fault}.") from None
    prompt = fields.get("prompt")
    continues = told.get("extract") == "completion" or begins(prompt, told["tests"].get("entry"))
    if isinstance(prompt, str) and continues:
        told["prompt"] = str(prompt)
    return told


def _messages(where: str, value: object) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list) or not value:
        kind = "an empty list" if value == [] else kind_of(value)
        raise TaskError(f"{where}: 'messages' must be a list with a message or more, not {kind}.")
    messages: list[Mapping[str, str]] = []
    for index, message in enumerate(value):
        place = f"{where}, messages[{index}]"
        if not isinstance(message, dict):
            raise TaskError(f"{place} must be an object, not {kind_of(message)}.")
        role = text_field(place, message, "role")
        if role not in _ROLES:
            raise TaskError(f"{place}: the role {shown(role)} is none of {', '.join(_ROLES)}.")
        messages.append({"role": role, "content": text_field(place, message, "content")})
    return tuple(messages)


def shown(text: str) -> str:
    """A text for a message: quoted, and cut where it is long."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
