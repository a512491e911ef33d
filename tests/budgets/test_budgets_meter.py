"""The time meter: exact time, the cap with the drain inside it, and its crash rule."""

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from budgets.clock import mark
from budgets.journal import MemoryJournal
from budgets.ledger import DoesNotFit, Ledger, LedgerFault
from budgets.meter import TimeMeter, count_gaps, hold_gap, time_cost
from budgets.money import picodollars

HOUR = 3600
DOLLAR = picodollars("1")


class Clock:
    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def open_ledger(cap: str | None = "1") -> Ledger:
    return Ledger.open(MemoryJournal(), {"run": None if cap is None else picodollars(cap)})


@pytest.mark.parametrize("ticks", [1, 7, 5000])
def test_time_is_settled_exactly_however_often_it_ticks(ticks: int) -> None:
    book, clock = open_ledger(None), Clock(0.0)
    meter = TimeMeter(book, 7 * DOLLAR + 1, clock=clock)
    meter.start()
    for tick in range(1, ticks + 1):
        clock.now = 12.25 * tick / ticks
        meter.tick()
    meter.stop()
    assert book.totals().settled == time_cost(7 * DOLLAR + 1, 12_250_000_000)
    assert book.totals().reserved == 0
    assert meter.held_s == 12.25


def test_the_next_slice_and_the_drain_are_always_reserved() -> None:
    book, clock = open_ledger("1"), Clock()
    meter = TimeMeter(book, DOLLAR, clock=clock, slice_s=2, drain_s=15)
    meter.start()
    assert book.totals().reserved == time_cost(DOLLAR, 17 * 10**9)
    clock.now += 2
    meter.tick()
    assert book.totals().settled == time_cost(DOLLAR, 2 * 10**9)
    assert book.totals().reserved == pytest.approx(time_cost(DOLLAR, 17 * 10**9), abs=1)
    assert not meter.exhausted
    assert meter.deadline is None


def test_a_budget_in_dollars_ends_a_server_inside_its_cap() -> None:
    book, clock = open_ledger("0.01"), Clock()  # 36 s at a dollar an hour
    meter = TimeMeter(book, DOLLAR, clock=clock, slice_s=2, drain_s=15)
    meter.start()
    begun = clock.now
    while not meter.exhausted:
        clock.now += 1
        meter.tick()
        assert book.totals().committed <= picodollars("0.01")
    assert clock.now - begun == 20, "36 s less the drain of 15: the last whole slice has begun"
    assert meter.deadline == begun + 36
    while clock.now < meter.deadline:
        clock.now += 1
        meter.tick()
    meter.stop()
    assert book.totals().settled == picodollars("0.01")
    assert book.fault is None


def test_money_that_comes_free_lets_the_meter_go_on() -> None:
    book, clock = open_ledger("0.01"), Clock()
    other = book.reserve(picodollars("0.004"))
    meter = TimeMeter(book, DOLLAR, clock=clock)
    meter.start()
    while not meter.exhausted:
        clock.now += 1
        meter.tick()
    book.release(other)
    clock.now += 1
    meter.tick()
    assert not meter.exhausted
    assert meter.deadline is None


def test_a_start_that_does_not_fit_is_refused() -> None:
    meter = TimeMeter(open_ledger("0.001"), DOLLAR, clock=Clock())
    with pytest.raises(DoesNotFit):
        meter.start()
    meter.tick()
    meter.stop()
    assert meter.settled == 0


def test_scopes_share_the_time() -> None:
    book, clock = open_ledger(), Clock()
    book.set_cap("arm:0", picodollars("0.5"))
    meter = TimeMeter(book, DOLLAR, ["arm:0"], clock=clock)
    meter.start()
    clock.now += 3
    meter.stop()
    assert book.totals("arm:0").settled == book.totals().settled == time_cost(DOLLAR, 3 * 10**9)


def test_a_cap_lowered_below_what_is_spent_still_pays_for_the_drain() -> None:
    book, clock = open_ledger("1"), Clock()
    meter = TimeMeter(book, DOLLAR, clock=clock)
    meter.start()
    book.set_cap("run", 1)
    clock.now += 1
    meter.tick()
    assert meter.exhausted
    assert meter.deadline == clock.now + 16
    clock.now += 10
    meter.stop()
    assert book.totals().settled == time_cost(DOLLAR, 11 * 10**9)
    assert book.fault is None


