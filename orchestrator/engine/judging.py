"""The verifying half of the pipeline: stored samples in, durable verdicts out.

It runs beside sampling. The dispatcher waits for room here before it admits the next request, so
that when verification lags, sampling slows, and the queue stays within that room plus what was in
flight.
A failure of the judge itself is tried again and then recorded as `infra_error`: never as a wrong
answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from orchestrator.engine.counters import RunState
from orchestrator.engine.line import WaitingLine
from orchestrator.engine.second_rule import SecondRule
from orchestrator.plan.ready import ReadyArm
from orchestrator.store.store import RunStore
from verifiers.verdict import Verdict

TRIES = 3
MOST_WAITING = 4096

Item = tuple[ReadyArm, int, int, str]
"""Arm, problem, slot, text."""


class Judging:
    """A pool of verifying workers over one queue."""

    def __init__(
        self,
        store: RunStore,
        state: RunState,
        *,
        jobs: int,
        resolved: Callable[[int, int, int, bool | None], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """`failed` is told when a worker dies: nothing that waits for a verdict may wait on."""
        self._store = store
        self._state = state
        self._resolved = resolved
        self._failed = failed
        self._over = False
        self._second = SecondRule(state.note)
        self.pending = 0
        """Samples queued or being judged."""
        self.busy_s = 0.0
        """Time that the workers spent judging, summed over them."""
        self.jobs = jobs
        self._queue = WaitingLine[Item]()
        self._most = max(MOST_WAITING, 8 * jobs)
        self.has_room = True
        """Whether verification keeps up."""
        self._room = asyncio.Event()
        self._all_judged = asyncio.Event()
        self._all_judged.set()
        self._workers = [asyncio.create_task(self._work()) for _ in range(jobs)]
        for worker in self._workers:
            worker.add_done_callback(self._worker_ended)

    def put(self, arm: ReadyArm, problem: int, slot: int, text: str) -> None:
        """Queue one stored sample, unless nothing more is judged."""
        if self._over:
            return
        self._queue.put((arm, problem, slot, text))
        self.pending += 1
        if self.pending == 1:
            self._all_judged.clear()
        if self.has_room and self.pending >= self._most:
            self.has_room = False
            self._room.clear()

    async def room(self) -> None:
        """Return once verification keeps up."""
        if not self.has_room:
            self._state.waiting_for = "verification"
            await self._room.wait()
            self._state.waiting_for = ""

    async def finish(self) -> None:
        """Return once everything queued is judged, or nothing more will be.

        Raises what a worker died of.
        """
        joined = asyncio.ensure_future(self._all_judged.wait())
        await asyncio.wait([joined, *self._workers], return_when=asyncio.FIRST_COMPLETED)
        if not joined.done():
            joined.cancel()
        self.check()
        await self._second.finish()

    def check(self) -> None:
        """Raise the error that a worker died of, if one did."""
        for worker in self._workers:
            if worker.done() and not worker.cancelled():
                worker.result()

    def leave(self) -> None:
        """Judge nothing more; what is not judged stays to be judged on resume."""
        self._over = self.has_room = True
        self._room.set()
        for worker in self._workers:
            worker.cancel()

    async def close(self) -> None:
        """End the workers, and return once they have ended."""
        self.leave()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._second.close()

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        if worker.cancelled():
            return
        error = worker.exception()
        if isinstance(error, Exception):
            self.leave()
            self._failed(error)

    async def _work(self) -> None:
        while True:
            arm, problem, slot, text = await self._queue.get()
            started = time.monotonic()
            verdict = await judge(arm, problem, text)
            self.busy_s += time.monotonic() - started
            self._second.look(arm, text, arm.problems[problem].reference, verdict)
            self._store.put_verdict(arm.number, problem, slot, arm.verifier.name, verdict, text)
            kind, passed = verdict.kind, verdict.passed
            count = partial(count_verdict, self._state, arm.number, problem, kind, passed)
            self._store.when_durable(count)
            self.pending -= 1
            if not self.has_room and self.pending < self._most:
                self.has_room = True
                self._room.set()
            if not self.pending:
                self._all_judged.set()
            judged = None if kind == "infra_error" else passed
            self._resolved(arm.number, problem, slot, judged)


def count_verdict(state: RunState, arm: int, problem: int, kind: str, passed: bool) -> None:
    """Enter one durable verdict into the counters; `infra_error` leaves its slot unjudged."""
    state.verdicts[kind] += 1
    if kind != "infra_error":
        counts = state.arms[arm]
        counts.judged[problem] += 1
        counts.passed[problem] += passed


async def judge(arm: ReadyArm, problem: int, text: str) -> Verdict:
    """The verdict on one text, after retries of the judge's own failures."""
    reference = arm.problems[problem].reference
    verdict = Verdict("infra_error")
    for _ in range(TRIES):
        try:
            verdict = await arm.verifier.verify(text, reference)
        except Exception as error:
            # A verifier may be anybody's; its crash is the judge's failure, not the sample's.
            verdict = Verdict("infra_error", f"the verifier raised {error!r}")
        if verdict.kind != "infra_error":
            break
    return verdict
