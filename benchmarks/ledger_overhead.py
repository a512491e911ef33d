"""What the ledger costs per sample: reserve, make durable, settle, with commits in groups.

    python benchmarks/ledger_overhead.py [--samples 20000] [--workers 200]

Workers share one ledger: each reserves (in the run, an arm and a model), waits until that is on
disk, and settles. Printed is processor time, all threads of this process together, not wall-clock
time. The target is 100 us a sample. The last line is a run's own database, in which the plan, the
answer and the text of the sample (1.5 kB) are stored in the same transactions.
"""

import argparse
import asyncio
import platform
import sqlite3
import tempfile
import time
from pathlib import Path

from budgets import Ledger, MemoryJournal, SqliteJournal, Usage
from orchestrator.store.store import RunStore
from providers.sample import Choice, SampleResponse

TARGET_US = 100.0
SCOPES = ("arm:0", "model:m")
CAPS = {"run": 10**18, "arm:0": 10**18}


def in_memory(samples: int) -> float:
    """Seconds of processor time for reserve and settle alone."""
    ledger = Ledger.open(MemoryJournal(), CAPS)
    begun = time.process_time()
    for _ in range(samples):
        ledger.settle(ledger.reserve(1_000_000, SCOPES, "request"), 700_000)
    return time.process_time() - begun


async def durable(samples: int, workers: int, folder: str) -> tuple[float, float, int]:
    """Processor and wall-clock seconds with every reservation on disk before it is settled."""
    with SqliteJournal(Path(folder) / "ledger.db") as journal:
        ledger = Ledger.open(journal, CAPS)
        left = iter(range(samples))

        async def worker() -> None:
            for number in left:
                request = ledger.reserve(1_000_000, SCOPES, f"request {number}")
                await journal.durable()
                ledger.settle(request, 700_000)

        wall, processor = time.perf_counter(), time.process_time()
        await asyncio.gather(*(worker() for _ in range(workers)))
        await journal.durable()
        processor, wall = time.process_time() - processor, time.perf_counter() - wall
        assert ledger.totals().settled == samples * 700_000
        return processor, wall, sum(1 for _ in journal.events())


async def stored(samples: int, workers: int, folder: str) -> float:
    """Processor seconds with a run's database as the journal, samples and all."""
    store = RunStore(Path(folder) / "run.db", create=True)
    ledger = Ledger.open(store, CAPS)
    left = iter(range(samples))
    choice = Choice(0, "x" * 1500, "stop")
    usage = {"prompt_tokens": 100, "completion_tokens": 400, "total_tokens": 500}
    answer = SampleResponse((choice,), Usage(100, 0, 0, 0, 400), usage, "m", "id-of-the-answer")

    async def worker() -> None:
        for number in left:
            request = store.upcoming_request
            reservation = ledger.reserve(1_000_000, SCOPES, f"request {request}")
            store.plan(0, number % 100, number // 100, 1, number)
            await store.durable()
            ledger.settle(reservation, 700_000)
            store.put_answer(request, reservation, answer, 700_000, 1.0e9, 1.0)
            store.put_sample(0, number % 100, number // 100, request, choice)

    processor = time.process_time()
    await asyncio.gather(*(worker() for _ in range(workers)))
    await store.durable()
    processor = time.process_time() - processor
    await store.close()
    return processor


def main() -> None:
    parser = argparse.ArgumentParser(description="Processor time of the ledger per sample.")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=200)
    options = parser.parse_args()
    alone = in_memory(options.samples)
    with tempfile.TemporaryDirectory() as folder:
        processor, wall, events = asyncio.run(durable(options.samples, options.workers, folder))
        whole = asyncio.run(stored(options.samples, options.workers, folder))
    each = processor / options.samples * 1e6
    print(f"machine: {platform.machine()}, {platform.platform()}")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
    print(f"samples: {options.samples}, workers: {options.workers}, events: {events}")
    print(f"reserve + settle alone:            {alone / options.samples * 1e6:6.1f} us a sample")
    print(f"reserve + durable record + settle: {each:6.1f} us a sample (target {TARGET_US:g})")
    print(f"the same with plan, answer and text: {whole / options.samples * 1e6:6.1f} us a sample")
    print(f"wall clock: {options.samples / wall:,.0f} samples a second")


if __name__ == "__main__":
    main()
