"""A server of continuous batching in virtual time, for what a limiter makes of it.

Every step gives one token to each sequence in a place; a step takes `step_s` plus `per_sequence_s`
for each of them. Sequences beyond `places` wait in its queue, first come first served. A request
is answered when the last of its n sequences is done.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from budgets.fullness import ServerLoad


@dataclass(eq=False)
class Request:
    left: list[int]
    """Tokens to come of each sequence that is not done."""
    open: int
    done: Callable[[str], None]
    timer: asyncio.TimerHandle | None = None


@dataclass
class BatchingServer:
    places: int = 64
    step_s: float = 0.02
    per_sequence_s: float = 0.0
    seed: int = 0
    mean_tokens: float = 100.0
    queue_limit: int = 10**9
    """Sequences that may wait; beyond it a request is refused."""
    stalls_s: float = 0.0
    """Every tenth second it stands still for so long, as on a machine that is busy otherwise."""
    running: int = 0
    generated: int = 0
    most_waiting: int = 0
    waiting_by_time: list[tuple[float, int, int]] = field(default_factory=list)
    _queue: deque[tuple[Request, int]] = field(default_factory=deque)
    _batch: list[tuple[Request, int]] = field(default_factory=list)
    _stepping: bool = False
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def load(self) -> ServerLoad:
        return ServerLoad(len(self._batch), self.waiting, generated_tokens=self.generated)

    def ask(self, n: int, done: Callable[[str, int], None], timeout_s: float) -> None:
        """Answer later with ("ok", tokens), or ("timeout" or "overloaded", 0)."""
        if self.waiting + n > self.queue_limit + self.places:
            asyncio.get_running_loop().call_soon(done, "overloaded", 0)
            return
        # Heavy-tailed: most are short, some are many times as long.
        tokens = [
            max(1, min(1000, int(self._random.lognormvariate(0, 0.8) * self.mean_tokens / 1.38)))
            for _ in range(n)
        ]
        total = sum(tokens)
        request = Request(tokens, n, lambda how: done(how, total))
        loop = asyncio.get_running_loop()
        request.timer = loop.call_later(timeout_s, self._drop, request)
        self._queue.extend((request, index) for index in range(n))
        if not self._stepping:
            self._stepping = True
            self._idle.clear()
            loop.call_soon(self._step)

    async def idle(self) -> None:
        """Return when nothing is left to do."""
        if self._stepping:
            await self._idle.wait()

    def _drop(self, request: Request) -> None:
        self._queue = deque(one for one in self._queue if one[0] is not request)
        self._batch = [one for one in self._batch if one[0] is not request]
        request.done("timeout")

    def _step(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue and len(self._batch) < self.places:
            self._batch.append(self._queue.popleft())
        self.waiting_by_time.append((loop.time(), len(self._batch), self.waiting))
        if not self._batch:
            self._stepping = False
            self._idle.set()
            return
        self.generated += len(self._batch)
        if self.stalls_s and int(loop.time() / 10) != int((loop.time() - self.step_s) / 10):
            loop.call_later(self.stalls_s, self._stepped)
            return
        took = self.step_s + self.per_sequence_s * len(self._batch)
        loop.call_later(took, self._stepped)

    def _stepped(self) -> None:
        kept = []
        for request, index in self._batch:
            request.left[index] -= 1
            if request.left[index] > 0:
                kept.append((request, index))
                continue
            request.open -= 1
            if not request.open and request.timer is not None:
                request.timer.cancel()
                request.done("ok")
        self._batch = kept
        self._step()
