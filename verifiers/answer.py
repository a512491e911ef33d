"""Judges final answers of maths problems, by the paper's rules or by a modern one.

    paper (gsm8k, math)   answer_paper's reading; equal texts, or sympy simplifies the difference
                          of both parsed LaTeX expressions to zero
    math-verify           answer_find's reading; equal texts, equal integers, or math-verify

sympy's parsers evaluate, so text meets them only inside the cell: once to be read into a tree of
plain data, in a process that holds nothing else, and then compared, as data, in another. Lengths
are bounded before that. Each distinct answer of a problem is read and compared once; an answer
whose reading or comparison runs into the cell's limits is a verdict of its own.

A verdict's `answer` is the reference's own text for every answer that passed, and a canonical
form for the others, so that equal answers vote together.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from verifiers import answer_find, answer_forms, answer_paper
from verifiers.exact import bounded
from verifiers.install import install_command
from verifiers.sandbox import (
    CallOutcome,
    Limits,
    NoSandbox,
    Sandbox,
    SandboxFault,
    package_paths,
)
from verifiers.shared import Shared
from verifiers.verdict import Verdict, VerdictKind

LONGEST_TEXT = 10_000_000
"""Outputs of more characters are not searched for an answer."""
LONGEST_ANSWER = 1_000
"""Longer answers that are no plain integers are not parsed."""
DEEPEST_ANSWER = 60
"""Deeper nested brackets are not parsed."""
_LONG_FOR_THE_LOOP = 50_000
LIMITS = Limits(wall_s=5, cpu_s=5, memory_mb=1024, output_mb=4, processes=8)
_HERE = Path(__file__).parent

_ENDINGS: dict[str, VerdictKind] = {
    "timeout": "timeout",
    "memory": "memory",
    "fault": "infra_error",
}


class _Ended(Exception):
    """A call into the cell gave no value; carries the verdict that this means."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.detail)
        self.verdict = verdict


class MissingPackage(Exception):
    """A package that the rule is built on is not there; says which and how to get it."""


class AnswerVerifier(ABC):
    """What both rules share: the cell, the bounds, and one comparison per distinct answer."""

    name: str
    version = "1"
    deterministic = True

    def __init__(
        self,
        *,
        sandbox: str | None = None,
        jobs: int | None = None,
        trust: bool = False,
        limits: Limits = LIMITS,
    ) -> None:
        self.comparisons = 0
        """How many pairs of a reference and an answer were judged, not counting repeats."""
        self._arguments = (sandbox, jobs, trust, limits)
        self._box: Sandbox | None = None
        self._verdicts = Shared()
        self._trees = Shared()

    def packages(self) -> tuple[Path, ...]:
        """Where the packages lie that the rule is built on; raises MissingPackage."""
        try:
            return package_paths("math-verify")
        except SandboxFault:
            raise MissingPackage(
                f"The rule {self.name} is built on math-verify, which is not installed: "
                f"{install_command('tasks')}"
            ) from None

    async def start(self) -> None:
        """Open the cell, so that what is missing shows before the first answer is bought.

        Raises NoSandbox or MissingPackage.
        """
        tier, jobs, trust, limits = self._arguments
        if self._box is None:
            paths = [*self.packages(), _HERE / "answer_cell.py", _HERE / "answer_warm.py"]
            self._box = Sandbox(
                limits, tier, jobs=jobs, trust=trust, paths=paths, preload=("answer_warm",)
            )
        await self._box.start()

    async def aclose(self) -> None:
        """End the cell and every process in it."""
        await self._verdicts.aclose()
        await self._trees.aclose()
        if self._box is not None:
            await self._box.aclose()
            self._box = None

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge an output against the reference's `answer`. NoSandbox if there is no cell."""
        if len(text) > LONGEST_TEXT:
            return Verdict("failed", f"the output has {len(text)} characters: too many to search")
        if len(text) > _LONG_FOR_THE_LOOP:
            found = await asyncio.to_thread(self._find, text)
        else:
            found = self._find(text)
        if found is None:
            return Verdict("no_answer", "the output states no final answer")
        gold = str(reference["answer"])
        key = (gold, found)
        verdict = await self._verdicts.get(key, lambda: self._judge(gold, found))
        if verdict.kind == "infra_error":
            self._verdicts.forget(key)
        return verdict

    @abstractmethod
    def _find(self, text: str) -> str | None:
        """The answer that an output states, or None."""

    def _text(self, found: str) -> str:
        """The form in which an answer votes that is not read."""
        return found

    @abstractmethod
    def _equal_texts(self, gold: str, found: str) -> bool | None:
        """Whether the texts alone decide, and how."""

    @abstractmethod
    async def _compare(self, gold: str, found: str) -> tuple[bool, str]:
        """Whether the two are equal, and the form in which the answer votes."""

    async def _judge(self, gold: str, found: str) -> Verdict:
        self.comparisons += 1
        equal, canonical = self._equal_texts(gold, found), self._text(found)
        if equal is None:
            refusal = _unreadable(found)
            if refusal:
                return Verdict("failed", refusal, answer=bounded(found))
            try:
                equal, canonical = await self._compare(gold, found)
            except _Ended as ended:
                return ended.verdict
            except NoSandbox:
                raise
            except SandboxFault as fault:
                return Verdict("infra_error", str(fault))
        tier = self._box.tier if self._box is not None else ""
        if equal:
            return Verdict("passed", answer=bounded(gold), tier=tier)
        detail = f"{bounded(found)} instead of {bounded(gold)}"
        return Verdict("failed", detail, answer=bounded(canonical or found), tier=tier)

    async def _read(self, entry: str, text: str) -> tuple[list[Any], str]:
        """The trees of a text, and its canonical form; each text is read once."""
        return await self._trees.get((entry, text), lambda: self._read_now(entry, text))

    async def _read_now(self, entry: str, text: str) -> tuple[list[Any], str]:
        value = await self._call(f"answer_cell:{entry}", [text], about=text)
        found, key = (value.get("found"), value.get("key")) if isinstance(value, dict) else (0, 0)
        if not isinstance(found, list) or not isinstance(key, str):
            raise _Ended(Verdict("crashed", "its reading ended oddly", answer=bounded(text)))
        return found, key

    async def _same(self, entry: str, gold: list[Any], found: list[Any], about: str) -> bool:
        return (await self._call(f"answer_cell:{entry}", [gold, found], about=about)) is True

    async def _call(self, entry: str, arguments: list[Any], about: str) -> Any:
        await self.start()
        assert self._box is not None
        outcomes: list[CallOutcome] = await self._box.tool(entry=entry, args=[arguments])
        outcome = outcomes[0]
        if outcome.status == "returned":
            return outcome.value
        answer = bounded(about)
        if outcome.status == "raised":
            raise _Ended(Verdict("failed", f"cannot be compared: {outcome.detail}", answer=answer))
        ended = outcome.whole.status
        kind = _ENDINGS.get(ended, "crashed")
        detail = f"comparing the answer: {outcome.whole.detail or ended}"
        raise _Ended(Verdict(kind, detail, answer=answer, tier=outcome.whole.tier))


