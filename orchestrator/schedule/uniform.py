"""`uniform`: the same number of attempts for every problem, breadth first, in whole rounds.

A round gives every problem of an arm the next `n_per_request` slots. With several arms, the arm
whose plan has advanced least goes next, so that a cap that cuts the run cuts all alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from orchestrator.schedule.base import Draw, Filled, ScheduleArm, resume_points


class _ArmRounds:
    """The rounds of one arm."""

    def __init__(self, number: int, arm: ScheduleArm, points: list[int]) -> None:
        self._number = number
        self._arm = arm
        self._points = points
        self._target = 0
        self._problem = arm.problems
        self._planned = sum(min(point, arm.samples) for point in points)
        self.closed = False

    @property
    def progress(self) -> float:
        return self._planned / (self._arm.problems * self._arm.samples)

    def next(self) -> Draw | None:
        arm = self._arm
        while not self.closed:
            if self._problem == arm.problems:
                lowest = min(self._points, default=arm.samples)
                if lowest >= arm.samples:
                    return None
                self._target = min(lowest + arm.n_per_request, arm.samples)
                self._problem = 0
            point = self._points[self._problem]
            if point < self._target:
                n = min(arm.n_per_request, self._target - point)
                self._points[self._problem] = point + n
                self._planned += n
                return Draw(self._number, self._problem, point, n)
            self._problem += 1
        return None


class Uniform:
    """Breadth-first rounds over every arm, in proportion."""

    def __init__(self, arms: Sequence[ScheduleArm], filled: Sequence[Filled] = ()) -> None:
        points = resume_points(filled, arms)
        self._arms = [_ArmRounds(i, arm, points[i]) for i, arm in enumerate(arms)]
        self._open = list(self._arms)
        self._returned: deque[Draw] = deque()

    def next(self) -> Draw | None:
        if self._returned:
            return self._returned.popleft()
        while self._open:
            arm = min(self._open, key=lambda rounds: rounds.progress)
            draw = arm.next()
            if draw is not None:
                return draw
            self._open.remove(arm)
        return None

    def give_back(self, draw: Draw) -> None:
        self._returned.appendleft(draw)

    def close_arm(self, arm: int) -> None:
        self._arms[arm].closed = True
        self._returned = deque(draw for draw in self._returned if draw.arm != arm)
