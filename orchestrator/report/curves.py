"""Coverage curves drawn in the terminal, in braille dots: two by four to a character.

k runs along a logarithmic axis, coverage up a linear one that starts at 0. Each arm has its own
colour and letter; the letters mark measured points, so that the chart also reads without colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.text import Text

from orchestrator.report.data import ArmReport
from orchestrator.report.text import percent, visible

COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red")
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def draw_curves(arms: Sequence[ArmReport], width: int = 72, height: int = 13) -> Text:
    """The arms' curves in about `width` columns and `height` rows, with axes and a legend."""
    drawn = [arm for arm in arms if arm.points]
    if not drawn:
        return Text("no coverage to draw yet")
    last = max(arm.points[-1].k for arm in drawn)
    top = _top(max(point.mean for arm in drawn for point in arm.points))
    canvas = _Canvas(max(width - 8, 10), max(height, 4))
    for number, arm in enumerate(drawn):
        places = [
            (_across(point.k, last) * (canvas.width * 2 - 1),
             (1.0 - point.mean / top) * (canvas.height * 4 - 1))
            for point in arm.points
        ]  # fmt: skip
        for start, stop in pairwise(places):
            canvas.line(start, stop, number)
        for place in places:
            canvas.mark(place, number)
    text = canvas.render(top)
    text.append("\n" + _axis(last, canvas.width) + "\n")
    for number, arm in enumerate(drawn):
        text.append(f"{'':8}{_letter(number)} ", style=COLOURS[number % len(COLOURS)])
        best = arm.points[-1]
        text.append(f"{visible(arm.label)}: {percent(best.mean)} at k = {best.k:,}\n")
    return text


class _Canvas:
    """Dots and letters on a grid of characters, each cell owned by the arm drawn last."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._dots = [[0] * width for _ in range(height)]
        self._letters = [[""] * width for _ in range(height)]
        self._owner = [[0] * width for _ in range(height)]

    def line(self, start: tuple[float, float], stop: tuple[float, float], owner: int) -> None:
        steps = max(int(max(abs(stop[0] - start[0]), abs(stop[1] - start[1]))), 1)
        for step in range(steps + 1):
            share = step / steps
            x = round(start[0] + share * (stop[0] - start[0]))
            y = round(start[1] + share * (stop[1] - start[1]))
            self._dots[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
            self._owner[y // 4][x // 2] = owner

    def mark(self, place: tuple[float, float], owner: int) -> None:
        column, row = round(place[0]) // 2, round(place[1]) // 4
        self._letters[row][column] = _letter(owner)
        self._owner[row][column] = owner

    def render(self, top: float) -> Text:
        text = Text()
        for row in range(self.height):
            share = top * (1.0 - row / (self.height - 1))
            labelled = row % max((self.height - 1) // 4, 1) == 0
            text.append(f"{100 * share:5.1f} % " if labelled else " " * 8, style="dim")
            for column in range(self.width):
                dots, letter = self._dots[row][column], self._letters[row][column]
                style = COLOURS[self._owner[row][column] % len(COLOURS)]
                text.append(letter or (chr(0x2800 + dots) if dots else " "), style=style)
            if row < self.height - 1:
                text.append("\n")
        return text


def _across(k: int, last: int) -> float:
    return math.log(k) / math.log(last) if last > 1 else 0.5


def _top(highest: float) -> float:
    """The smallest round share that holds the highest point."""
    for top in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8):
        if highest <= top:
            return top
    return 1.0


def _axis(last: int, width: int) -> str:
    line = [" "] * (width + 8)
    ks = sorted({10**power for power in range(len(str(last)))} | {last})
    end = 0
    for k in ks:
        label = f"{k:,}"
        start = min(8 + round(_across(k, last) * (width - 1)), len(line) - len(label))
        if start > end or not end:
            line[start : start + len(label)] = label
            end = start + len(label)
    return "".join(line).rstrip() + "\n" + "attempts per problem (k)".center(width + 8).rstrip()


def _letter(number: int) -> str:
    return chr(ord("A") + number % 26)