def test_a_clock_set_back_gives_nothing_back() -> None:
    book, clock = open_ledger(), Clock()
    meter = TimeMeter(book, DOLLAR, clock=clock)
    meter.start()
    clock.now += 5
    meter.tick()
    settled = book.totals().settled
    clock.now -= 100
    meter.tick()
    assert book.totals().settled == settled
    meter.stop()
    assert book.totals().settled == settled


def test_sleeping_past_what_was_reserved_is_charged_and_is_a_fault() -> None:
    book, clock = open_ledger(), Clock()
    meter = TimeMeter(book, DOLLAR, clock=clock, server="server 0")
    meter.start()
    clock.now += 60
    meter.tick()
    assert book.totals().settled == time_cost(DOLLAR, 60 * 10**9)
    assert book.fault is not None and "server 0" in book.fault
    assert meter.exhausted


def test_a_fault_stays_the_end_of_the_money_tick_after_tick() -> None:
    book, clock = open_ledger(), Clock()
    meter = TimeMeter(book, DOLLAR, clock=clock)
    meter.start()
    clock.now += 60
    for _ in range(5):
        meter.tick()
        assert meter.exhausted
        clock.now += 1
    # A fault of another reservation ends it as well, while its own slice is still paid for.
    book, clock = open_ledger(), Clock()
    meter = TimeMeter(book, DOLLAR, clock=clock)
    meter.start()
    book.settle(book.reserve(1), 2)
    for _ in range(5):
        meter.tick()
        assert meter.exhausted and meter.deadline == pytest.approx(1_700_000_017)


def test_a_free_server_never_runs_out() -> None:
    book, clock = open_ledger("0"), Clock()
    meter = TimeMeter(book, 0, clock=clock)
    meter.start()
    for _ in range(50):
        clock.now += 2
        meter.tick()
    assert not meter.exhausted
    meter.stop()
    assert book.totals().committed == 0


