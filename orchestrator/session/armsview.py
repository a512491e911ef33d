"""The arms of a running study, one aligned row each, as wide as the terminal.

Every figure is what the store or the ledger has: slots on disk, verdicts, settled dollars. What a
width has no room for is left out whole, the least telling first: nothing is cut short.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from budgets.ledger import Ledger
from orchestrator.engine.counters import ArmCounts, RunState
from orchestrator.report.text import alike, percent, visible
from orchestrator.store.schema import arm_scope

BARS = "▁▂▃▄▅▆▇█"
STEPS = 12
"""Points of a sparkline over an arm's plan."""
WIDEST_NAME = 28
MOST_DECIMALS = 8


@dataclass(slots=True)
class _Seen:
    """What was seen of an arm while it went on."""

    tokens: int = 0
    filled: int = 0
    spent: int = 0
    solved: list[float] = field(default_factory=list)
    """Share of problems solved at each twelfth of the plan."""


class ArmsView:
    """Draws the arms; remembers how their coverage rose."""

    def __init__(self, state: RunState, ledger: Ledger) -> None:
        self._state = state
        self._ledger = ledger
        self._began = time.monotonic()
        self._seen: list[_Seen] = []

    def table(self, width: int) -> Table:
        """The arms in `width` columns."""
        if len(self._seen) != len(self._state.arms):
            self._seen = [
                _Seen(arm.lengths.tokens, arm.filled, self._spent(number))
                for number, arm in enumerate(self._state.arms)
            ]
        rows = [self._row(number, arm) for number, arm in enumerate(self._state.arms)]
        _priced(rows)
        shown = _fitting(rows, width)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
        for name in shown:
            left = name in ("arm", "solved")
            table.add_column(name, justify="left" if left else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(row[name]) for name in shown))
        return table

    def _row(self, number: int, arm: ArmCounts) -> dict[str, Any]:
        """The cells of one arm; dollars as picodollars."""
        seen = self._seen[number]
        solved, problems = sum(map(bool, arm.passed)), max(len(arm.judged), 1)
        share, done = solved / problems, arm.filled / max(arm.planned, 1)
        while len(seen.solved) < int(done * STEPS):
            seen.solved.append(share)
        took_s = max(time.monotonic() - self._began, 0.001)
        spent = self._spent(number)
        name = visible(arm.label).replace("\n", " ")
        row: dict[str, Any] = {
            "arm": name if len(name) <= WIDEST_NAME else name[: WIDEST_NAME - 1] + "…",
            "done": f"{100 * done:.0f} %",
            "solved": f"{_spark([*seen.solved, share])} {percent(share)}",
            "problems": f"{solved:,}/{problems:,}",
            "samples": f"{arm.filled:,}",
            "each": f"{min(arm.judged, default=0):,}",
            "in flight": f"{arm.in_flight:,}",
            "errors": f"{arm.errors:,}",
            "tokens/s": f"{(arm.lengths.tokens - seen.tokens) / took_s:,.0f}",
        }
        if spent:
            row |= {
                "spent": spent,
                "$/min": round(60 * (spent - seen.spent) / took_s),
                "projected": round(spent / done) if done else "-",
                "$/solve": spent // solved if solved else "-",
            }
        return row

    def _spent(self, number: int) -> int:
        money = self._ledger.totals(arm_scope(number))
        return money.settled + money.uncertain


ORDER = ("arm", "done", "solved", "problems", "samples", "each", "in flight", "tokens/s", "spent",
         "$/min", "projected", "$/solve", "errors")  # fmt: skip
LEAST_TELLING = ("samples", "in flight", "problems", "$/min", "each", "tokens/s", "spent",
                 "$/solve", "errors", "projected")  # fmt: skip


def _priced(rows: Sequence[dict[str, Any]]) -> None:
    """Write out the dollars of every column, each column in one format."""
    for name in ("spent", "$/min", "projected", "$/solve"):
        shown = alike((row[name] for row in rows if isinstance(row.get(name), int)), MOST_DECIMALS)
        for row in rows:
            if isinstance(row.get(name), int):
                row[name] = shown(row[name])


def _fitting(rows: Sequence[dict[str, str]], width: int) -> list[str]:
    """The columns that fit, in order."""
    shown = [name for name in ORDER if all(name in row for row in rows)]

    def wide() -> int:
        # Three columns between two, and one at the edge.
        return 1 + sum(max(len(name), *(len(row[name]) for row in rows)) + 3 for name in shown)

    for name in LEAST_TELLING:
        if not rows or wide() <= width:
            break
        if name in shown:
            shown.remove(name)
    return shown


def _spark(shares: Sequence[float]) -> str:
    """Bars for shares between 0 and 1, the latest last."""
    return "".join(BARS[min(int(share * len(BARS)), len(BARS) - 1)] for share in shares[-STEPS:])
