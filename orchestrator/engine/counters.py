"""What is known of a run while it goes on: plain counters, written by the engine, read by the view.

Only what is durable is counted: a sample enters here once its row is on disk.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.engine.live import LiveAttempt
from orchestrator.engine.repeats import Repeats
from orchestrator.store.refusals import Refusals


@dataclass(slots=True)
class Lengths:
    """How long an arm's outputs are, in tokens, as far as its answers told."""

    attempts: int = 0
    tokens: int = 0
    answers: int = 0
    squares: float = 0.0
    """Sum over answers of n times the square of their mean length."""

    def add(self, n: int, tokens: int) -> None:
        """An answer of n attempts took so many output tokens."""
        self.attempts += n
        self.tokens += tokens
        self.answers += 1
        self.squares += tokens * tokens / n

    def upper(self, attempts: int) -> float | None:
        """Tokens of an attempt that the mean of so many more hardly exceeds; None: not known.

        Two standard errors above the mean so far; from one answer twice its mean.
        """
        if not self.attempts:
            return None
        mean = self.tokens / self.attempts
        if self.answers < 2:
            return 2.0 * mean
        variance = max(self.squares - mean * self.tokens, 0.0) / (self.answers - 1)
        return float(mean + 2.0 * (variance * (1.0 / attempts + 1.0 / self.attempts)) ** 0.5)


@dataclass(slots=True)
class ArmCounts:
    """Counters of one arm; lists have one entry per problem."""

    label: str
    samples_wanted: int
    judged: list[int]
    passed: list[int]
    filled: int = 0
    censored: int = 0
    in_flight: int = 0
    errors: int = 0
    """Tries that failed in this session."""
    lengths: Lengths = field(default_factory=Lengths)

    @property
    def planned(self) -> int:
        return self.samples_wanted * len(self.judged)


@dataclass(slots=True)
class RunState:
    """Counters of a run."""

    arms: list[ArmCounts]
    started: float = field(default_factory=time.monotonic)
    in_flight: int = 0
    batched: int = 0
    """Of those in flight, how many wait in batches at a provider."""
    filled_before: int = 0
    """Slots that an earlier session of this run had filled."""
    unfilled: int = 0
    """Slots given up after retries in this session."""
    retried: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    refusals: Refusals = field(default_factory=Refusals)
    """The same failures, in their servers' own words."""
    last_error: str = ""
    """What the latest of them said."""
    verdicts: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0
    waiting_for: str = ""
    """What the dispatcher waits for now; empty while it does not wait."""
    phase: str = "sampling"
    stopping: bool = False
    """A person asked to stop: what is in flight is waited for."""
    servers: Callable[[], str] | None = None
    """Tells how the servers of fleets are, in one line; None: there is no fleet."""
    notes: list[str] = field(default_factory=list)
    repeats: Repeats = field(default_factory=Repeats)
    live: Callable[[], list[LiveAttempt]] = list
    """The agents at work."""

    @property
    def planned(self) -> int:
        return sum(arm.planned for arm in self.arms)

    @property
    def filled(self) -> int:
        return sum(arm.filled for arm in self.arms)

    @property
    def judged(self) -> int:
        return sum(sum(arm.judged) for arm in self.arms)

    def sent(self, arm: int, requests: int = 1) -> None:
        """Requests of an arm are under way."""
        self.in_flight += requests
        self.arms[arm].in_flight += requests

    def back(self, arm: int, requests: int = 1) -> None:
        """Requests of an arm are over, in whatever way."""
        self.in_flight -= requests
        self.arms[arm].in_flight -= requests

    def failed(self, arm: int, kind: str, said: str) -> None:
        """A try of an arm failed, in its server's own words."""
        self.failures[kind] += 1
        self.arms[arm].errors += 1
        self.refusals.add(kind, said)
        self.last_error = said

    def note(self, text: str) -> None:
        """Keep a sentence for the person, once."""
        if text not in self.notes:
            self.notes.append(text)


def arm_counts(label: str, samples: int, problems: int) -> ArmCounts:
    """Empty counters of one arm."""
    return ArmCounts(label, samples, [0] * problems, [0] * problems)
