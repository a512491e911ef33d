"""What an answer denotes, as a tree of plain data that no text of a model gets into.

A tree is a tuple: its operation, then its parts.

    ("number", Fraction)   ("symbol", name)   ("constant", "pi" | "e" | "i" | "infinity")
    ("add", ...)  ("multiply", ...)  ("divide", a, b)  ("power", a, b)  ("root", a, n)
    ("factorial", a)  ("absolute", a)  ("floor", a)  ("ceiling", a)  ("degree", a)
    ("binomial", n, k)  ("log", a, base)  ("call", name, ...)  ("plusminus", a, b)
    ("sum", symbol, from, to, body)  ("product", ...)
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]


def number(value: int | Fraction) -> Tree:
    """The tree of a number."""
    return ("number", Fraction(value))
