"""Imported in a cell before it forks: loads and warms what every reading and comparison needs.

The first use of math-verify in a process compiles its patterns and fills its parser's tables,
which costs more than a hundred later uses; samples are forked from a process that has done so.
"""

from __future__ import annotations

import answer_cell


def warm() -> None:
    """Read and compare a few expressions of the usual kinds."""
    known = [
        answer_cell.read(text)["found"] for text in ("$\\frac{1}{2}$", "$(1,\\sqrt{2})$", "3/4")
    ]
    answer_cell.compare(known[0], known[1])
    answer_cell.compare(known[0], known[2])
    latex = [answer_cell.read_latex(text)["found"] for text in ("\\frac{1}{2}", "x+\\sqrt{2}")]
    answer_cell.compare_latex(latex[0], latex[1])


warm()