def test_after_a_crash_the_slice_the_drain_and_the_gap_are_uncertain() -> None:
    journal, clock = MemoryJournal(), Clock()
    book = Ledger.open(journal, {"run": DOLLAR})
    meter = TimeMeter(book, DOLLAR, ["arm:0"], clock=clock, wall=clock, server="launched server 0")
    meter.start()
    for _ in range(5):
        clock.now += 2
        meter.tick()
    clock.now += 1  # the crash comes in the middle of a slice
    again = Ledger.open(journal, {"run": DOLLAR})
    (left,) = again.uncertain()
    assert left.time is not None and left.time.server == "launched server 0"
    assert again.totals().settled == time_cost(DOLLAR, 10 * 10**9)
    assert left.amount == pytest.approx(time_cost(DOLLAR, 17 * 10**9), abs=1)

    covered = clock.now - 1 + 17
    assert hold_gap(again, left, seen=covered - 3) == 0, "within what is held already"
    gap = hold_gap(again, left, seen=covered + 42)
    assert gap == pytest.approx(time_cost(DOLLAR, 42 * 10**9), abs=DOLLAR // 10**6)
    assert again.totals("arm:0").uncertain == left.amount + gap
    truth = time_cost(DOLLAR, (11 + 16 + 42) * 10**9)
    assert truth <= again.totals().committed + DOLLAR // 10**6


def test_only_a_borrowed_server_has_a_gap_and_it_is_counted_once() -> None:
    for borrowed in (False, True):
        journal, clock = MemoryJournal(), Clock()
        meter = TimeMeter(
            Ledger.open(journal, {"run": DOLLAR}),
            DOLLAR,
            clock=clock,
            wall=clock,
            server="m",
            borrowed=borrowed,
        )
        meter.start()
        after = clock.now + 17 + 360
        again = Ledger.open(journal, {"run": DOLLAR})
        gap = count_gaps(again, after)
        assert gap == (pytest.approx(DOLLAR // 10, abs=DOLLAR // 10**6) if borrowed else 0)
        assert again.totals().uncertain == time_cost(DOLLAR, 17 * 10**9) + gap
        third = Ledger.open(journal, {"run": DOLLAR})
        assert third.left_open == () and count_gaps(third, after + 3600) == 0
        assert third.totals() == again.totals()


@pytest.mark.parametrize("how", ["resolved", "a higher cap"])
def test_a_gap_beyond_the_cap_stops_until_it_is_cleared_up(how: str) -> None:
    journal, clock = MemoryJournal(), Clock()
    meter = TimeMeter(
        Ledger.open(journal, {"run": DOLLAR}), DOLLAR, clock=clock, wall=clock, borrowed=True
    )
    meter.start()
    book = Ledger.open(journal, {"run": DOLLAR})
    count_gaps(book, clock.now + 2 * HOUR)
    assert book.fault is not None and "nobody watched the server for 7183 s" in book.fault
    with pytest.raises(LedgerFault):
        book.reserve(1)
    # Read back from disk it is the same; a person's word, or more money, mends it.
    again = Ledger.open(journal, {"run": DOLLAR})
    assert again.fault == book.fault
    if how == "resolved":
        for item in again.uncertain():
            again.resolve(item.reservation, 0, "not held")
    else:
        again.set_cap("run", 3 * DOLLAR)
    assert again.fault is None and Ledger.read(journal.events()).fault is None
    # A bill above its bound is not mended by either.
    again.settle(again.reserve(1), 5)
    assert Ledger.open(journal, {"run": 9 * DOLLAR}).fault is not None


def test_only_a_meters_slice_has_a_gap() -> None:
    book = open_ledger()
    book.hold(book.reserve(5, note="request 1"), "reset")
    (other,) = book.uncertain()
    assert other.time is None
    with pytest.raises(ValueError, match="is not a meter's"):
        hold_gap(book, other, 0.0)


@settings(max_examples=200, deadline=None)
@given(
    rate=st.integers(1, 200 * DOLLAR),
    steps=st.lists(st.floats(0, 2), min_size=1, max_size=80),
    cap=st.integers(0, DOLLAR // 4),
)
def test_ticking_in_time_never_passes_the_cap(rate: int, steps: list[float], cap: int) -> None:
    book, clock = Ledger.open(MemoryJournal(), {"run": cap}), Clock(0.0)
    meter = TimeMeter(book, rate, clock=clock)
    try:
        meter.start()
    except DoesNotFit:
        assert time_cost(rate, 17 * 10**9) > cap
        return
    for step in steps:
        deadline = meter.deadline
        if deadline is not None and clock.now + step > deadline:
            clock.now = deadline
            break
        clock.now += step
        meter.tick()
        assert book.totals().committed <= cap
    meter.stop()
    assert book.fault is None
    assert book.totals().settled == time_cost(rate, -int(-clock.now * 10**9 // 1)) <= cap


def test_time_cost_is_rounded_up_and_grows() -> None:
    costs = [time_cost(DOLLAR, nanoseconds) for nanoseconds in range(100)]
    assert costs[0] == 0 and costs[1] == 1
    assert all(later >= earlier for earlier, later in pairwise(costs))
    assert time_cost(DOLLAR, HOUR * 10**9) == DOLLAR


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_wall_clock_that_is_set_changes_neither_the_time_nor_the_deadline(step: int) -> None:
    book, clock, wall = open_ledger("0.01"), Clock(50.0), Clock()
    meter = TimeMeter(book, DOLLAR, clock=clock, wall=wall)
    meter.start()
    for second in range(36):
        clock.now += 1
        wall.now += step if second == 3 else 1
        meter.tick()
        assert book.totals().settled == time_cost(DOLLAR, (second + 1) * 10**9) or meter.exhausted
    meter.stop()
    assert book.totals().settled == picodollars("0.01") and book.fault is None
    assert meter.deadline == 50 + 36 and meter.near_the_end(0)


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_the_gap_after_a_crash_is_that_of_the_machine_unless_it_was_started_anew(step: int) -> None:
    journal, clock, wall = MemoryJournal(), Clock(50.0), Clock()
    meter = TimeMeter(
        Ledger.open(journal, {"run": DOLLAR}), DOLLAR, clock=clock, wall=wall, borrowed=True
    )
    meter.start()
    seen = wall.now + 17 + 42 + step
    same = Ledger.open(MemoryJournal(journal.events()), {"run": DOLLAR})
    here = mark()._replace(held_s=50.0 + 17 + 42)
    assert count_gaps(same, seen, here) == time_cost(DOLLAR, 42 * 10**9)
    later = Ledger.open(MemoryJournal(journal.events()), {"run": DOLLAR})
    gap = count_gaps(later, seen, here._replace(boot="another"))
    assert gap == pytest.approx(max(0, time_cost(DOLLAR, (42 + step) * 10**9)), abs=DOLLAR // 10**6)
