"""How far a verifier can be trusted: known right outputs, repeated verdicts, a second verifier.

Each function takes texts and gives counts and names; nothing here knows of runs or stores.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from verifiers.verdict import Verdict, Verifier

Reference = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReferenceCheck:
    """One problem's known right outputs, judged."""

    problem: str
    outputs: int
    failed: tuple[tuple[int, Verdict], ...]
    """Which of the outputs did not pass, and why."""

    @property
    def sound(self) -> bool | None:
        """Whether all passed; None where there was nothing to judge or the judging failed."""
        if not self.outputs or any(verdict.kind == "infra_error" for _, verdict in self.failed):
            return None
        return not self.failed


async def self_check(
    verifier: Verifier, known: Iterable[tuple[str, Reference, Sequence[str]]], *, jobs: int = 4
) -> AsyncIterator[ReferenceCheck]:
    """Judge known right outputs: (problem, reference, outputs); yield each problem as it is done.

    A problem whose own reference solution fails is unsound: its verdicts mean little.
    """
    seats = asyncio.Semaphore(jobs)

    async def one(text: str, reference: Reference) -> Verdict:
        async with seats:
            return await verifier.verify(text, reference)

    async def all_of(problem: str, reference: Reference, texts: Sequence[str]) -> ReferenceCheck:
        verdicts = await asyncio.gather(*(one(text, reference) for text in texts))
        failed = [(n, verdict) for n, verdict in enumerate(verdicts) if not verdict.passed]
        return ReferenceCheck(problem, len(texts), tuple(failed))

    running: set[asyncio.Task[ReferenceCheck]] = set()
    try:
        for problem, reference, texts in known:
            running.add(asyncio.create_task(all_of(problem, reference, texts)))
            if len(running) >= 2 * jobs:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        for finished in asyncio.as_completed(running):
            yield await finished
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Repeated:
    """Several verdicts on one text."""

    verdicts: tuple[Verdict, ...]

    @property
    def judged(self) -> tuple[Verdict, ...]:
        """The verdicts without those that failed for our own reasons."""
        return tuple(one for one in self.verdicts if one.kind != "infra_error")

    @property
    def flaky(self) -> bool:
        """Whether some passed and some did not."""
        return len({one.passed for one in self.judged}) > 1

    @property
    def majority(self) -> Verdict | None:
        """A verdict of the more frequent side; on a tie one that did not pass; None if none."""
        if not self.judged:
            return None
        passed = [one for one in self.judged if one.passed]
        others = [one for one in self.judged if not one.passed]
        if len(passed) > len(others):
            return passed[0]
        kinds = Counter(one.kind for one in others)
        most = max(kinds.values())
        return next(one for one in others if kinds[one.kind] == most)


async def repeat(verifier: Verifier, text: str, reference: Reference, times: int) -> Repeated:
    """Judge one text several times, one after the other. ValueError unless `times` >= 1."""
    if times < 1:
        raise ValueError(f"a text is judged once or more often, not {times} times")
    return Repeated(tuple([await verifier.verify(text, reference) for _ in range(times)]))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the verdicts of a cheap verifier (search) stand to those of a better one (gold)."""

    both: int = 0
    search_only: int = 0
    gold_only: int = 0
    neither: int = 0
    left_out: int = 0
    """Texts that one of the two failed to judge."""

    @property
    def precision(self) -> float | None:
        """Of the texts that search accepted, the share that gold accepts; None if none."""
        accepted = self.both + self.search_only
        return self.both / accepted if accepted else None

    @property
    def recall(self) -> float | None:
        """Of the texts that gold accepts, the share that search accepted; None if none."""
        right = self.both + self.gold_only
        return self.both / right if right else None


def agreement(pairs: Iterable[tuple[Verdict, Verdict]]) -> Agreement:
    """Count pairs (search's verdict, gold's verdict) of the same texts."""
    counts: Counter[str] = Counter()
    for search, gold in pairs:
        if "infra_error" in (search.kind, gold.kind):
            counts["left_out"] += 1
        elif search.passed:
            counts["both" if gold.passed else "search_only"] += 1
        else:
            counts["gold_only" if gold.passed else "neither"] += 1
    return Agreement(**counts)
