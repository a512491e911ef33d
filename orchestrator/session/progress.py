"""The live view: what a run spent, did, and waits for, as far as it is durable.

On a terminal a table redrawn a few times a second; elsewhere one plain line every few seconds;
both on standard error, so that standard output stays free for results.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from budgets.ledger import Ledger
from orchestrator.engine.counters import ArmCounts, RunState
from orchestrator.plan.ready import ReadyArm
from orchestrator.report.text import dollars, percent, say, span, visible
from orchestrator.session.armsview import ArmsView

REDRAW_S = 0.5
LINE_S = 5.0
MOST_SHARE = 0.04
"""The most of the event loop's time that drawing takes."""
RATE_WINDOW_S = 15.0
LINE_WIDTH = 120
MOST_AGENTS = 8

Display = Literal["auto", "live", "plain", "none"]


class Progress:
    """Shows a run's state until it is stopped."""

    def __init__(
        self,
        state: RunState,
        ledger: Ledger,
        arms: list[ReadyArm],
        display: Display,
        console: Console,
        waits_for_servers: Callable[[], str],
    ) -> None:
        """`waits_for_servers`: which servers are looked for, in words; empty: none."""
        self._state = state
        self._ledger = ledger
        self._arms = arms
        self._console = console
        self._waits_for_servers = waits_for_servers
        self._live = display == "live" or (display == "auto" and console.is_terminal)
        self._silent = display == "none"
        self._marks: deque[tuple[float, int]] = deque()
        self._told = 0
        self._arms_view = ArmsView(state, ledger)

    async def show(self) -> None:
        """Redraw until cancelled; the last state is shown once more at the end."""
        if self._silent:
            await asyncio.Event().wait()
        if not self._live:
            await self._lines()
            return
        with Live(self._table(), console=self._console, auto_refresh=False, transient=True) as live:
            try:
                pause_s = REDRAW_S
                while True:
                    await asyncio.sleep(pause_s)
                    began = time.thread_time()
                    live.update(self._table(), refresh=True)
                    # However many arms there are, the loop is for the answers.
                    pause_s = max(REDRAW_S, (time.thread_time() - began) / MOST_SHARE)
            finally:
                live.update(self._table(), refresh=True)

    async def _lines(self) -> None:
        try:
            while True:
                await asyncio.sleep(LINE_S)
                self._say()
        finally:
            self._say()

    def _say(self) -> None:
        for note in self._state.notes[self._told :]:
            say(self._console, f"note: {note}")
        self._told = len(self._state.notes)
        say(self._console, self.line())

    def line(self) -> str:
        """The state as plain text, in as few lines of 120 columns as hold it."""
        state, money = self._state, self._ledger.totals()
        cap = "" if money.cap is None else f" of {dollars(money.cap)}"
        parts = [
            f"{state.filled}/{state.planned} samples",
            in_flight(state),
            f"{self.rate():.0f}/s",
            f"{state.judged} judged",
            f"spent {dollars(money.settled)}{cap}"
            f" (reserved {dollars(money.reserved)}, uncertain {dollars(money.uncertain)})",
            *(f"{visible(arm.label)}: {coverage_so_far(arm)}" for arm in state.arms),
        ]
        if agents := agents_at_work(state):
            parts.append(agents)
        refusals = state.refusals.most_common(4)
        if refusals:
            parts.append(", ".join(f"{one.count} {one.plain}" for one in refusals))
            parts.append(visible(f"commonest: {refusals[0].said}"))
        if state.servers is not None:
            parts.append(visible(state.servers()))
        parts.append(self.limited_by())
        parts.append(f"{span(self.remaining_s())} left")
        return _wrapped(parts)

    def _table(self) -> Group:
        state, money = self._state, self._ledger.totals()
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="bold")
        facts.add_column()
        wide = max(self._console.width - 14, 20)
        bar = ProgressBar(total=max(1, state.planned), completed=state.filled, width=wide)
        facts.add_row("samples", bar)
        facts.add_row("", f"{state.filled:,} of {state.planned:,}, {in_flight(state)}, "
                          f"{state.judged:,} judged, {self.rate():,.0f} a second")  # fmt: skip
        cap = "no cap" if money.cap is None else f"cap {dollars(money.cap)}"
        facts.add_row(
            "dollars",
            f"spent {dollars(money.settled)}, reserved {dollars(money.reserved)}, "
            f"uncertain {dollars(money.uncertain)}, {cap}",
        )
        if state.servers is not None:
            facts.add_row("servers", Text(visible(state.servers())))
        for attempt in sorted(state.live(), key=lambda one: -one.seconds)[:MOST_AGENTS]:
            facts.add_row(
                f"attempt {attempt.attempt}",
                Text(
                    f"{visible(attempt.problem)}: {attempt.calls} calls, {dollars(attempt.usd)}, "
                    + span(attempt.seconds)
                    + (", waits for an answer" if attempt.waiting else "")
                ),
            )
        if limit := self.limited_by():
            facts.add_row("limited by", Text(limit))
        if state.failures:
            facts.add_row(
                "failures",
                f"{sum(state.failures.values())}; {state.retried} tried again, "
                f"{state.unfilled} slots given up",
            )
            commonest = state.refusals.most_common(2)
            for one in commonest:
                facts.add_row("", Text(visible(one.sentence().replace("\n", " "))))
            if state.last_error not in (one.said for one in commonest):
                last = Text(visible(state.last_error.replace("\n", " ")))
                facts.add_row("last error", last)
        facts.add_row("time", f"{span(time.monotonic() - state.started)} so far, "
                              f"{span(self.remaining_s())} left")  # fmt: skip
        notes = [Text(f"note: {visible(note)}", style="yellow") for note in state.notes[-3:]]
        return Group(facts, self._arms_view.table(self._console.width), *notes)

    def rate(self) -> float:
        """Samples a second over the last while."""
        now = time.monotonic()
        self._marks.append((now, self._state.filled))
        while now - self._marks[0][0] > RATE_WINDOW_S:
            self._marks.popleft()
        first = self._marks[0]
        if now - first[0] < 0.5:
            done = self._state.filled - self._state.filled_before
            return done / max(0.001, now - self._state.started)
        return (self._state.filled - first[1]) / (now - first[0])

    def remaining_s(self) -> float | None:
        """Seconds until the plan is done, or the money is if that comes first; None: unknown."""
        rate = self.rate()
        if rate <= 0:
            return None
        return (self._state.planned - self._state.filled) / rate

    def limited_by(self) -> str:
        """What limits the speed now, and what would free it."""
        state = self._state
        if state.phase != "sampling":
            return state.phase
        if state.stopping:
            return (
                f"Ctrl-C: waits for {in_flight(state)}, then for their verdicts; Ctrl-C again "
                "leaves at once"
            )
        if gone := self._waits_for_servers():
            return gone
        if state.waiting_for in ("budget", "answers") and state.batched == state.in_flight > 0:
            return f"batch: {state.batched} requests at the provider, which takes up to a day"
        if state.waiting_for == "budget" and state.live():
            return "budget: the agents at work may spend the rest of the cap"
        if state.waiting_for == "budget":
            return (
                f"budget: {state.in_flight} in flight hold the rest of the cap; "
                "a smaller --max-tokens would free it"
            )
        if state.waiting_for == "verification":
            return "verification: samples wait to be judged"
        if state.waiting_for == "answers":
            if state.in_flight:
                return "answers of what is in flight"
            return "verdicts of what was bought, or the pause before a retry"
        limits = {arm.limiter.limited_by() for arm in self._arms}
        return "; ".join(sorted(limits - {""}))


