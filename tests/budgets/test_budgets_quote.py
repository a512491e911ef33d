"""The quote of a plan against the same plan played out in a ledger."""

import heapq
import random
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets.journal import MemoryJournal
from budgets.ledger import DoesNotFit, Ledger
from budgets.money import picodollars
from budgets.price_book import PriceBook
from budgets.quote import PlannedProblem, Quote, Speed, forecast, quote
from budgets.usage import Usage

PRICE = PriceBook.load().find("gpt-4o", "openai", date(2024, 7, 31))
PLAN = [PlannedProblem(1200, 300, 25), PlannedProblem(2000, 500, 25)]


def test_a_plan_is_priced_by_hand() -> None:
    told = quote(PLAN, PRICE, n=10, max_tokens=1000, expected_output_tokens=200)
    assert (told.requests, told.samples) == (6, 50)
    assert told.prompt_tokens == 3 * 300 + 3 * 500
    assert told.output_tokens == 50 * 200
    assert told.expected == picodollars("0.162")  # 2,400 at $5 and 10,000 at $15 per million
    assert told.worst == picodollars("0.798")  # 9,600 at $5 and 50,000 at $15 per million
    assert told.request_worst == picodollars("0.16")
    assert (told.time_s, told.limited_by, told.budget_in_flight) == (None, "", None)
    assert told.completes


@pytest.mark.parametrize(
    ("speed", "seconds", "by"),
    [
        (Speed(per_minute={"requests": 3}), 120, "requests per minute (3)"),
        (Speed(per_minute={"tokens": 52_400}), 60, "tokens per minute (52400)"),
        (Speed(per_minute={"output-tokens": 2000}), 300, "output tokens per minute (2000)"),
        (Speed(per_minute={"input-tokens": 2400, "requests": 60}), 60, "input tokens per minute"),
        (Speed(concurrency=2, latency_s=10), 30, "concurrency (2)"),
        (Speed(concurrency=100, latency_s=10), 10, "concurrency (100)"),
    ],
)
def test_the_slowest_limit_sets_the_time(speed: Speed, seconds: float, by: str) -> None:
    told = quote(PLAN, PRICE, n=10, max_tokens=1000, expected_output_tokens=200, speed=speed)
    assert told.time_s == pytest.approx(seconds)
    assert told.limited_by.startswith(by)


def test_a_plan_that_does_not_fit_its_cap_says_so() -> None:
    def told(usd: str) -> Quote:
        return quote(
            PLAN, PRICE, n=10, max_tokens=1000, expected_output_tokens=200, cap=picodollars(usd)
        )

    assert told("0.162").completes
    assert not told("0.161").completes


@pytest.mark.parametrize(
    "numbers",
    [
        {"n": 0, "max_tokens": 10, "expected_output_tokens": 1},
        {"n": 1, "max_tokens": 0, "expected_output_tokens": 0},
        {"n": 1, "max_tokens": 10, "expected_output_tokens": 11},
    ],
)
def test_what_is_no_plan_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        quote(PLAN, PRICE, **numbers)


def play(cap: int, worst: int, cost: int, wanted: int) -> tuple[float, int, int]:
    """Run equal requests of one second each in a real ledger until the cap ends them.

    The first are sent spread over a second. Returns for how long the budget held the run below
    `wanted` in flight, the requests sent in that time, and the most that were in flight.
    """
    ledger = Ledger.open(MemoryJournal(), {"run": cap})
    ends: list[tuple[float, int]] = []
    now, most, bought = 0.0, 0, 0
    held_back_since: float | None = None
    while True:
        while len(ends) < wanted:
            try:
                reservation = ledger.reserve(worst)
            except DoesNotFit:
                if held_back_since is None:
                    held_back_since = now
                break
            heapq.heappush(ends, (now + 1.0, reservation))
            bought += held_back_since is not None
            most = max(most, len(ends))
            if now < 1.0:
                now += 1.0 / wanted
        if not ends:
            return now - (held_back_since or now), bought, most
        now, reservation = heapq.heappop(ends)
        ledger.settle(reservation, cost)


