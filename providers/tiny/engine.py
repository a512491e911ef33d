"""A thread that runs the batch, and the queue of requests that wait for room in it.

`submit` and `cancel` may be called from any thread and return at once. What came of each step is
handed over in one list, in the engine's own thread, to the `deliver` function given. When the
thread ends, asked for or by a fault, `ended` is called, so that nobody waits for an answer that
cannot come; a fault's traceback goes through threading.excepthook.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from providers.tiny.decoding import DecodingBatch
from providers.tiny.job import GenerationJob, SampledTokens
from providers.tiny.llama import Model


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A job was forgotten on request."""

    job_id: int
    started: bool
    output_tokens: int
    """Tokens sampled for choices that had not finished."""


Delivery = SampledTokens | Cancelled


class TinyEngine:
    """Runs jobs together on one thread."""

    def __init__(
        self,
        model: Model,
        capacity: int,
        deliver: Callable[[list[Delivery]], None],
        ended: Callable[[], None],
    ) -> None:
        self.capacity = capacity
        self._batch = DecodingBatch(model, capacity)
        self._deliver = deliver
        self._ended = ended
        self._wake = threading.Condition()
        self._waiting: deque[tuple[int, GenerationJob]] = deque()
        self._to_cancel: list[int] = []
        self._next_id = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tiny-engine", daemon=True)

    @property
    def waiting_choices(self) -> int:
        """Choices that have not begun."""
        with self._wake:
            return sum(job.n for _, job in self._waiting)

    @property
    def running_choices(self) -> int:
        """Choices in the batch."""
        return self._batch.running

    def start(self) -> None:
        self._thread.start()

    def submit(self, job: GenerationJob) -> int:
        """Queue a job of at most `capacity` choices; returns its id."""
        with self._wake:
            self._next_id += 1
            self._waiting.append((self._next_id, job))
            self._wake.notify()
            return self._next_id

    def cancel(self, job_id: int) -> None:
        """Forget a job. A Cancelled is delivered unless the job has already finished."""
        with self._wake:
            self._to_cancel.append(job_id)
            self._wake.notify()

    def close(self) -> None:
        """End the thread after the step in progress and wait for it."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                with self._wake:
                    self._wake.wait_for(self._has_work)
                    if self._closing:
                        return
                    cancelled = self._cancel_all()
                    admitted = self._admit()
                for job_id, job in admitted:
                    self._batch.add(job_id, job)
                deliveries: list[Delivery] = [*cancelled]
                if self._batch.running:
                    deliveries += self._batch.step()
                if deliveries:
                    self._deliver(deliveries)
        finally:
            self._ended()

    def _has_work(self) -> bool:
        return bool(self._closing or self._waiting or self._to_cancel or self._batch.running)

    def _cancel_all(self) -> list[Cancelled]:
        """Carry out the cancellations asked for."""
        cancelled = []
        for job_id in self._to_cancel:
            queued = [entry for entry in self._waiting if entry[0] == job_id]
            if queued:
                self._waiting.remove(queued[0])
                cancelled.append(Cancelled(job_id, started=False, output_tokens=0))
                continue
            output_tokens = self._batch.cancel(job_id)
            if output_tokens is not None:
                cancelled.append(Cancelled(job_id, started=True, output_tokens=output_tokens))
        self._to_cancel.clear()
        return cancelled

    def _admit(self) -> list[tuple[int, GenerationJob]]:
        """Take waiting jobs in their order while the next one fits."""
        admitted = []
        room = self.capacity - self._batch.running
        while self._waiting and self._waiting[0][1].n <= room:
            admitted.append(self._waiting.popleft())
            room -= admitted[-1][1].n
        return admitted
