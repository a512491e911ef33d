"""One request's way through the engine, seen from the event loop.

A `Generation` gathers what the engine delivers for the jobs of one request. `Dispatcher` owns
the engine, gives each delivery to the generation that it belongs to, and ends all of them with
an error should the engine end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from providers.tiny.answers import Finished
from providers.tiny.engine import Cancelled, Delivery, TinyEngine
from providers.tiny.job import SampledTokens
from providers.tiny.llama import Model
from providers.tiny.parsing import ParsedRequest


class EngineEnded(Exception):
    """The engine is gone; nothing more will be generated."""


@dataclass(frozen=True, slots=True)
class Step:
    """One sampled token of one choice of a streamed request."""

    index: int
    progress: SampledTokens


class Generation:
    """The choices of one request while they are being made."""

    def __init__(self, ask: ParsedRequest) -> None:
        self.ask = ask
        self.begun = False
        self.billed = False
        self.output_tokens = 0
        """Tokens of finished choices, and of all once the generation is cancelled."""
        self.open_jobs = len(ask.jobs)
        self._choices: list[Finished | None] = [None] * (ask.n * len(ask.jobs))
        self._open_choices = len(self._choices)
        self._news = asyncio.Event()
        self._steps: list[Step] = []
        self._ended = False

    def feed(self, job_number: int, progress: SampledTokens) -> None:
        """Take one delivery of the job `job_number` of this request."""
        self.begun = True
        for choice in progress.choices:
            index = job_number * self.ask.n + choice
            if self.ask.stream:
                self._steps.append(Step(index, progress))
            if progress.finish_reason is not None:
                self._choices[index] = Finished(
                    progress.text,
                    progress.finish_reason,
                    progress.output_tokens,
                    progress.logprobs,
                )
                self.output_tokens += progress.output_tokens
                self._open_choices -= 1
        if self.ask.stream or not self._open_choices:
            self._news.set()

    def end(self) -> None:
        """The engine is gone."""
        self._ended = True
        self._news.set()

    async def choices(self) -> list[Finished]:
        """All choices, by index; raises EngineEnded."""
        await self._news.wait()
        if self._open_choices:
            raise EngineEnded
        return [choice for choice in self._choices if choice is not None]

    async def steps(self) -> AsyncIterator[list[Step]]:
        """Tokens as they come, until every choice has finished; raises EngineEnded."""
        while self._open_choices or self._steps:
            await self._news.wait()
            self._news.clear()
            steps, self._steps = self._steps, []
            yield steps
            if self._ended and self._open_choices:
                raise EngineEnded


class Dispatcher:
    """Requests of the event loop, served by one engine thread."""

    def __init__(self, model: Model, capacity: int, on_engine_end: Callable[[], None]) -> None:
        """Must be made in the event loop that awaits the generations."""
        self._loop = asyncio.get_running_loop()
        self._on_engine_end = on_engine_end
        self._jobs: dict[int, tuple[Generation, int]] = {}
        self._abandoned: dict[Generation, Callable[[Generation], None]] = {}
        self._all_settled = asyncio.Event()
        self._all_settled.set()
        self._engine_ended = False
        self._engine = TinyEngine(model, capacity, self._hand_over, self._hand_over_end)

    @property
    def running(self) -> int:
        """Choices in the batch."""
        return self._engine.running_choices

    @property
    def waiting(self) -> int:
        """Choices that have not begun."""
        return self._engine.waiting_choices

    def start(self) -> None:
        self._engine.start()

    def close(self) -> None:
        """End the engine's thread; open generations raise EngineEnded."""
        self._engine.close()

    def begin(self, ask: ParsedRequest) -> Generation:
        """Queue a request; raises EngineEnded."""
        if self._engine_ended:
            raise EngineEnded
        generation = Generation(ask)
        for number, job in enumerate(ask.jobs):
            self._jobs[self._engine.submit(job)] = generation, number
        return generation

    async def settled(self, timeout_s: float) -> None:
        """Wait until the tokens of every abandoned generation are known, or the time is up."""
        try:
            await asyncio.wait_for(self._all_settled.wait(), timeout_s)
        except TimeoutError:
            pass  # What the engine does not say in time cannot be billed.

    def abandon(self, generation: Generation, done: Callable[[Generation], None]) -> None:
        """Stop a generation that nobody waits for; `done` is called once its tokens are known."""
        ids = [job_id for job_id, (owner, _) in self._jobs.items() if owner is generation]
        if not ids:
            done(generation)
            return
        self._abandoned[generation] = done
        self._all_settled.clear()
        for job_id in ids:
            self._engine.cancel(job_id)

    def _hand_over(self, deliveries: list[Delivery]) -> None:
        """Called in the engine's thread."""
        self._loop.call_soon_threadsafe(self._take, deliveries)

    def _hand_over_end(self) -> None:
        """Called in the engine's thread when it ends."""
        self._loop.call_soon_threadsafe(self._take_end)

    def _take(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            generation, number = self._jobs[delivery.job_id]
            if isinstance(delivery, Cancelled):
                generation.begun |= delivery.started
                generation.output_tokens += delivery.output_tokens
                self._finish(delivery.job_id, generation)
            else:
                generation.feed(number, delivery)
                if delivery.last:
                    self._finish(delivery.job_id, generation)

    def _finish(self, job_id: int, generation: Generation) -> None:
        del self._jobs[job_id]
        generation.open_jobs -= 1
        if not generation.open_jobs and generation in self._abandoned:
            self._abandoned.pop(generation)(generation)
            if not self._abandoned:
                self._all_settled.set()

    def _take_end(self) -> None:
        self._engine_ended = True
        for generation, _ in self._jobs.values():
            generation.end()
        self._jobs.clear()
        self._all_settled.set()
        self._on_engine_end()
