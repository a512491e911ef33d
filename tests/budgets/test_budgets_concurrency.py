"""How much a server is found to hold, in virtual time against a server of continuous batching."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from budgets.concurrency import Bursts
from budgets.levels import Level, Levels, gain
from budgets.limiter import Limiter, Permit, RequestOutcome
from budgets.usage import Usage
from tests.budgets.budgets_batching_server import BatchingServer
from tests.budgets.budgets_virtual_time import run_virtual


@dataclass
class Plan:
    """What came of a plan that was sent through a limiter."""

    tokens_per_s: float = 0.0
    """While there was something left to send."""
    outcomes: dict[str, int] = field(default_factory=dict)
    most_queue: float = 0.0
    """Of what waited beside what ran, once the first minute was over."""
    limit: int = 0


def send(
    concurrency: str,
    server: BatchingServer,
    *,
    requests: int,
    n: int = 1,
    timeout_s: float = 1e9,
    told: bool = False,
    failing: float = 0.0,
    failure: RequestOutcome = "overloaded",
    start_at: int = 0,
) -> Plan:
    """`told`: the server says every second what runs and waits. `failing`: at random, at once."""

    async def main() -> Plan:
        loop = asyncio.get_running_loop()
        limiter = Limiter(concurrency=concurrency, timeout_s=timeout_s, clock=loop.time)
        limiter.start_at(start_at)
        chance, plan, began, tokens = random.Random(5), Plan(), loop.time(), 0

        async def tell() -> None:
            while True:
                limiter.observe(server.load)
                await asyncio.sleep(1.0)

        telling = asyncio.create_task(tell()) if told else None
        for _ in range(requests):
            permit = await limiter.admit(10, 100 * n, n)
            sent_at = loop.time()

            def answered(how: RequestOutcome, came: int, sent_at=sent_at, permit=permit) -> None:  # type: ignore[no-untyped-def]
                nonlocal tokens
                tokens += came
                plan.outcomes[how] = plan.outcomes.get(how, 0) + 1
                limiter.done(
                    outcome=how,
                    sent_at=sent_at,
                    permit=permit,
                    retry_after_s=0.3 if how == "rate_limited" else None,
                    usage=Usage(input_tokens=10, output_tokens=came) if how == "ok" else None,
                )

            if chance.random() < failing:
                loop.call_later(0.02, answered, failure, 0)
            else:
                server.ask(n, answered, timeout_s)
        ended = loop.time()
        plan.tokens_per_s = tokens / (ended - began)
        await server.idle()
        await asyncio.sleep(0.1)
        assert limiter.in_flight == 0
        if telling is not None:
            telling.cancel()
        plan.limit = limiter.concurrency
        plan.most_queue = max(
            (
                waiting / max(1, running)
                for at, running, waiting in server.waiting_by_time
                if began + 60 < at < ended
            ),
            default=0.0,
        )
        return plan

    return run_virtual(main())


SERVERS = {
    "64 places": (dict(places=64), 1, 1800, ("64", "80")),
    "64 places, n = 13": (dict(places=64), 13, 400, ("12", "16", "24")),
    "4 places": (dict(places=4), 1, 400, ("4", "6")),
    "4 places, n = 13": (dict(places=4), 13, 60, ("1", "2")),
    "short answers": (dict(places=64, mean_tokens=4.3), 1, 20_000, ("128", "256")),
    "short answers, n = 13": (dict(places=64, mean_tokens=4.3), 13, 2000, ("16", "24")),
    "slower with each": (dict(places=256, per_sequence_s=0.0003), 4, 1200, ("100",)),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_auto_is_about_as_fast_as_the_best_fixed_and_its_queue_is_short(kind: str) -> None:
    shape, n, requests, fixed = SERVERS[kind]
    best = max(
        send(text, BatchingServer(**shape), n=n, requests=requests).tokens_per_s  # type: ignore[arg-type]
        for text in fixed
    )
    auto = send("auto", BatchingServer(**shape), n=n, requests=requests)  # type: ignore[arg-type]
    assert auto.tokens_per_s >= 0.85 * best
    assert auto.most_queue < max(5, 6 * n / shape["places"])  # type: ignore[operator]
    told = send("auto", BatchingServer(**shape), n=n, requests=requests, told=True)  # type: ignore[arg-type]
    assert told.tokens_per_s >= 0.85 * best
    # A request of more than the places makes a queue by itself.
    assert told.most_queue < 2 or told.most_queue <= 2 * n / shape["places"]  # type: ignore[operator]


@pytest.mark.parametrize(("n", "fixed"), [(1, "64"), (13, "6")])
def test_a_server_that_tells_is_filled_before_a_long_answer_has_come(n: int, fixed: str) -> None:
    """Its answers take most of a minute: by their speed alone it would be found full after five."""
    shape = dict(places=64, step_s=0.05, mean_tokens=2000.0)
    requests = 640 // n
    best = send(fixed, BatchingServer(**shape), n=n, requests=requests)  # type: ignore[arg-type]
    told = send("auto", BatchingServer(**shape), n=n, requests=requests, told=True)  # type: ignore[arg-type]
    assert told.tokens_per_s >= 0.85 * best.tokens_per_s


@pytest.mark.parametrize("n", [1, 13])
@pytest.mark.parametrize("told", [False, True])
def test_auto_does_not_wait_its_requests_into_the_timeout(n: int, told: bool) -> None:
    """The longest answer takes 20 s by itself: three times as much in flight would cut it off."""
    server = BatchingServer(places=32)
    plan = send("auto", server, n=n, requests=3000 // n, timeout_s=30.0, told=told)
    assert plan.outcomes == {"ok": 3000 // n}


@pytest.mark.parametrize("told", [False, True])
def test_timeouts_where_less_in_flight_is_faster_lower_it(told: bool) -> None:
    shape = dict(places=1024, per_sequence_s=0.002)
    auto = send("auto", BatchingServer(**shape), requests=2000, timeout_s=30.0, told=told)  # type: ignore[arg-type]
    fixed = send("128", BatchingServer(**shape), requests=2000, timeout_s=30.0)  # type: ignore[arg-type]
    assert auto.outcomes["timeout"] < 0.3 * fixed.outcomes["timeout"]


@pytest.mark.parametrize("failure", ["overloaded", "rate_limited", "timeout", "connection"])
def test_scattered_failures_cost_what_failed_and_nothing_else(failure: RequestOutcome) -> None:
    shape = dict(places=2000)
    calm = send("auto", BatchingServer(**shape), requests=10_000)  # type: ignore[arg-type]
    rough = send(
        "auto",
        BatchingServer(**shape),  # type: ignore[arg-type]
        requests=10_000,
        failing=0.02,
        failure=failure,
    )
    assert rough.tokens_per_s >= 0.9 * calm.tokens_per_s
    assert rough.limit >= 512


def test_a_burst_of_refusals_cuts_and_growth_begins_again() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        limiter = Limiter(concurrency="auto", clock=loop.time)
        limiter.start_at(100)
        limits = []
        for outcome in ("ok", "overloaded", "ok"):
            permits = [await limiter.admit(1, 1) for _ in range(100 if outcome != "ok" else 60)]
            await asyncio.sleep(1)
            for permit in permits:
                limiter.done(outcome=outcome, sent_at=loop.time() - 1, permit=permit)
            limits.append(limiter.concurrency)
        return limits

    assert run_virtual(main()) == [100, 70, 70]


def test_growth_stops_at_a_queue_that_headers_tell_of() -> None:
    """Before throughput shows it: beyond ten in flight a part of the second is a wait."""

    async def main(*, tells: bool) -> int:
        loop = asyncio.get_running_loop()
        limiter = Limiter(concurrency="auto", clock=loop.time)

        def answered(sent_at: float, permit: Permit, wait_s: float) -> None:
            headers = {"x-queue-time": f"{1000 * wait_s:.0f}"}
            usage = Usage(input_tokens=1, output_tokens=20)
            limiter.done(outcome="ok", sent_at=sent_at, headers=headers, usage=usage, permit=permit)

        for _ in range(600):
            permit = await limiter.admit(1, 20)
            wait_s = min(0.9, max(0.0, 0.05 * (limiter.in_flight - 10)))
            loop.call_later(1.0, answered, loop.time(), permit, wait_s if tells else 0.0)
        await asyncio.sleep(60)
        return limiter.concurrency

    assert 8 <= run_virtual(main(tells=True)) <= 40
    assert run_virtual(main(tells=False)) > 64


def test_a_servers_end_is_no_congestion() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        limiter = Limiter(concurrency="auto", clock=loop.time)
        limiter.start_at(100)
        limits = []
        for _ in range(3):
            permits = [await limiter.admit(1, 1) for _ in range(limiter.concurrency)]
            await asyncio.sleep(1)
            for permit in permits:
                limiter.done(outcome="overloaded", sent_at=loop.time() - 1, permit=permit)
            limits.append(limiter.concurrency)
        limiter.shut("it is gone")
        limiter.open()
        return [*limits, limiter.concurrency]

    assert run_virtual(main()) == [70, 49, 34, 100]


def test_a_limit_found_before_is_where_it_starts() -> None:
    plan = send("auto", BatchingServer(places=64), requests=300, start_at=64)
    assert plan.tokens_per_s > 0 and 50 <= plan.limit <= 80
    assert send("7", BatchingServer(), requests=20, start_at=64).limit == 7, "fixed is fixed"


def test_gain_is_the_power_of_what_is_in_flight() -> None:
    def level(in_flight: float, speed: float) -> Level:
        return Level(in_flight, speed, 1.0)

    assert gain(level(10, 5), level(20, 5)) == pytest.approx(1)
    assert gain(level(10, 5), level(20, 2.5)) == pytest.approx(0)
    levels = Levels()
    assert levels.next(levels.see(level(16, 10))) == 2, "nothing is known above"
    assert levels.next(levels.see(level(32, 10))) == 2
    knee = levels.next(levels.see(level(64, 6)))
    assert knee == pytest.approx(1.25), "it still paid, a little"
    assert levels.next(levels.see(level(80, 4.8))) == pytest.approx(0.8), "it did not: back"


def test_requests_counted_together_weigh_as_much_as_one_by_one() -> None:
    together, single = Bursts(0.2), Bursts(0.2)
    for sent, fails in ((7, 1), (200, 3), (0, 2), (31, 9), (1, 1)):
        together.send(sent)
        for _ in range(sent):
            single.send(1)
        assert [together.fail() for _ in range(fails)] == [single.fail() for _ in range(fails)]
        assert together.sent == pytest.approx(single.sent)
        assert together.failures == pytest.approx(single.failures)
