"""Judges a stated answer (number, fraction, choice letter, short text) without any parser of
others: what the base install can judge. In doubt it says `no_answer`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from verifiers import answer_find
from verifiers.exact import bounded
from verifiers.verdict import Verdict

LONGEST_TEXT = 10_000_000
_NUMBER = re.compile(r"([-+]?)(\d[\d,]*(?:\.\d+)?|\.\d+)(?:/(\d[\d,]*))?")
_CHOICE = re.compile(r"\(?([A-J])\)?")


class StatedAnswer:
    """Passes an output whose stated answer is the reference's `answer`."""

    version = "1"
    deterministic = True

    def __init__(self, form: Literal["any", "number", "choice"] = "any") -> None:
        self.name = {"any": "stated", "number": "number", "choice": "choice"}[form]
        self._form = form

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """`no_answer` where none is stated, else `passed` or `failed`; never raises on any text."""
        found = answer_find.answer(text) if len(text) <= LONGEST_TEXT else None
        if found is None:
            return Verdict("no_answer", "the output states no final answer")
        ours, wanted = self._value(found), self._value(str(reference["answer"]))
        if ours is None:
            return Verdict("no_answer", f"{bounded(found)} is no answer as a whole")
        if ours == wanted:
            return Verdict("passed", answer=bounded(str(reference["answer"])))
        detail = f"{bounded(found)} instead of {bounded(str(reference['answer']))}"
        return Verdict("failed", detail, answer=bounded(str(ours)))

    def _value(self, text: str) -> str | Fraction | None:
        bare = answer_find.plain(text)
        number, choice = _NUMBER.fullmatch(bare), _CHOICE.fullmatch(bare.upper())
        if self._form != "choice" and number and number[2].count(",") == 0:
            lower = int(number[3]) if number[3] else 1
            value = Fraction(number[2]) / lower if lower else None
            return -value if value is not None and number[1] == "-" else value
        if self._form != "number" and choice:
            return choice[1]
        return bare or None if self._form == "any" else None

    async def aclose(self) -> None:
        """Nothing is held."""
