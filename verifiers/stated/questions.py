"""Comparing two texts: what exact arithmetic settles at once, and what is left to be asked.

A comparison is run once with `same_numbers`, which notes what it could not say; whoever can
answers those questions, and the comparison is run again with the answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

from verifiers.stated.equal import Question, equal, same_numbers
from verifiers.stated.forms import Answer, Based, Named, Value, Words
from verifiers.stated.notation import plain_notation
from verifiers.stated.number import value
from verifiers.stated.special import LONGEST, digits_of, words_of
from verifiers.stated.tokens import NotWhole
from verifiers.stated.tree import Tree
from verifiers.stated.whole import read
from verifiers.stated.wrapping import bare_words, unwrapped

_SPACES = re.compile(r"(?<![^\W_]) | (?![^\W_])")
_WORD = re.compile(r"[A-Z][A-Za-z]+")
OpenQuestion = tuple[Question, Tree, Tree]


@dataclass
class Comparison:
    """One gold against one stated answer."""

    gold: Answer
    found: Answer
    asked: list[OpenQuestion] = field(default_factory=list)
    """What exact arithmetic could not say of two expressions."""

    def by_arithmetic(self) -> bool | None:
        """The result, or None where `asked` now holds what is to be answered first."""
        self.asked.clear()

        def noting(question: Question, gold: Tree, found: Tree) -> bool | None:
            known = same_numbers(question, gold, found)
            if known is None and (question, gold, found) not in self.asked:
                self.asked.append((question, gold, found))
            return known

        return equal(self.gold, self.found, noting)

    def with_answers(self, answers: list[bool]) -> bool:
        """The result by answers to all that was asked, in its order."""
        known = dict(zip(self.asked, answers, strict=True))

        def told(question: Question, gold: Tree, found: Tree) -> bool | None:
            said = same_numbers(question, gold, found)
            return known.get((question, gold, found)) if said is None else said

        # What is still unknown now is in doubt, and in doubt nothing passes.
        return equal(self.gold, self.found, told) is True


def found_for(expected: Answer | None, found: str) -> Answer:
    """What was found denotes, as words where words are expected; raises NotWhole."""
    if isinstance(expected, Words):
        return words_of(found) or read(found)
    if isinstance(expected, Based):
        return digits_of(found, expected.base) or read(found)
    return read(found)


@lru_cache(maxsize=2_000)
def reading(text: str) -> Answer | None:
    """What a reference denotes; None where it does not read whole: then only its text counts."""
    if _WORD.fullmatch(text.strip()):
        # "Yes" is no product of letters, and AB is not BA.
        return words_of(text)
    try:
        return read(text)
    except NotWhole:
        return None


def same_text(gold: str, found: str) -> bool:
    """Whether two answers are written alike, but for spacing, wrapping and sized brackets."""
    if gold == found or _plain(gold) == _plain(found) != "":
        return True
    # \text{June 20} and June 20; \text{Yes} where "Yes" could be a product of letters.
    if len(gold) > LONGEST or len(found) > LONGEST:
        return False
    wanted, given = _told(gold), _told(found)
    if len(wanted) <= 3 and wanted.lower() not in ("yes", "no"):
        # ab and AB are two products of letters.
        return wanted == given != ""
    return wanted.lower() == given.lower() != ""


def _told(text: str) -> str:
    """An answer that is told in words, without its commands; "" for mathematics."""
    flat = bare_words(unwrapped(plain_notation(text)))
    return flat if re.fullmatch(r"[A-Za-z]{2,}(?:[ ,]+(?:[A-Za-z]+|\d+))*", flat) else ""


def _plain(text: str) -> str:
    if len(text) > 10 * LONGEST or text.count("$$") % 2:
        return text.strip()
    plain = unwrapped(plain_notation(text)).replace("\\!", "")
    for gone in ("\\$", "$", "\\,", "\\;", "\\ "):
        plain = plain.replace(gone, " ")
    # Between two letters or digits a space means something: 2 7/8 is not 27/8.
    return _SPACES.sub("", " ".join(plain.split())).strip()


def canonical(found: Answer, text: str, key: str = "") -> str:
    """The form in which an answer votes that is not the gold."""
    if isinstance(found, Named):
        found = found.answer
    if isinstance(found, Value):
        exact = value(found.tree)
        if exact is not None and not found.mark:
            return number_text(exact)
        if key and not found.mark:
            return key
    return _plain(text)


def number_text(exact: Fraction) -> str:
    """A number's exact text: its digits where it is whole, else a fraction."""
    if exact.denominator == 1:
        return _digits(exact.numerator)
    return f"{_digits(exact.numerator)}/{_digits(exact.denominator)}"


def _digits(number: int) -> str:
    return str(number) if number.bit_length() < 10_000 else hex(number)


def voting_tree(found: Answer) -> Tree | None:
    """The tree by whose algebra an answer votes, where it has one."""
    if isinstance(found, Named):
        found = found.answer
    return found.tree if isinstance(found, Value) else None


def as_data(tree: Tree) -> list[Any]:
    """A tree as plain JSON data; a number becomes its two parts in hexadecimal."""
    if tree[0] == "number":
        return ["number", hex(tree[1].numerator), hex(tree[1].denominator)]
    return [as_data(part) if isinstance(part, tuple) else part for part in tree]
