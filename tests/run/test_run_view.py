"""The live view: every figure is the ledger's or the store's, and nothing is cut at any width."""

from __future__ import annotations

import random
from io import StringIO

import pytest
from rich.console import Console

from budgets.ledger import Ledger
from orchestrator.engine.counters import RunState, arm_counts
from orchestrator.session.armsview import ArmsView
from orchestrator.session.progress import LINE_WIDTH, Progress


class Nowhere:
    """A journal for a ledger that nobody reads back."""

    def append(self, event: object) -> None:
        pass

    async def durable(self) -> None:
        pass

    def events(self) -> list:
        return []


def made() -> tuple[RunState, Ledger]:
    draw, state = random.Random(0), RunState([])
    ledger = Ledger.open(Nowhere(), {"run": 50 * 10**12})
    for number, name in enumerate(("small, temperature 1.0", "small, temperature 0.7", "large")):
        arm = arm_counts(name, 50, 128)
        arm.filled, arm.in_flight = 64 * 50, 8
        arm.judged = [25] * 128
        arm.passed = [int(draw.random() < 0.3) for _ in range(128)]
        arm.lengths.add(1280, 128_000)
        state.arms.append(arm)
        reservation = ledger.reserve(10**12, (f"arm:{number}",), "made")
        ledger.settle(reservation, 5 * 10**11)
    state.in_flight = 24
    state.failed(0, "RateLimited", "429: too many")
    return state, ledger


@pytest.mark.parametrize("width", [60, 80, 100, 120, 140, 200])
def test_no_figure_is_cut_at_any_width(width: int) -> None:
    state, ledger = made()
    console = Console(width=width, record=True, file=StringIO())
    console.print(ArmsView(state, ledger).table(width))
    text = console.export_text()
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    assert text.count("50 %") == 3 and "small, temperature 0.7" in text
    assert ("$0.50" in text) == (width >= 100)
    assert ("$1.00" in text) == (width >= 80)


def test_errors_stand_by_their_arm_and_the_last_is_told() -> None:
    state, ledger = made()
    for arm, kind, said in (
        (0, "RateLimited", "429: too many"),
        (1, "Overloaded", "503: starting"),
        (1, "Overloaded", "503: starting"),
        (2, "Timeout", "no answer within 60 s"),
    ):
        state.failed(arm, kind, said)
    console = Console(width=140, record=True, file=StringIO())
    console.print(Progress(state, ledger, [], "live", console, lambda: "")._table())
    lines = console.export_text().splitlines()
    (head,) = (line for line in lines if "errors" in line)
    assert head.rstrip().endswith("errors")
    counted = [line.split()[-1] for line in lines[lines.index(head) + 2 :][:3]]
    assert counted == ["2", "2", "1"] and sum(map(int, counted)) == sum(state.failures.values())
    assert any("last error" in line and "no answer within 60 s" in line for line in lines)


def test_the_dollars_of_a_column_have_one_format() -> None:
    state, ledger = made()
    rows = [ArmsView(state, ledger).table(200)]
    console = Console(width=200, record=True, file=StringIO())
    console.print(rows[0])
    solves = [cell for cell in console.export_text().split() if cell.startswith("$0.01")]
    assert len(solves) == 3 and len({len(cell) for cell in solves}) == 1


def test_plain_lines_fit_120_columns() -> None:
    state, ledger = made()
    progress = Progress(state, ledger, [], "plain", Console(), lambda: "")
    lines = progress.line().splitlines()
    assert len(lines) > 1 and all(len(line) <= LINE_WIDTH for line in lines)
    for told in ("9600/19200 samples", "24 in flight", "$1.50 of $50.00", "429: too many"):
        assert any(told in line for line in lines)


def test_after_ctrl_c_the_view_says_what_it_waits_for() -> None:
    state, ledger = made()
    state.stopping = True
    said = Progress(state, ledger, [], "plain", Console(), lambda: "").limited_by()
    assert "waits for 24 in flight" in said and "again" in said
