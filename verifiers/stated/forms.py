"""What a stated answer can denote. Every form is plain data; trees are those of `expression`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from verifiers.stated.tree import Tree


@dataclass(frozen=True, slots=True)
class Value:
    """An expression, perhaps with a unit."""

    tree: Tree
    unit: str = ""
    """In the form of `units.unit_of`; "" where none was written."""
    mark: Literal["", "%", "degree"] = ""
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Several:
    """Values side by side; `opening` and `closing` tell a list ("") from a tuple or a set."""

    parts: tuple[Answer, ...]
    opening: str = ""
    closing: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A set of real numbers: pieces (from, to, from belongs to it, to belongs to it)."""

    pieces: tuple[tuple[Tree, Tree, bool, bool], ...]
    name: str = ""
    """Of the unknown, where it was written as a relation."""


@dataclass(frozen=True, slots=True)
class Named:
    """x = 5, f(2) = 5: what stands on the right is the answer."""

    name: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Same:
    """7/2 = 3.5: several ways of writing what must be one value."""

    parts: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class About:
    """9 pi, which is about 28.27: what is exact, and the decimals that it comes to."""

    exact: Answer
    rounded: Value


@dataclass(frozen=True, slots=True)
class Equation:
    """A relation between two expressions that is no answer's name: x^2 = 5, x + y < 5."""

    left: Tree
    right: Tree
    relation: str = "="


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of expressions."""

    rows: tuple[tuple[Tree, ...], ...]


@dataclass(frozen=True, slots=True)
class OptionLetter:
    """An option's letter, perhaps with its text."""

    letter: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day."""

    hour: int
    minute: int
    half: Literal["", "am", "pm"] = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    """a : b, or of more parts."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Based:
    """Digits with the base in which they are written."""

    digits: str
    base: int
    in_words: bool = False
    """Whether the base was said ("in base 2"): such digits are no plain number."""


@dataclass(frozen=True, slots=True)
class Empty:
    """No solution; the empty set."""


@dataclass(frozen=True, slots=True)
class Words:
    """A short text without numbers, in one form."""

    text: str


Answer = (
    Value
    | Several
    | Span
    | Named
    | Same
    | About
    | Equation
    | Matrix
    | OptionLetter
    | Clock
    | Ratio
    | Based
    | Empty
    | Words
)