def _wrapped(parts: list[str]) -> str:
    """Parts joined by bars, in lines of at most LINE_WIDTH columns where a part allows it."""
    lines = [parts[0]]
    for part in filter(None, parts[1:]):
        if len(lines[-1]) + 3 + len(part) <= LINE_WIDTH:
            lines[-1] += f" | {part}"
        else:
            lines.append(f"  {part}")
    return "\n".join(lines)


def in_flight(state: RunState) -> str:
    """What is under way, and how much of it in batches."""
    batched = f" ({state.batched} in batches)" if state.batched else ""
    return f"{state.in_flight} in flight{batched}"


def agents_at_work(state: RunState) -> str:
    """The agents under way in a few words; "" where there is none."""
    live = state.live()
    if not live:
        return ""
    calls, usd = sum(one.calls for one in live), sum(one.usd for one in live)
    longest = span(max(one.seconds for one in live))
    return f"{len(live)} agents at work: {calls} calls, {dollars(usd)}, the longest for {longest}"


def coverage_so_far(arm: ArmCounts) -> str:
    """The share of problems solved so far, and by how many attempts each."""
    solved = sum(map(bool, arm.passed))
    problems = len(arm.judged)
    least = min(arm.judged, default=0)
    each = f" with {least:,} attempts each" if least else ""
    return f"{percent(solved / problems)} solved ({solved} of {problems}){each}"
