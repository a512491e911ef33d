"""Stated answers: where an output states one, what it denotes, and whether it is the expected one.

In this order: `cut` leaves out what is not the solution; `find` (with `boxes`, `sentence` and
`clauses`) finds the statement; `wrapping`, `notation`, `tokens`, `expression`, `units`, `quantity`,
`matrices`, `spans`, `special` and `whole` read it as a whole into one of the `forms`; `number` and
`equal` compare exactly, `questions` gathers what exact arithmetic cannot say, and `algebra` answers
that inside the cell. `rule` is the verifier of the base install. When in doubt, nothing is stated.
The grammar is written down in docs/tasks.md.
"""

from __future__ import annotations

from verifiers.stated.rule import StatedAnswer

__all__ = ["StatedAnswer"]
