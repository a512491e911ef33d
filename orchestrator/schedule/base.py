"""What every policy offers, and how several arms share one run.

A policy decides which attempt of its arm comes next. It is lazy and synchronous: asked for one
draw at a time, told what became of slots, so its memory is a few numbers per problem, however
many attempts are planned. The schedule asks the arm whose plan has advanced least first, so that
a cap that cuts the run cuts all arms alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec


class Draw(msgspec.Struct, frozen=True):
    """Slots `first_slot .. first_slot + n - 1` of one problem, to be bought in one request."""

    arm: int
    problem: int
    first_slot: int
    n: int


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """What a policy must know of its arm."""

    number: int
    problems: int
    samples: int
    """Slots wanted per problem."""
    n_per_request: int
    seed: int
    """For policies that shuffle."""
    planned: Sequence[int]
    """Per problem, the first slot that is not planned yet: not 0 in a resumed run."""
    fitting: Callable[[Sequence[int]], int] | None = None
    """Attempts that the money left buys at each of these problems, as `round_n` says."""

    def round_n(self, problems: Sequence[int]) -> int:
        """Attempts per request for a round over `problems`, so that the money completes it.

        0: give out nothing until something comes back, then ask again.
        """
        fits = self.n_per_request if self.fitting is None else self.fitting(problems)
        return min(fits, self.n_per_request)


class Policy(Protocol):
    """Gives out the draws of one arm."""

    estimators: tuple[str, ...]
    """What estimates coverage from its draws, the preferred first: see analysis/pairing.py."""

    done: bool
    """Nothing will ever be given out again."""

    @property
    def progress(self) -> float:
        """The share of the plan that was given out, 0 to 1."""
        ...

    def next(self) -> Draw | None:
        """The next draw; None where nothing can be given out before something is judged."""
        ...

    def resolved(self, problem: int, slot: int, passed: bool | None) -> None:
        """What became of a slot; None: censored, never filled, or never judged."""
        ...

    def paid(self, problem: int, n: int, cost: int) -> None:
        """`n` attempts at a problem cost so many picodollars."""
        ...


class Schedule:
    """The arms of a run, in proportion."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = list(policies)
        self._open = set(range(len(policies)))
        self._returned: deque[Draw] = deque()
        self._waiting: set[int] = set()

    def next(self) -> Draw | None:
        """The next draw of any arm; None where nothing is to be planned for now."""
        for index, draw in enumerate(self._returned):
            if draw.arm not in self._waiting:
                del self._returned[index]
                return draw
        able: Iterable[int] = self._open - self._waiting if self._waiting else self._open
        if len(self._open) > 1:
            able = sorted(able, key=lambda number: self._policies[number].progress)
        for arm in able:
            found = self._policies[arm].next()
            if found is not None:
                return found
            if self._policies[arm].done:
                self._open = self._open - {arm}
        return None

    def left(self, arm: int) -> int | None:
        """Slots of an arm not given out; None where what comes next depends on outcomes."""
        left: int | None = getattr(self._policies[arm], "left", None)
        if left is None:
            return None
        return left + sum(draw.n for draw in self._returned if draw.arm == arm)

    def rest(self, arm: int) -> list[Draw]:
        """Take all that is left of an arm; what is not asked now is to be given back."""
        draws = [draw for draw in self._returned if draw.arm == arm]
        self._returned = deque(draw for draw in self._returned if draw.arm != arm)
        while (draw := self._policies[arm].next()) is not None:
            draws.append(draw)
        return draws

    def give_back(self, draw: Draw) -> None:
        """Slots that were given out and not planned: the next draws begin with them."""
        self._returned.appendleft(draw)

    def pause_arm(self, arm: int) -> None:
        """Give out nothing of an arm until `go_on` (it waits for money that others do not need)."""
        self._waiting.add(arm)

    def go_on(self, arm: int) -> None:
        """An arm may be asked again."""
        self._waiting.discard(arm)

    def close_arm(self, arm: int) -> None:
        """Give out nothing more for an arm (its own budget is reached)."""
        self._open.discard(arm)
        self._returned = deque(draw for draw in self._returned if draw.arm != arm)

    def finished(self, arm: int) -> bool:
        """Whether nothing more will be given out for an arm, as far as is known."""
        given = arm not in self._open or self._policies[arm].progress >= 1.0
        return given and not any(draw.arm == arm for draw in self._returned)

    def resolved(self, arm: int, problem: int, slot: int, passed: bool | None) -> None:
        """Tell an arm's policy what became of a slot."""
        self._policies[arm].resolved(problem, slot, passed)

    def paid(self, arm: int, problem: int, n: int, cost: int) -> None:
        """Tell an arm's policy what attempts cost."""
        self._policies[arm].paid(problem, n, cost)
