"""The line in which tickets and samples wait: in order, and nothing lost with a worker."""

from __future__ import annotations

import asyncio
import random

from orchestrator.engine.line import WaitingLine


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_items_come_in_order_to_whoever_waits() -> None:
    line = WaitingLine[int]()
    taken: list[int] = []

    async def work() -> None:
        while True:
            taken.append(await line.get())

    workers = [asyncio.create_task(work()) for _ in range(3)]
    await settle()
    for item in range(10):
        line.put(item)
    await settle()
    assert taken == list(range(10)) and not len(line)
    for worker in workers:
        worker.cancel()


async def test_a_cancelled_worker_that_was_woken_takes_nothing_along() -> None:
    line = WaitingLine[int]()
    first, second = (asyncio.create_task(line.get()) for _ in range(2))
    await settle()
    line.put(1)
    first.cancel()
    assert await asyncio.wait_for(second, 120) == 1
    third = asyncio.create_task(line.get())
    await settle()
    line.put(2)
    third.cancel()
    await settle()
    assert line.drain() == [2]


async def test_whatever_is_cancelled_every_item_is_taken_once() -> None:
    for seed in range(50):
        chance = random.Random(seed)
        line = WaitingLine[int]()
        taken: list[int] = []

        async def work(line: WaitingLine[int], taken: list[int]) -> None:
            while True:
                taken.append(await line.get())

        workers = [asyncio.create_task(work(line, taken)) for _ in range(6)]
        for item in range(40):
            line.put(item)
            if len(workers) > 1 and chance.random() < 0.1:
                workers.pop(chance.randrange(len(workers))).cancel()
            if chance.random() < 0.5:
                await asyncio.sleep(0)
        await settle()
        assert sorted(taken) == list(range(40))
        workers[0].cancel()


async def test_a_worker_is_woken_later_and_an_item_that_waits_for_it_is_nobodys_yet() -> None:
    line = WaitingLine[int]()
    held: list[asyncio.Future[None]] = []
    first, second = (asyncio.create_task(line.get()) for _ in range(2))
    await settle()
    line.put(1, held.append)
    await settle()
    assert not first.done() and len(line) == 1 and len(held) == 1
    held[0].set_result(None)
    assert await asyncio.wait_for(first, 5) == 1
    # Whoever was to be woken does not come: another one does.
    line.put(2, held.append)
    third = asyncio.create_task(line.get())
    assert await asyncio.wait_for(third, 5) == 2
    line.put(3, held.append)
    second.cancel()
    await settle()
    assert line.drain() == [3] and held[1].cancelled()
    fourth, fifth = (asyncio.create_task(line.get()) for _ in range(2))
    await settle()
    line.put(4, held.append)
    fourth.cancel()
    assert await asyncio.wait_for(fifth, 5) == 4
