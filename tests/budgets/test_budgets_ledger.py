"""The ledger's rules one by one, in small whole numbers of picodollars."""

import pytest

from budgets.journal import Event, MemoryJournal
from budgets.ledger import (
    DoesNotFit,
    Ledger,
    LedgerError,
    LedgerFault,
    Totals,
    Uncertain,
    UnknownReservation,
)


def ledger(**caps: int) -> Ledger:
    return Ledger.open(MemoryJournal(), caps or {"run": 100})


def test_a_settlement_frees_the_rest_of_the_worst_case() -> None:
    book = ledger()
    request = book.reserve(60)
    assert book.totals() == Totals(settled=0, uncertain=0, reserved=60, cap=100)
    book.settle(request, 12)
    assert book.totals() == Totals(settled=12, uncertain=0, reserved=0, cap=100)
    assert book.totals().free == 88


def test_what_does_not_fit_reserves_nothing_and_says_where() -> None:
    book = Ledger.open(MemoryJournal(), {"run": 100, "arm:0": 30, "arm:1": 20})
    with pytest.raises(DoesNotFit) as miss:
        book.reserve(31, ["arm:0", "arm:1"])
    assert (miss.value.scope, miss.value.worst, miss.value.free) == ("arm:1", 31, 20)
    assert [book.totals(scope).reserved for scope in ("run", "arm:0", "arm:1")] == [0, 0, 0]


def test_all_caps_take_a_reservation_together() -> None:
    book = Ledger.open(MemoryJournal(), {"run": 100, "arm:0": 30})
    request = book.reserve(30, ["arm:0", "model:m"])
    assert book.totals("arm:0").free == 0
    assert book.totals("model:m") == Totals(0, 0, 30, None)
    book.settle(request, 7)
    assert [book.totals(scope).settled for scope in ("run", "arm:0", "model:m")] == [7, 7, 7]


def test_a_scope_named_twice_counts_once() -> None:
    book = ledger()
    book.reserve(40, ["run", "arm:0", "arm:0"])
    assert (book.totals().reserved, book.totals("arm:0").reserved) == (40, 40)


def test_nothing_can_be_reserved_beyond_the_last_picodollar() -> None:
    book = ledger()
    book.reserve(99)
    book.reserve(1)
    with pytest.raises(DoesNotFit):
        book.reserve(1)
    book.reserve(0)


def test_held_money_counts_as_spent_until_it_is_resolved() -> None:
    book = ledger()
    request = book.reserve(60, ["arm:0"], note="request 7")
    book.hold(request, "timed out")
    assert book.uncertain() == [Uncertain(1, 60, "timed out", "request 7", ("run", "arm:0"))]
    with pytest.raises(DoesNotFit):
        book.reserve(41)
    book.resolve(request, 25, "provider's export")
    assert book.totals() == Totals(settled=25, uncertain=0, reserved=0, cap=100)
    assert book.uncertain() == []


def test_a_part_can_be_held() -> None:
    book = ledger()
    book.hold(book.reserve(60), "the prompt was read", amount=10)
    assert book.totals() == Totals(settled=0, uncertain=10, reserved=0, cap=100)


def test_a_release_costs_nothing() -> None:
    book = ledger()
    book.release(book.reserve(60))
    assert book.totals() == Totals(0, 0, 0, 100)


def test_a_reservation_ends_once() -> None:
    book = ledger()
    request = book.reserve(10)
    book.settle(request, 1)
    for end in (
        lambda: book.settle(request, 1),
        lambda: book.release(request),
        lambda: book.hold(request, "again"),
        lambda: book.resolve(request, 1, "never held"),
        lambda: book.settle(99, 1),
    ):
        with pytest.raises(UnknownReservation, match="unknown or already finished"):
            end()
    assert book.totals() == Totals(1, 0, 0, 100)


@pytest.mark.parametrize("amount", [-1, 1.0, "1", True, None])
def test_only_whole_picodollars_are_taken(amount: object) -> None:
    book = ledger()
    with pytest.raises(ValueError, match="whole, non-negative number of picodollars"):
        book.reserve(amount)  # type: ignore[arg-type]
    request = book.reserve(10)
    with pytest.raises(ValueError, match="whole, non-negative number of picodollars"):
        book.settle(request, amount)  # type: ignore[arg-type]


def test_a_bill_above_its_bound_is_charged_and_stops_reserving() -> None:
    book = ledger()
    first, second = book.reserve(10, note="request 1"), book.reserve(10)
    book.settle(first, 11)
    assert book.totals().settled == 11
    assert book.fault is not None
    assert "request 1 was billed $0.000000000011" in book.fault
    with pytest.raises(LedgerFault, match=r"above the \$0.00000000001 declared"):
        book.reserve(1)
    book.settle(second, 3)
    assert book.totals().settled == 14


