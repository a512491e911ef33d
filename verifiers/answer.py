"""Judges final answers of maths problems, by the paper's rules or by a modern one.

    math-verify           a stated answer (verifiers.stated) that reads whole, equal by exact
                          arithmetic or by sympy's algebra on trees of plain data
    math-verify-package   the same statement, read and compared by the package math-verify alone:
                          a second opinion on what the first rule accepted
    paper (gsm8k, math)   answer_paper's reading; equal texts, or sympy simplifies the difference
                          of both parsed LaTeX expressions to zero

sympy evaluates, so it runs inside the cell alone. Where its parsers are used (the last two), text
meets them once, to be read into a tree of plain data, in a process that holds nothing else, and
the trees are compared in another. Lengths are bounded before that. Each distinct answer of a
problem is compared once; one that runs into the cell's limits is a verdict of its own.

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

from verifiers import answer_paper
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
from verifiers.shared_results import SharedResults
from verifiers.stated.clauses import NotStated
from verifiers.stated.questions import (
    Comparison,
    as_data,
    canonical,
    found_for,
    reading,
    same_text,
    voting_tree,
)
from verifiers.stated.rule import LONGEST_TEXT, stated_in
from verifiers.stated.special import integer
from verifiers.stated.tokens import NotWhole
from verifiers.verdict import Verdict, VerdictKind

LONGEST_ANSWER = 1_000
"""Longer answers that are no plain integers are not parsed."""
DEEPEST_ANSWER = 60
"""Deeper nested brackets are not parsed."""
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


class _Unread(Exception):
    """An answer is not put to a parser; says why."""


class MissingPackage(Exception):
    """A package that the rule is built on is not there; says which and how to get it."""


class AnswerVerifier(ABC):
    """What both rules share: the cell, the bounds, and one comparison per distinct answer."""

    name: str
    version = "1"
    deterministic = True
    built_on = "math-verify"
    """The distribution without which the rule cannot judge."""
    in_the_cell: tuple[str, ...] = ("answer_cell.py", "answer_warm.py")
    """The files of ours that work inside the cell."""
    preload: tuple[str, ...] = ("answer_warm",)
    warm: tuple[str, ...] = ("answer_warm:latex",)

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
        self._verdicts = SharedResults()
        self._trees = SharedResults()

    def packages(self) -> tuple[Path, ...]:
        """Where the packages lie that the rule is built on; raises MissingPackage."""
        try:
            return package_paths(self.built_on)
        except SandboxFault:
            raise MissingPackage(
                f"The rule {self.name} is built on {self.built_on}, which is not installed: "
                f"{install_command('tasks')}"
            ) from None

    async def start(self) -> None:
        """Open the cell, so that what is missing shows before the first answer is bought.

        Raises NoSandbox or MissingPackage.
        """
        tier, jobs, trust, limits = self._arguments
        if self._box is None:
            paths = [*self.packages(), *(_HERE / name for name in self.in_the_cell)]
            self._box = Sandbox(
                limits, tier, jobs=jobs, trust=trust, paths=paths,
                preload=self.preload, warm=self.warm,
            )  # fmt: skip
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
        try:
            found = await self._find(text)
        except NotStated as reason:
            return Verdict("no_answer", str(reason))
        gold = str(reference["answer"])
        key = (gold, found)
        verdict = await self._verdicts.get(key, lambda: self._judge(gold, found))
        if verdict.kind == "infra_error":
            self._verdicts.forget(key)
        return verdict

    @abstractmethod
    async def _find(self, text: str) -> str:
        """The answer that an output states; raises NotStated."""

    @abstractmethod
    async def _compare(self, gold: str, found: str) -> tuple[bool, str]:
        """Whether the two are equal, and the form in which the answer votes.

        Raises NotWhole where what was found is no answer.
        """

    async def _judge(self, gold: str, found: str) -> Verdict:
        self.comparisons += 1
        try:
            equal, form = await self._compare(gold, found)
        except NotWhole as reason:
            return Verdict("no_answer", f"{bounded(found)} is no answer as a whole: {reason}")
        except _Unread as refusal:
            return Verdict("failed", str(refusal), answer=bounded(found))
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
        return Verdict("failed", detail, answer=bounded(form or found), tier=tier)

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

    async def _find(self, text: str) -> str:
        if len(text) > LONGEST_TEXT:
            raise NotStated(f"the output has {len(text)} characters: too many to search")
        found = (
            await asyncio.to_thread(self._found, text) if len(text) > 50_000 else self._found(text)
        )
        if found is None:
            raise NotStated("the output states no final answer")
        return found

    def _found(self, text: str) -> str | None:
        if self._form == "gsm8k":
            return answer_paper.gsm8k_answer(text)
        found = answer_paper.math_answer(text)
        if found is not None and len(found) <= LONGEST_ANSWER * 10:
            found = answer_paper.normalised(found)
        return found

    def _reference(self, gold: str) -> str:
        return gold if self._form == "gsm8k" else answer_paper.normalised(gold)

    async def _compare(self, gold: str, found: str) -> tuple[bool, str]:
        if found == self._reference(gold):
            return True, found
        _refuse_unreadable(found)
        wanted, _ = await self._read("read_latex", self._reference(gold))
        trees, _ = await self._read("read_latex", found)
        if not wanted or not trees:
            return False, found
        return await self._same("compare_latex", wanted, trees, found), found


class ModernAnswer(AnswerVerifier):
    """The rule of today: what is stated, whole, and equal beyond doubt."""

    name = "math-verify"
    version = "5"
    built_on = "sympy"
    in_the_cell = ("stated/algebra.py",)
    preload, warm = ("algebra",), ("algebra:warm",)

    async def _find(self, text: str) -> str:
        return await stated_in(text)

    async def _compare(self, gold: str, found: str) -> tuple[bool, str]:
        whole, wanted = integer(found), integer(gold)
        if whole is not None and wanted is not None:
            return whole == wanted, whole
        if same_text(gold, found):
            return True, found
        _refuse_deep(found)
        expected = reading(gold)
        answer = found_for(expected, found)
        if expected is None:
            return False, canonical(answer, found)
        comparison = Comparison(expected, answer)
        settled = comparison.by_arithmetic()
        if settled is not None:
            return settled, canonical(answer, found)
        said = await self._settle(comparison, found)
        return comparison.with_answers(said[0]), canonical(answer, found, said[1])

    async def _settle(self, comparison: Comparison, found: str) -> tuple[list[bool], str]:
        """Answers to what exact arithmetic left open, and the form in which the answer votes."""
        questions = [[asked, as_data(a), as_data(b)] for asked, a, b in comparison.asked]
        tree = voting_tree(comparison.found)
        voting = None if tree is None else as_data(tree)
        value = await self._call("algebra:settle", [questions, voting], about=found)
        answers, key = (
            (value.get("answers"), value.get("key")) if isinstance(value, dict) else (0, 0)
        )
        if (
            not isinstance(answers, list)
            or len(answers) != len(questions)
            or not isinstance(key, str)
        ):
            raise _Ended(Verdict("crashed", "its comparison ended oddly", answer=bounded(found)))
        return [one is True for one in answers], key


class PackageAnswer(AnswerVerifier):
    """What the package math-verify says of the stated answer, by its own parser and comparison."""

    name = "math-verify-package"
    warm = ("answer_warm:package",)

    async def _find(self, text: str) -> str:
        return await stated_in(text)

    async def _compare(self, gold: str, found: str) -> tuple[bool, str]:
        whole, expected = integer(found), integer(gold)
        if whole is not None and expected is not None:
            return whole == expected, whole
        if same_text(gold, found):
            return True, found
        _refuse_unreadable(found)
        wanted, _ = await self._read("read", _as_formula(gold))
        trees, form = await self._read("read", _as_formula(found))
        if not wanted or not trees:
            return False, form or found
        return await self._same("compare", wanted, trees, found), form


def _as_formula(text: str) -> str:
    text = text.replace("\\$", "")
    return text if "$" in text else f"${text}$"


def _refuse_unreadable(found: str) -> None:
    """Raise _Unread for what no parser is to see."""
    if any(character < " " for character in found if character not in "\n\t\r"):
        raise _Unread("the answer holds control characters")
    if len(found) > LONGEST_ANSWER:
        raise _Unread(f"the answer has {len(found)} characters: too many to be parsed")
    _refuse_deep(found)


def _refuse_deep(found: str) -> None:
    depth = deepest = 0
    for character in found:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    if deepest > DEEPEST_ANSWER:
        raise _Unread(f"the answer nests {deepest} brackets: too deep")
