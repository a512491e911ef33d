"""Judges whatever its tests say, by one format for programs, texts that hold programs, and answers.

    {"id", "code", "tests", "language"}                       a program
    {"id", "text", "tests", "language", "extract", "prompt"}  a model's whole output

`tests` are those of program_tests.py, or, for texts,
    {"kind": "answer", "expected": "42", "rule": "math-verify"}
with a rule of rules.py (`stated` unless one is named). `extract` says how the program is found:
`block` (chat style; the default), `paper` or `completion`, as in program_rules.py; `prompt` is what
the text answers: code that it continues. docs/judge.md has the whole format; judge.schema.json is
the same for machines. Other keys of a sample are left alone unless they look like a misspelt one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from verifiers.program import ProgramVerifier
from verifiers.program_rules import RULES
from verifiers.program_task import judge_text
from verifiers.program_tests import KINDS, BadTests, check_tests, refuse_unknown
from verifiers.rules import RuleOptions, UnknownRule, make_rule
from verifiers.sandbox.limits import Limits
from verifiers.verdict import Verdict, Verifier

_KEYS = ("id", "code", "text", "tests", "language", "extract", "prompt")
_ANSWER_KEYS = ("kind", "expected", "rule")
_INCLUDES = re.compile(r"^[ \t]*#[ \t]*include[ \t]*[<\"]", re.MULTILINE)


class Judge:
    """Judges samples of every kind. Holds the sandbox, and the rules that were asked for so far."""

    name = "tests"
    version = "1"
    deterministic = False

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        jobs: int | None = None,
        tier: str | None = None,
        trust: bool = False,
        run_all: bool = False,
    ) -> None:
        self.programs = ProgramVerifier(
            limits=limits, jobs=jobs, tier=tier, trust=trust, run_all=run_all
        )
        self._options = RuleOptions(tier, jobs, trust)
        self._rules: dict[str, Verifier] = {}

    async def start(self) -> None:
        """Open the sandbox; raises NoSandbox."""
        await self.programs.sandbox.start()

    async def aclose(self) -> None:
        """End every process that the judge holds."""
        await self.programs.aclose()
        for rule in self._rules.values():
            await rule.aclose()

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge an output against a problem's `tests`, `extract`, `language` and `prompt`.

        A reference that holds an `answer` instead is judged as `stated` does.
        """
        if "tests" not in reference:
            return await self._rule("stated").verify(text, reference)
        named = {name: reference[name] for name in _KEYS if name in reference}
        return await self.judge({**named, "text": text})

    async def judge(self, sample: Mapping[str, Any]) -> Verdict:
        """Judge one sample. BadTests says what is wrong with it; NoSandbox why nothing works.

        MissingPackage says what its rule is built on and is not there.
        """
        check_sample(sample)
        tests = sample["tests"]
        if tests["kind"] == "answer":
            rule = self._rule(tests.get("rule", "stated"))
            return await rule.verify(sample["text"], {"answer": _as_text(tests["expected"])})
        language = language_of(sample)
        if "code" in sample:
            return await self.programs.judge(sample["code"], tests, language)
        entry, prompt = tests.get("entry"), sample.get("prompt", "")
        how = {"rule": sample.get("extract", "block"), "entry": entry, "language": language}
        if how["rule"] == "completion" or begins(prompt, entry):
            how["before"] = prompt
        return await judge_text(self.programs, sample["text"], how, tests)

    def _rule(self, name: str) -> Verifier:
        if name not in self._rules:
            try:
                self._rules[name] = make_rule(name, self._options)
            except UnknownRule as fault:
                raise BadTests(str(fault)) from None
        return self._rules[name]


def check_sample(sample: Mapping[str, Any]) -> None:
    """BadTests with one clear sentence unless a sample has one of the shapes above."""
    for name in sample.keys() - set(_KEYS):
        near = difflib.get_close_matches(str(name), _KEYS, 1, 0.8)
        if near and near[0] not in sample:
            raise BadTests(f"`{name}` is no key of a sample; did you mean `{near[0]}`?")
    given = [name for name in ("code", "text") if name in sample]
    if len(given) != 1:
        raise BadTests("a sample needs `code`, a program, or `text`, a model's output: one of them")
    for name in (*given, "language", "extract", "prompt"):
        if name in sample and not isinstance(sample[name], str):
            raise BadTests(f"`{name}` must be text")
    if sample.get("extract", "block") not in RULES:
        raise BadTests(f"`extract` is {sample['extract']!r}: use {', '.join(RULES)}")
    tests = sample.get("tests")
    if isinstance(tests, Mapping) and tests.get("kind") == "answer":
        _check_answer(tests, "code" in sample)
    elif isinstance(tests, Mapping) and tests.get("kind") not in KINDS:
        kinds = ", ".join(KINDS)
        raise BadTests(f"`kind` of the tests is {tests.get('kind')!r}: use {kinds} or answer")
    else:
        check_tests(tests, language_of(sample))


def _check_answer(tests: Mapping[str, Any], is_code: bool) -> None:
    refuse_unknown(tests, _ANSWER_KEYS, "tests of kind answer")
    if is_code:
        raise BadTests("tests of kind answer judge a `text`, and this sample has `code`")
    expected = tests.get("expected")
    if isinstance(expected, bool) or not isinstance(expected, str | int | float):
        raise BadTests("tests of kind answer need `expected`, a text or a number")
    if not str(_as_text(expected)).strip():
        raise BadTests("`expected` is empty; no answer could be right")
    if not isinstance(tests.get("rule", ""), str):
        raise BadTests("`rule` must be the name of a rule")


def language_of(sample: Mapping[str, Any]) -> str:
    """The language that a sample names, or what its text shows: C++ where it includes headers."""
    named = str(sample.get("language", "")).lower()
    if named:
        return {"c++": "cpp", "python3": "python", "py": "python"}.get(named, named)
    shown = sample.get("code") or sample.get("text") or ""
    tests = sample.get("tests")
    is_stdio = isinstance(tests, Mapping) and tests.get("kind") == "stdio"
    is_cpp = is_stdio and isinstance(shown, str) and _INCLUDES.search(shown) and "main" in shown
    return "cpp" if is_cpp else "python"


def begins(prompt: Any, entry: Any) -> bool:
    """Whether a prompt is code that begins the function that is tested."""
    if not isinstance(prompt, str) or not isinstance(entry, str) or not entry:
        return False
    return re.search(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(entry)}\b", prompt, re.M) is not None


def _as_text(expected: Any) -> str:
    if isinstance(expected, int):
        try:
            return str(expected)
        except ValueError:  # of more digits than str() takes
            return _digits(expected)
    return str(expected)


def _digits(value: int) -> str:
    sign, value = ("-", -value) if value < 0 else ("", value)
    pieces = []
    while value:
        value, piece = divmod(value, 10**4000)
        pieces.append(str(piece).zfill(4000))
    return sign + "".join(reversed(pieces)).lstrip("0")