def test_an_uncertain_amount_that_turns_out_dearer_is_a_fault_too() -> None:
    book = ledger()
    request = book.reserve(10)
    book.hold(request, "reset")
    book.resolve(request, 12, "export")
    assert book.totals().settled == 12
    assert book.fault is not None


def test_a_fault_survives_reopening_until_a_person_accepts_it() -> None:
    journal = MemoryJournal()
    book = Ledger.open(journal, {"run": 100})
    book.settle(book.reserve(10), 11)
    book = Ledger.open(journal, {"run": 100})
    with pytest.raises(LedgerFault):
        book.reserve(1)
    book.accept_fault("price corrected")
    book.reserve(1)
    assert Ledger.open(journal, {"run": 100}).fault is None


def test_reopening_holds_what_a_dead_process_left_open() -> None:
    journal = MemoryJournal()
    book = Ledger.open(journal, {"run": 100, "arm:0": 50})
    book.settle(book.reserve(10, ["arm:0"]), 4)
    book.reserve(30, ["arm:0"], note="request 2")
    again = Ledger.open(journal, {"run": 100, "arm:0": 50})
    assert again.totals() == Totals(settled=4, uncertain=30, reserved=0, cap=100)
    assert again.totals("arm:0").free == 16
    (left,) = again.uncertain()
    assert (left.purpose, left.note) == ("request 2", "the process ended before this was settled")
    assert again.reserve(1) == 3, "ids go on where they stopped"


def test_reading_changes_nothing_and_cannot() -> None:
    journal = MemoryJournal()
    Ledger.open(journal, {"run": 100}).reserve(30)
    before = list(journal.events())
    looked = Ledger.read(journal.events())
    assert looked.totals() == Totals(0, 0, 30, 100)
    assert looked.open_reservations == 1
    with pytest.raises(LedgerError, match="for reading only"):
        looked.reserve(1)
    assert list(journal.events()) == before


def test_caps_change_on_reopening_and_only_then_leave_an_event() -> None:
    journal = MemoryJournal()
    Ledger.open(journal, {"run": 100, "arm:0": 9})
    Ledger.open(journal, {"run": 100})
    assert [event.kind for event in journal.events()] == ["cap", "cap"]
    book = Ledger.open(journal, {"run": 200, "arm:0": None})
    assert (book.totals().cap, book.totals("arm:0").cap) == (200, None)
    assert list(journal.events())[2] == Event("cap", 0, 200, ("run",))


def test_a_lowered_cap_stops_sending_and_undoes_nothing() -> None:
    book = ledger()
    request = book.reserve(80)
    book.set_cap("run", 50)
    assert book.totals().free == -30
    with pytest.raises(DoesNotFit):
        book.reserve(0 + 1)
    book.settle(request, 20)
    assert book.reserve(30)


def test_the_run_without_a_cap_takes_everything() -> None:
    book = Ledger.open(MemoryJournal(), {})
    book.reserve(10**30)
    assert book.totals().free is None
    assert book.room() is None


def test_room_is_the_least_of_what_is_free() -> None:
    book = Ledger.open(MemoryJournal(), {"run": 100, "arm:0": 30})
    book.reserve(10)
    assert (book.room(), book.room(["arm:0"]), book.room(["arm:1"])) == (90, 30, 90)


def test_costs_noticed_afterwards_are_counted_and_passing_a_cap_is_a_fault() -> None:
    book = ledger()
    book.charge_uncertain(70, ["arm:0"], "ran on")
    assert (book.totals().uncertain, book.fault) == (70, None)
    book.charge_uncertain(31, (), "ran on")
    assert book.totals().uncertain == 101
    assert book.fault is not None
    assert "passes the cap of 'run' by $0.000000000001" in book.fault


def test_replaying_the_journal_gives_the_same_ledger() -> None:
    journal = MemoryJournal()
    book = Ledger.open(journal, {"run": 1000, "arm:0": 400})
    requests = [book.reserve(40 + i, ["arm:0"] if i % 2 else ["arm:1"]) for i in range(9)]
    book.settle(requests[0], 1)
    book.release(requests[1])
    book.hold(requests[2], "reset")
    book.hold(requests[3], "timeout", amount=5)
    book.resolve(requests[2], 17, "bill")
    copy = Ledger.read(journal.events())
    for scope in book.scopes():
        assert copy.totals(scope) == book.totals(scope)
    assert copy.uncertain() == book.uncertain()
    assert copy.open_reservations == book.open_reservations == 5
