"""A server that batches continuously, as a model without a clock of its own.

Whoever drives it says what time it is: `advance(now)` works up to then, `next_at()` says when
something will change by itself. One decoding step makes one token for each running sequence and
takes

    (step_s + step_s_per_sequence * running) / speed

and a prompt that is not cached is prefilled first, at `prefill_tokens_s`, while decoding stands
still, as an engine without chunked prefill does. What comes during a step waits for its end, and
sequences beyond `max_sequences` wait in a queue, first come, first served. The choices of a request
share its prompt. Lengths are drawn from the request's own seed, so that every client that asks the
same gets the same amount of work.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

SAME = 1e-6
"""Steps that are one, but for rounding."""


@dataclass(frozen=True)
class Shape:
    """What one server is like."""

    max_sequences: int = 32
    step_s: float = 0.010
    step_s_per_sequence: float = 0.0002
    prefill_tokens_s: float = 20_000.0
    cached_prompts: int = 10_000
    speed: float = 1.0
    front_s: float = 0.0
    """What the one thread before the engine takes for each request (parsing, tokens, JSON)."""

    def step(self, running: int) -> float:
        return (self.step_s + self.step_s_per_sequence * running) / self.speed

    @property
    def tokens_s(self) -> float:
        """Output tokens a second with every place taken: its capacity."""
        return self.max_sequences / self.step(self.max_sequences)


@lru_cache(maxsize=10_000)
def _of_problem(prompt: str, deviation: float) -> float:
    return random.Random(f"problem {prompt}").gauss(0.0, deviation)


@dataclass(frozen=True)
class Lengths:
    """Output tokens of samples: log-normal over problems and again within each, heavy-tailed."""

    mean: float = 200.0
    between: float = 0.5
    """Standard deviation of the logarithm between problems."""
    within: float = 0.6
    most: int = 1024

    def of(self, prompt: str, seed: int, choice: int) -> int:
        problem = _of_problem(prompt, self.between)
        sample = random.Random(f"{prompt} {seed} {choice}").gauss(0.0, self.within)
        middle = math.log(self.mean) - (self.between**2 + self.within**2) / 2
        return max(1, min(self.most, round(math.exp(middle + problem + sample))))


@dataclass(eq=False)
class Asked:
    """A request on a server."""

    prompt: str
    prompt_tokens: int
    lengths: list[int]
    done: Callable[[Asked], None]
    left: int = 0
    cached: bool = False
    began: bool = False
    gone: bool = False
    """Its client has left: its sequences are dropped."""


@dataclass(order=True)
class _Running:
    ends_at: float
    """In steps since the model began."""
    number: int
    asked: Asked = field(compare=False)


class Batching:
    """One server's engine."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.now = 0.0
        self.tokens_made = 0.0
        """Output tokens of all sequences so far."""
        self.busy_s = 0.0
        self.frozen = False
        """It hangs: time passes and no token moves."""
        self._steps = 0.0
        self._prefill_s = 0.0
        self._running: list[_Running] = []
        self._waiting: deque[tuple[Asked, int]] = deque()
        self._cache: OrderedDict[str, None] = OrderedDict()
        self._number = 0
        self._due: list[Asked] = []

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return sum(not asked.gone for asked, _ in self._waiting)

    def submit(self, asked: Asked) -> None:
        """Take a request; `asked.done` is called once all its sequences are written."""
        asked.left = len(asked.lengths)
        self._waiting.extend((asked, length) for length in asked.lengths)
        self._fill()

    def abandon(self, asked: Asked) -> None:
        """The client has left."""
        asked.gone = True
        self._running = [one for one in self._running if one.asked is not asked]
        heapq.heapify(self._running)
        self._fill()

    def empty(self) -> None:
        """It died: nothing of what it held will be finished."""
        self._running.clear()
        self._waiting.clear()

    def next_at(self) -> float | None:
        """When the next sequence ends, if nothing else comes; None: never."""
        if self.frozen or not self._running:
            return None
        step = self.shape.step(self.running)
        at = self._running[0].ends_at
        if self._waiting and self.running < self.shape.max_sequences:
            at = min(at, math.ceil(self._steps - SAME))
        return self.now + self._prefill_s + max(0.0, at - self._steps) * step

    def advance(self, now: float) -> None:
        """Work until `now`."""
        while (at := self.next_at()) is not None and at <= now:
            self._pass(at)
            self._end_due()
        self._pass(now)
        due, self._due = self._due, []
        for asked in due:
            asked.done(asked)

    def _pass(self, until: float) -> None:
        """Let time pass in which no sequence ends."""
        passed = max(0.0, until - self.now)
        self.now = max(self.now, until)
        if self.frozen or not self._running:
            return
        self.busy_s += passed
        prefill = min(passed, self._prefill_s)
        self._prefill_s -= prefill
        steps = (passed - prefill) / self.shape.step(self.running)
        self._steps += steps
        self.tokens_made += steps * self.running

    def _end_due(self) -> None:
        while self._running and self._running[0].ends_at <= self._steps + SAME:
            asked = heapq.heappop(self._running).asked
            asked.left -= 1
            if not asked.left:
                self._due.append(asked)
        self._fill()

    def _fill(self) -> None:
        if self._running and abs(self._steps - round(self._steps)) > SAME:
            return
        while self._waiting and self.running < self.shape.max_sequences:
            asked, length = self._waiting.popleft()
            if asked.gone:
                continue
            if not asked.began:
                asked.began = True
                asked.cached = asked.prompt in self._cache
                self._cache[asked.prompt] = None
                self._cache.move_to_end(asked.prompt)
                if len(self._cache) > self.shape.cached_prompts:
                    self._cache.popitem(last=False)
                if not asked.cached:
                    speed = self.shape.prefill_tokens_s * self.shape.speed
                    self._prefill_s += asked.prompt_tokens / speed
            self._number += 1
            heapq.heappush(self._running, _Running(self._steps + length, self._number, asked))


def bound_s(lengths: Lengths, prompts: list[tuple[str, list[int]]], shapes: list[Shape]) -> float:
    """The least time for all samples: work over capacity. `prompts`: each with its seeds."""
    work = sum(lengths.of(prompt, seed, 0) for prompt, seeds in prompts for seed in seeds)
    return work / sum(shape.tokens_s for shape in shapes)
