"""How full a server is, from its own readings: full at once, and never held to too little."""

from __future__ import annotations

import random

from budgets.fullness import FIRST, MOST_MARGIN, QUEUE, Fullness, ServerLoad

EVERY_S = 0.5
PLENTY = 100_000
"""In flight: so many that only the readings count."""


def room(fullness: Fullness, now: float) -> float:
    """Sequences that it may work on, as it is read at `now`."""
    assert fullness.load is not None
    return fullness.free(now, PLENTY) + fullness.load.running + fullness.load.waiting


def read(fullness: Fullness, number: int, running: float, waiting: float) -> float:
    now = number * EVERY_S
    fullness.read(ServerLoad(running, waiting), now, PLENTY)
    allowed = room(fullness, now)
    # All of it is used, and more is wanted.
    fullness.sent(max(0, int(allowed - running - waiting)))
    fullness.free(now, PLENTY)
    return allowed


def test_a_full_server_gets_its_places_and_a_short_queue() -> None:
    fullness, most = Fullness(), 0.0
    for number in range(40):
        allowed = read(fullness, number, 32, max(0.0, most - 32))
        most = allowed
    assert fullness.places == 32
    assert 32 * (1 + QUEUE) <= most <= 32 * (1 + QUEUE) + 1


def test_an_engine_that_runs_out_of_memory_gets_less() -> None:
    fullness = Fullness()
    for number in range(10):
        read(fullness, number, 64, 16)
    for number in range(10, 20):
        read(fullness, number, 40, 20)
    assert fullness.places == 40


def test_a_large_server_is_soon_given_more() -> None:
    fullness, allowed = Fullness(), FIRST
    for number in range(8):
        allowed = read(fullness, number, min(allowed, 1024), max(0.0, allowed - 1024))
    assert allowed >= 1024


def test_what_waits_for_the_next_step_is_no_queue() -> None:
    """A third of the readings see an arrival, and none sees all places taken for long."""
    fullness, allowed, chance = Fullness(), FIRST, random.Random(1)
    for number in range(60):
        running = chance.uniform(0, 1) * allowed
        arrived = chance.uniform(0, allowed - running) if chance.random() < 0.35 else 0.0
        allowed = min(read(fullness, number, running, arrived), 2000)
    assert allowed > 8 * FIRST


def test_nothing_grows_while_nothing_more_is_wanted() -> None:
    fullness = Fullness()
    for number in range(30):
        now = number * EVERY_S
        fullness.read(ServerLoad(40 * (number % 2), 0), now, PLENTY)
    assert room(fullness, 15.0) <= FIRST * MOST_MARGIN + 1
