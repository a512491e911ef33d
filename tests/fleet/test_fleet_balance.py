"""Routing, admission, health and the tail, against the least time that the work can take.

In virtual time over modelled servers that batch continuously (benchmarks/fleet_model.py): 200
problems, 100 samples each, heavy-tailed lengths. The same over real HTTP, beside other ways, is
benchmarks/fleet_balance.py.
"""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.fleet_model import Lengths, Shape
from budgets.fullness import FIRST
from tests.budgets.budgets_virtual_time import run_virtual
from tests.fleet.fleet_twin import Twin

FULL, HALF = Shape(), Shape(speed=0.5)
START = 1000.0
"""Where the virtual clock begins."""


def whole(twin: Twin) -> list[tuple[int, int]]:
    return [(problem, slot) for problem in range(twin.problems) for slot in range(twin.samples)]


@pytest.mark.parametrize(
    ("shapes", "most"), [([FULL] * 8, 1.05), ([FULL] * 4 + [HALF] * 4, 1.07)], ids=["equal", "half"]
)
def test_servers_are_full_to_the_end(shapes: list[Shape], most: float) -> None:
    twin = Twin(shapes)
    result = run_virtual(twin.run())
    assert result.slots() == whole(twin)
    bound_s = result.tokens / sum(shape.tokens_s for shape in shapes)
    assert result.wall_s <= most * bound_s
    # Never a deep queue: at most what is sent before the places of a server are known.
    assert result.most_waiting <= FIRST - FULL.max_sequences + twin.n
    shares = [server.tally.output_tokens / result.tokens for server in twin.fleet.servers]
    for share, shape in zip(shares, shapes, strict=True):
        fair = shape.tokens_s / sum(each.tokens_s for each in shapes)
        assert share == pytest.approx(fair, rel=0.12)


def test_short_answers_that_wait_for_a_step_are_no_full_server() -> None:
    """What has just come waits while most places are empty: that must not hold the fleet back."""
    front = Shape(1024, step_s_per_sequence=0.00002, front_s=0.004)
    twin = Twin([front] * 2, problems=40, samples=800, n=16, lengths=Lengths(mean=3, most=24))
    result = run_virtual(twin.run())
    assert result.slots() == whole(twin)
    requests = sum(server.tally.answers for server in twin.fleet.servers)
    # The first seconds, in which it is found out, are a third of so short a run.
    assert result.wall_s <= 1.6 * requests * front.front_s / 2


def test_a_killed_a_hung_a_failing_and_a_late_server() -> None:
    """Every sample once, each with its one seed, in little more than the least time."""
    up: dict[str, list[tuple[float, float]]] = {}

    async def events(twin: Twin) -> None:
        await asyncio.sleep(40)
        twin.models[0].become("dead")
        await asyncio.sleep(20)
        twin.models[1].become("hung")
        twin.models[2].become("failing")
        await asyncio.sleep(20)
        twin.fleet.add(twin.server(FULL))
        await asyncio.sleep(20)
        twin.models[2].become("up")

    twin = Twin([FULL] * 8, events=events)
    result = run_virtual(twin.run())
    end = result.wall_s
    up["killed"], up["hung"], up["late"] = [(0, 40)], [(0, 60)], [(80, end)]
    up["failing"] = [(0, 60), (100, end)]
    there_s = sum(b - a for spans in up.values() for a, b in spans) + 5 * end
    assert result.slots() == whole(twin)
    assert all(len(set(seeds)) == 1 for seeds in result.tried.values())
    # In proportion, since what was there depends on when it ended.
    assert there_s * FULL.tokens_s <= 1.15 * result.tokens
    late = twin.fleet.servers[-1].tally.samples
    assert late > 0.4 * max(server.tally.samples for server in twin.fleet.servers)
    for number, why in ((0, "reset"), (1, "hangs"), (2, "500")):
        assert any(f"server {number} is put aside" in said and why in said for said in result.told)
    assert twin.fleet.servers[2].health.well, "it came back by itself"


def test_without_metrics_speed_and_room_are_found_from_outside() -> None:
    twin = Twin([FULL] * 2 + [HALF] * 2, problems=100, tells=False)
    result = run_virtual(twin.run())
    assert result.slots() == whole(twin)
    bound_s = result.tokens / sum(shape.tokens_s for shape in twin.shapes)
    assert result.wall_s <= 1.15 * bound_s


def test_all_down_is_waited_for_and_burns_nothing() -> None:
    async def events(twin: Twin) -> None:
        await asyncio.sleep(10)
        for model in twin.models:
            model.become("dead")
        await asyncio.sleep(120)
        for model in twin.models:
            model.become("up")

    twin = Twin([FULL] * 2, problems=40, samples=50, events=events)
    result = run_virtual(twin.run())
    assert result.slots() == whole(twin)
    assert max(map(len, result.tried.values())) <= 2, "nothing was asked while all were down"
