"""The arithmetic that the bundled model is trained on and measured with.

A problem is a sum or a product of two or three numbers, written `12*34=`; its answer is one
fixed string, so that a model's exact chance of answering it is a product of token
probabilities. Problems that differ only in the order of their operands share a key: whoever
holds one out holds out all of them. Depends on the standard library alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One family of problems: an operation and how many digits each operand has."""

    difficulty: int
    operation: str
    digits: tuple[int, ...]


KINDS = (
    ProblemKind(1, "*", (2, 1)),
    ProblemKind(1, "+", (2, 2)),
    ProblemKind(2, "+", (2, 2, 2)),
    ProblemKind(2, "*", (2, 1, 1)),
    ProblemKind(3, "*", (2, 2)),
    ProblemKind(3, "*", (3, 1)),
    ProblemKind(4, "+", (3, 3)),
    ProblemKind(4, "+", (3, 3, 3)),
)
"""Easiest first, as the bundled model finds them."""

ProblemKey = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ArithmeticProblem:
    """One problem; `prompt` + `answer` is the whole line."""

    difficulty: int
    operation: str
    operands: tuple[int, ...]

    @property
    def prompt(self) -> str:
        return self.operation.join(map(str, self.operands)) + "="

    @property
    def answer(self) -> str:
        return str(sum(self.operands) if self.operation == "+" else math.prod(self.operands))

    @property
    def key(self) -> ProblemKey:
        """What the problem is, whatever the order of its operands."""
        return self.operation, tuple(sorted(self.operands))


def draw(kind: ProblemKind, random_state: random.Random) -> ArithmeticProblem:
    """One problem of `kind`, operands uniform, no operand 0 or 1, operands in random order."""
    operands = [
        random_state.randint(max(2, 10 ** (digits - 1)), 10**digits - 1) for digits in kind.digits
    ]
    random_state.shuffle(operands)
    return ArithmeticProblem(kind.difficulty, kind.operation, tuple(operands))


def draw_set(
    per_kind: int, random_state: random.Random, taken: Collection[ProblemKey]
) -> list[ArithmeticProblem]:
    """`per_kind` problems of every kind, no two with one key, none with a key in `taken`."""
    seen = set(taken)
    chosen = []
    for kind in KINDS:
        wanted = per_kind
        while wanted:
            problem = draw(kind, random_state)
            if problem.key not in seen:
                seen.add(problem.key)
                chosen.append(problem)
                wanted -= 1
    return chosen


def draw_training(
    count: int, random_state: random.Random, held_out: Collection[ProblemKey]
) -> list[ArithmeticProblem]:
    """`count` training problems, kinds equally often, none with a key in `held_out`."""
    chosen: list[ArithmeticProblem] = []
    while len(chosen) < count:
        problem = draw(random_state.choice(KINDS), random_state)
        if problem.key not in held_out:
            chosen.append(problem)
    return chosen
