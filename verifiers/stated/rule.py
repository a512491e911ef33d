"""The rule of the base install: a stated answer, compared by exact arithmetic and by its text.

It judges numbers, fractions, lists and intervals of them, choice letters and short texts. What
needs algebra (roots, unknowns) passes only where it is written as the reference is; otherwise it
is `no_answer`, and the rule math-verify can tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from verifiers.exact import bounded
from verifiers.stated.clauses import NotStated
from verifiers.stated.find import stated
from verifiers.stated.forms import About, Answer, Based, Named, OptionLetter, Ratio, Same, Value
from verifiers.stated.number import value
from verifiers.stated.questions import Comparison, canonical, found_for, reading, same_text
from verifiers.stated.special import integer
from verifiers.stated.tokens import NotWhole
from verifiers.verdict import Verdict

LONGEST_TEXT = 10_000_000
"""Outputs of more characters are not searched for an answer."""
LONG_FOR_THE_LOOP = 50_000
AnswerForm = Literal["any", "number", "choice"]


async def stated_in(text: str) -> str:
    """The answer that an output states; raises NotStated."""
    if len(text) > LONGEST_TEXT:
        raise NotStated(f"the output has {len(text)} characters: too many to search")
    if len(text) > LONG_FOR_THE_LOOP:
        return await asyncio.to_thread(stated, text)
    return stated(text)


class StatedAnswer:
    """Passes an output whose stated answer is the reference's `answer`."""

    version = "3"
    deterministic = True

    def __init__(self, form: AnswerForm = "any") -> None:
        self.name = {"any": "stated", "number": "number", "choice": "choice"}[form]
        self._form = form

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """`no_answer` where none is stated, else `passed` or `failed`; never raises on any text."""
        gold = str(reference["answer"])
        try:
            found = await stated_in(text)
            return self._judged(gold, found)
        except NotStated as reason:
            return Verdict("no_answer", str(reason))
        except NotWhole as reason:
            return Verdict("no_answer", f"{bounded(found)} is no answer as a whole: {reason}")

    def _judged(self, gold: str, found: str) -> Verdict:
        detail = f"{bounded(found)} instead of {bounded(gold)}"
        whole, wanted = integer(found), integer(gold)
        if whole is not None and wanted is not None and self._form != "choice":
            if whole == wanted:
                return Verdict("passed", answer=bounded(gold))
            return Verdict("failed", detail, answer=bounded(whole))
        if self._form == "any" and same_text(gold, found):
            return Verdict("passed", answer=bounded(gold))
        expected = reading(gold)
        answer = found_for(expected, found)
        if not self._is_of_the_form(answer):
            return Verdict("no_answer", f"{bounded(found)} is no {self._form}")
        same = None if expected is None else Comparison(expected, answer).by_arithmetic()
        if same:
            return Verdict("passed", answer=bounded(gold))
        if same is None and expected is not None:
            detail = f"{detail}: their equality is beyond this rule; math-verify can tell"
            return Verdict("no_answer", detail, answer=bounded(canonical(answer, found)))
        return Verdict("failed", detail, answer=bounded(canonical(answer, found)))

    def _is_of_the_form(self, answer: Answer) -> bool:
        if self._form == "choice":
            return isinstance(answer, OptionLetter)
        if self._form == "any":
            return True
        if isinstance(answer, Named):
            answer = answer.answer
        if isinstance(answer, About):
            answer = answer.exact
        if isinstance(answer, Same):
            return all(map(self._is_of_the_form, answer.parts))
        return isinstance(answer, Ratio | Based) or (
            isinstance(answer, Value) and value(answer.tree) is not None
        )

    async def aclose(self) -> None:
        """Nothing is held."""
