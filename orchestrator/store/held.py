"""A stored run held for writing by whoever asks something of it, and read meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from orchestrator.store.directory import RunLock
from orchestrator.store.store import RunStore


@asynccontextmanager
async def held_store(directory: Path) -> AsyncIterator[RunStore]:
    """The run's store, held by this process alone; raises ConfigError, StoreError."""
    lock = RunLock(directory)
    try:
        store = RunStore(directory / "run.db")
        try:
            yield store
        finally:
            await store.close()
    finally:
        lock.release()


def distinct_texts(
    rows: Iterable[tuple[int, int, str]],
) -> Iterator[tuple[int, dict[str, list[int]]]]:
    """Per problem, the slots of each distinct text; `rows`: problem, slot and text, by problem.

    Whoever judges or scores texts looks at equal ones once.
    """
    for problem, group in groupby(rows, key=itemgetter(0)):
        slots: dict[str, list[int]] = {}
        for _, slot, text in group:
            slots.setdefault(text, []).append(slot)
        yield problem, slots
