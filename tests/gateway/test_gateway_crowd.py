"""Two hundred agents at once under one cap: they stream, retry, hang up, and hide nothing."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import aiohttp
import pytest

from budgets.money import picodollars
from providers.gateway.attempts import Account, Attempt, Caps
from tests.gateway.door import Door, opened
from tests.gateway.model_server import ModelServer

AGENTS = 200
FAULTS = ("",) * 12 + ("503", "429", "500", "reset", "no_usage", "slow", "broken")


async def agent(
    door: Door, web: aiohttp.ClientSession, name: int, key: str, draw: random.Random
) -> None:
    """A few turns, each tried again as clients do, some left in the middle."""
    for turn in range(draw.randint(1, 5)):
        path = draw.choice(("chat/completions", "messages", "responses"))
        words = "x" * draw.randint(1, 4000)
        body: dict[str, Any] = {"model": "scripted", "stream": draw.random() < 0.5}
        body["metadata"] = {"fault": draw.choice(FAULTS), "id": f"{name} {turn}"}
        if path == "responses":
            body |= {"input": words, "max_output_tokens": draw.randint(1, 60)}
        else:
            body |= {"messages": [{"role": "user", "content": words}]}
            body["max_tokens"] = draw.randint(1, 60)
        patience = draw.uniform(0.005, 0.2) if draw.random() < 0.15 else 60.0
        for _ in range(draw.randint(1, 3)):
            try:
                async with web.post(
                    f"{door.url}/v1/{path}",
                    json=body,
                    headers={"Authorization": f"Bearer {key}"},
                    timeout=aiohttp.ClientTimeout(total=patience),
                ) as answer:
                    await answer.read()
                    if answer.status == 200:
                        break
            except (aiohttp.ClientError, TimeoutError):
                continue


async def crowd(seed: int) -> None:
    draw = random.Random(seed)
    cap = f"{draw.uniform(0.05, 2.0):.4f}"
    server = ModelServer(seed=seed, pause_s=0.001)
    async with opened(cap, server=server, max_retries=1, concurrency="64") as door:
        problems = [Account(name="problem", cap=picodollars("0.05")) for _ in range(20)]
        attempts: list[Attempt] = []
        jobs = []
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as web:
            for number in range(AGENTS):
                caps = Caps(attempt_usd=picodollars("0.02"), output_tokens=50)
                shared = (problems[number % 20],)
                attempt, key = door.gateway.begin(number, door.upstream, caps=caps, shared=shared)
                attempts.append(attempt)
                jobs.append(agent(door, web, number, key, random.Random(f"{seed} {number}")))
            watch = asyncio.create_task(watching(door, [*problems, *(a.own for a in attempts)]))
            await asyncio.gather(*jobs)
            for attempt in attempts:
                assert await door.gateway.settled(attempt, 30)
                door.gateway.end(attempt)
            if watch.done():
                watch.result()
            watch.cancel()
        totals, bill = door.ledger.totals(), server.bill
        assert totals.reserved == 0 and door.ledger.open_reservations == 0
        assert totals.settled <= bill <= totals.settled + totals.uncertain
        assert totals.committed <= picodollars(cap)
        assert not door.faults and not door.fatal
        assert sum(attempt.own.committed for attempt in attempts) == totals.committed
        assert sum(account.committed for account in problems) == totals.committed
        paid = {attempt.number: 0 for attempt in attempts}
        for call in door.books.calls:
            paid[call.attempt] += call.cost or 0
        assert all(paid[attempt.number] == attempt.own.settled for attempt in attempts)


async def watching(door: Door, accounts: list[Account]) -> None:
    """At every turn of the loop no cap is passed, and the bill is covered."""
    while True:
        totals = door.ledger.totals()
        assert totals.cap is not None and totals.committed <= totals.cap
        assert door.server.bill <= totals.committed
        assert all(account.cap is not None and account.committed <= account.cap
                   for account in accounts)  # fmt: skip
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("seed", range(2))
async def test_gateway_two_hundred_agents_under_one_cap(seed: int) -> None:
    await crowd(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
async def test_gateway_two_hundred_agents_under_one_cap_over_seeds(seed: int) -> None:
    await crowd(seed)
