"""A model server driven by a loop's clock: virtual seconds in a test, real ones over HTTP."""

from __future__ import annotations

import asyncio

import msgspec

from benchmarks.fleet_model import Asked, Batching, Lengths, Shape
from budgets.usage import Usage
from providers.errors import ConnectionFailed, Overloaded
from providers.sample import Capabilities, Choice, SampleRequest, SampleResponse


class Driven:
    """A model that works as the loop's time passes."""

    def __init__(self, shape: Shape, lengths: Lengths) -> None:
        self.engine = Batching(shape)
        self.lengths = lengths
        self._loop = asyncio.get_running_loop()
        self.engine.now = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._front_until = 0.0

    async def generate(
        self, prompt: str, prompt_tokens: int, n: int, seed: int
    ) -> tuple[list[int], bool]:
        """The lengths of `n` samples once they are written, and whether the prompt was cached."""
        if front_s := self.engine.shape.front_s:
            self._front_until = max(self._front_until, self._loop.time()) + front_s
            await asyncio.sleep(self._front_until - self._loop.time())
        done: asyncio.Future[None] = self._loop.create_future()
        lengths = [self.lengths.of(prompt, seed, choice) for choice in range(n)]

        def finish(_: Asked) -> None:
            if not done.done():
                done.set_result(None)

        asked = Asked(prompt, prompt_tokens, lengths, finish)
        self.sync()
        self.engine.submit(asked)
        self.sync()
        try:
            await done
        except asyncio.CancelledError:
            self.sync()
            self.engine.abandon(asked)
            self.sync()
            raise
        return lengths, asked.cached

    def sync(self) -> None:
        """Work up to now, and wake when something will have changed."""
        self.engine.advance(self._loop.time())
        if self._timer is not None:
            self._timer.cancel()
        at = self.engine.next_at()
        self._timer = None if at is None else self._loop.call_at(at, self.sync)


class VirtualServer:
    """A provider whose server is the model itself; can be killed, hung and made to answer 500."""

    name = "compatible"
    capabilities = Capabilities(max_n=128, seed=True, raw_completions=True)

    def __init__(self, shape: Shape, lengths: Lengths) -> None:
        self.driven = Driven(shape, lengths)
        self.state = "up"
        self._gone = asyncio.Event()
        self.asked: list[tuple[str | None, int | None, int]] = []

    def become(self, state: str) -> None:
        """up, dead (refuses, and breaks what is in flight), hung, or failing (500)."""
        self.driven.sync()
        self.state = state
        self.driven.engine.frozen = state == "hung"
        if state == "dead":
            self.driven.engine.empty()
            self._gone.set()
        else:
            self._gone = asyncio.Event()
        self.driven.sync()

    async def sample(self, request: SampleRequest) -> SampleResponse:
        if self.state == "dead":
            raise ConnectionFailed("refused", sent="not_sent")
        if self.state == "failing":
            raise Overloaded("status 500", sent="rejected", status=500)
        self.asked.append((request.prompt, request.seed, request.n))
        work = asyncio.ensure_future(
            self.driven.generate(request.prompt or "", 100, request.n, request.seed or 0)
        )
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait([work, gone], return_when="FIRST_COMPLETED")
            if not work.done():
                raise ConnectionFailed("reset", sent="maybe_billed")
        finally:
            for task in (work, gone):
                task.cancel()
        lengths, cached = work.result()
        choices = tuple(Choice(i, "x", "stop", length) for i, length in enumerate(lengths))
        usage = Usage(
            input_tokens=0 if cached else 100, cached_input_tokens=100 if cached else 0,
            output_tokens=sum(lengths),
        )  # fmt: skip
        return SampleResponse(choices, usage, msgspec.to_builtins(usage), request.model)

    async def models(self) -> list[str]:
        return ["model"]

    async def aclose(self) -> None:
        """Nothing is open."""
