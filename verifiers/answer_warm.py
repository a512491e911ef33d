"""Loads and warms in a cell, before it forks, what its readings and comparisons need.

The first use of a parser in a process compiles its patterns and fills its tables, which costs
more than a hundred later uses; what is judged is forked from a process that has done so.
"""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise

_USUAL = (
    "$\\frac{1}{2}$",
    "3/4",
    "$-\\dfrac{7}{3}$",
    "$2\\sqrt{3}+x^{2}$",
    "$\\frac{x^2+1}{2y}$",
    "$(1,\\sqrt{2})$",
    "$[2,5)\\cup(7,\\infty)$",
    "$x \\in \\{1,2,3\\}$",
    "$\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}$",
    "$x=5\\text{ cm}$",
    "$50\\%$",
    "$\\pi r^2$",
    "$\\sin 30^\\circ$",
    "$\\log_2 8 + 10!$",
    "$x>3$",
    "$\\text{Tuesday}$",
    "$1,000.5$",
)


def package() -> None:
    """Read and compare expressions of the usual kinds by math-verify, each with the one before."""
    # By name: inside the cell this folder is on the path, and the package is not.
    answer_cell = import_module("answer_cell")
    before = answer_cell.read(_USUAL[0])["found"]
    for text in _USUAL:
        found = answer_cell.read(text)["found"]
        answer_cell.compare(before, found)
        before = found


def latex() -> None:
    """The same by sympy's own parser."""
    answer_cell = import_module("answer_cell")
    found = [answer_cell.read_latex(text.strip("$"))["found"] for text in _USUAL]
    for first, second in pairwise(found):
        if first and second:
            answer_cell.compare_latex(first, second)