def _unreadable(found: str) -> str:
    if any(character < " " for character in found if character not in "\n\t\r"):
        return "the answer holds control characters"
    if len(found) > LONGEST_ANSWER:
        return f"the answer has {len(found)} characters: too many to be parsed"
    depth = deepest = 0
    for character in found:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return f"the answer nests {deepest} brackets: too deep" if deepest > DEEPEST_ANSWER else ""


class PaperAnswer(AnswerVerifier):
    """The rules of "Large Language Monkeys" for GSM8K and MATH.

    Differences from the released code: a reading or comparison over five seconds of processor
    time is a `timeout` (there: wrong), and answers beyond the bounds above are wrong unparsed.
    """

    def __init__(
        self,
        form: Literal["gsm8k", "math"],
        *,
        sandbox: str | None = None,
        jobs: int | None = None,
        trust: bool = False,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(sandbox=sandbox, jobs=jobs, trust=trust, limits=limits)
        self._form = form
        self.name = "paper"

    def packages(self) -> tuple[Path, ...]:
        """Where the packages lie that the rule is built on; raises MissingPackage."""
        try:
            parser = version("antlr4-python3-runtime")
        except PackageNotFoundError:
            parser = "none"
        if not parser.startswith("4.11"):
            raise MissingPackage(
                "The paper's rule parses LaTeX with sympy, which asks for antlr4-python3-runtime "
                f"4.11, and here is {parser}: pip install antlr4-python3-runtime==4.11.0."
            )
        return super().packages()

    def _find(self, text: str) -> str | None:
        if self._form == "gsm8k":
            return answer_paper.gsm8k_answer(text)
        found = answer_paper.math_answer(text)
        if found is not None and len(found) <= LONGEST_ANSWER * 10:
            found = answer_paper.normalised(found)
        return found

    def _reference(self, gold: str) -> str:
        return gold if self._form == "gsm8k" else answer_paper.normalised(gold)

    def _equal_texts(self, gold: str, found: str) -> bool | None:
        return True if found == self._reference(gold) else None

    async def _compare(self, gold: str, found: str) -> tuple[bool, str]:
        wanted, _ = await self._read("read_latex", self._reference(gold))
        trees, _ = await self._read("read_latex", found)
        if not wanted or not trees:
            return False, found
        return await self._same("compare_latex", wanted, trees, found), found


class ModernAnswer(AnswerVerifier):
    """The rule on math-verify."""

    name = "math-verify"
    version = "2"

    def _find(self, text: str) -> str | None:
        found = answer_find.answer(text)
        return None if found is None else answer_forms.common(found)

    def _text(self, found: str) -> str:
        return answer_find.integer(found) or answer_find.plain(found)

    def _equal_texts(self, gold: str, found: str) -> bool | None:
        gold = answer_forms.common(gold)
        whole, wanted = answer_find.integer(found), answer_find.integer(gold)
        if whole is not None and wanted is not None:
            return whole == wanted
        if answer_forms.other_brackets(gold, found):
            return False
        based = answer_forms.same_base(gold, found)
        if based is not None:
            return based
        return True if answer_find.plain(found) == answer_find.plain(gold) else None

    async def _compare(self, gold: str, found: str) -> tuple[bool, str]:
        gold, found = (one.replace("\\$", "") for one in (answer_forms.common(gold), found))
        wanted, _ = await self._read("read", gold if "$" in gold else f"${gold}$")
        trees, canonical = await self._read("read", found)
        if not wanted or not trees:
            return False, canonical or answer_find.plain(found)
        return await self._same("compare", wanted, trees, found), canonical
