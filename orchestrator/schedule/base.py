"""What every policy offers the engine.

A schedule is lazy and synchronous: it is asked for one draw at a time and told what became of
slots, so its memory is a few numbers per problem, however many attempts are planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ScheduleArm:
    """What a policy must know of an arm."""

    problems: int
    samples: int
    """Slots wanted per problem."""
    n_per_request: int


@dataclass(frozen=True, slots=True)
class Draw:
    """Slots `first_slot .. first_slot + n - 1` of one problem, to be bought in one request."""

    arm: int
    problem: int
    first_slot: int
    n: int


@dataclass(frozen=True, slots=True)
class Filled:
    """Slots below `next_slot` of a problem are planned already (a resumed run)."""

    arm: int
    problem: int
    next_slot: int


class Schedule(Protocol):
    """Gives out draws until the plan is done."""

    def next(self) -> Draw | None:
        """The next draw; None where nothing is left to plan for now."""
        ...

    def give_back(self, draw: Draw) -> None:
        """Slots that were given out and not planned: the next draws begin with them."""
        ...

    def close_arm(self, arm: int) -> None:
        """Give out nothing more for an arm (its own budget is reached)."""
        ...


def resume_points(filled: Sequence[Filled], arms: Sequence[ScheduleArm]) -> list[list[int]]:
    """Per arm and problem, the first slot that is not planned yet."""
    points = [[0] * arm.problems for arm in arms]
    for item in filled:
        points[item.arm][item.problem] = max(points[item.arm][item.problem], item.next_slot)
    return points