@pytest.mark.parametrize("max_tokens", [400, 1000, 4000])
def test_the_tail_is_as_long_as_a_run_in_a_ledger_shows(max_tokens: int) -> None:
    plan = [PlannedProblem(300, 300, 100_000)]
    cap = picodollars("30")
    told = quote(
        plan,
        PRICE,
        n=1,
        max_tokens=max_tokens,
        expected_output_tokens=200,
        cap=cap,
        speed=Speed(concurrency=500, latency_s=1.0),
    )
    worst = PRICE.worst(prompt_tokens=300, output_tokens=max_tokens)
    cost = PRICE.cost(Usage(input_tokens=300, output_tokens=200))
    slow, bought, most = play(cap, worst, cost, 500)
    assert told.budget_in_flight is not None
    assert most == min(500, told.budget_in_flight)
    assert not told.completes
    assert told.tail_s == pytest.approx(slow, rel=0.1, abs=1)
    assert told.tail_requests == pytest.approx(bought, rel=0.05, abs=5)


def test_a_cap_that_the_plan_does_not_come_near_has_no_tail() -> None:
    told = quote(
        PLAN,
        PRICE,
        n=10,
        max_tokens=1000,
        expected_output_tokens=200,
        cap=picodollars("50"),
        speed=Speed(concurrency=4, latency_s=5.0),
    )
    assert (told.tail_s, told.tail_requests) == (0.0, 0)
    assert told.budget_in_flight is not None and told.budget_in_flight > 300


def test_the_forecast_holds_at_its_level() -> None:
    """Of 120 pilots of problems with known cost distributions, about 95 % cover the truth."""
    random_ = random.Random(7)
    covered = 0
    for _ in range(120):
        means = [random_.uniform(1000, 50_000) for _ in range(30)]

        def draw(mean: float) -> int:
            return round(random_.gammavariate(4, mean / 4))

        pilot = [[draw(mean) for _ in range(12)] for mean in means]
        truth = sum(draw(mean) for mean in means for _ in range(100))
        told = forecast(pilot, [100] * 30)
        covered += told.low <= truth <= told.high
    assert 0.89 <= covered / 120 <= 0.99


def test_a_forecast_borrows_what_a_problem_lacks() -> None:
    told = forecast([[10, 14], [20], []], [10, 10, 10])
    assert told.expected == round(10 * 12 + 10 * 20 + 10 * 44 / 3)
    assert told.low < told.expected < told.high
    assert forecast([[5]], [4]).high == 20, "one request tells no spread"
    with pytest.raises(ValueError, match="one list of pilot costs per problem"):
        forecast([[]], [3])
    with pytest.raises(ValueError, match="one list of pilot costs per problem"):
        forecast([[1]], [3, 4])


@settings(max_examples=100, deadline=None)
@given(
    problems=st.lists(
        st.tuples(st.integers(1, 5000), st.integers(0, 5000), st.integers(0, 300)), max_size=8
    ),
    n=st.integers(1, 40),
    max_tokens=st.integers(1, 4000),
    share=st.floats(0, 1),
)
def test_a_quote_is_what_the_requests_add_up_to(
    problems: list[tuple[int, int, int]], n: int, max_tokens: int, share: float
) -> None:
    plan = [PlannedProblem(max(a, b), min(a, b), samples) for a, b, samples in problems]
    output = int(max_tokens * share)
    told = quote(plan, PRICE, n=n, max_tokens=max_tokens, expected_output_tokens=output)
    expected = worst = requests = 0
    for problem in plan:
        left = problem.samples
        while left:
            choices = min(n, left)
            left -= choices
            requests += 1
            usage = Usage(input_tokens=problem.prompt_tokens, output_tokens=output * choices)
            expected += PRICE.cost(usage)
            worst += PRICE.worst(
                prompt_tokens=problem.prompt_tokens_bound, output_tokens=max_tokens, n=choices
            )
    assert (told.requests, told.expected, told.worst) == (requests, expected, worst)
    assert told.expected <= told.worst
