"""Dividing a bill over what was uncertain, and reading the bill."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from budgets.money import picodollars
from budgets.resolve import spread
from budgets.totals import Totals, Uncertain
from orchestrator.audit.bill import BillRow, Resolution, read_export, resolutions
from orchestrator.errors import ConfigError


@given(
    amounts=st.lists(st.integers(0, 10**13), max_size=30),
    share=st.fractions(0, 1),
)
def test_parts_add_up_and_none_is_above_what_was_held(amounts: list[int], share: float) -> None:
    total = int(sum(amounts) * share)
    parts = spread(amounts, total)
    assert sum(parts) == total
    assert all(0 <= part <= amount for part, amount in zip(parts, amounts, strict=True))


@given(st.lists(st.integers(1, 10**6), min_size=1), st.integers(0, 10**9))
def test_a_bill_above_everything_is_divided_whole(amounts: list[int], total: int) -> None:
    assert sum(spread(amounts, total)) == total


def test_what_cannot_be_divided_is_refused() -> None:
    assert spread([], 0) == [] and spread([0, 0], 0) == [0, 0]
    for amounts, total in (([], 1), ([0], 1), ([5], -1)):
        with pytest.raises(ValueError, match="cannot be divided"):
            spread(amounts, total)


def held(reservation: int, amount: int) -> Uncertain:
    return Uncertain(reservation, amount, "reset", f"request {reservation}", ("run",))


TOTALS = Totals(settled=100, uncertain=60, reserved=0, cap=1000)
UNCERTAIN = [held(4, 10), held(5, 20), held(6, 30)]


def test_ids_match_exactly_and_the_rest_shares_what_is_left() -> None:
    rows = [BillRow("a", 70), BillRow("b", 30), BillRow("c", 7), BillRow("x", 25)]
    answered = {"a": (1, 1), "b": (2, 2), "c": (4, 3)}
    assert resolutions(rows, UNCERTAIN, TOTALS, answered) == [
        Resolution(4, 7, 3),
        Resolution(5, 10, None),
        Resolution(6, 15, None),
    ]


def test_a_retry_that_was_answered_is_not_taken_for_the_try_that_was_not() -> None:
    rows = [BillRow("answered", 9), BillRow("lost", 8)]
    found = resolutions(rows, [held(1, 10)], Totals(9, 10, 0, 100), {"answered": (2, 1)})
    assert found == [Resolution(1, 8, None)]


def test_a_sum_alone_leaves_what_is_not_settled() -> None:
    found = resolutions([BillRow("", 130)], UNCERTAIN, TOTALS, {})
    assert [item.actual for item in found] == [5, 10, 15]


@pytest.mark.parametrize("total", [99, 161])
def test_a_sum_that_cannot_be_is_refused(total: int) -> None:
    with pytest.raises(ConfigError, match=r"not the whole bill|counts other requests"):
        resolutions([BillRow("", total)], UNCERTAIN, TOTALS, {})


def test_a_bill_above_every_bound_can_be_forced() -> None:
    found = resolutions([BillRow("", 220)], UNCERTAIN, TOTALS, {}, above_bound=True)
    assert [item.actual for item in found] == [20, 40, 60]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.data())
def test_what_is_resolved_is_always_the_bill(amounts: list[int], data: st.DataObject) -> None:
    uncertain = [held(number, amount) for number, amount in enumerate(amounts, start=1)]
    known = data.draw(st.sets(st.sampled_from(range(1, len(amounts) + 1))))
    costs = {number: data.draw(st.integers(0, amounts[number - 1])) for number in known}
    rest = sum(amount for number, amount in enumerate(amounts, 1) if number not in known)
    lost = data.draw(st.integers(0, rest))
    assume(costs or lost)
    rows = [BillRow(f"id-{number}", cost) for number, cost in costs.items()]
    if lost:
        rows.append(BillRow("nobody knows", lost))
    answered = {f"id-{number}": (number, number) for number in known}
    found = resolutions(rows, uncertain, Totals(0, sum(amounts), 0, None), answered)
    assert sum(item.actual for item in found) == sum(costs.values()) + lost
    assert sorted(item.reservation for item in found) == list(range(1, len(amounts) + 1))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("Request ID,Cost (USD)\na,0.5\n b ,$1.25\n", [("a", "0.5"), ("b", "1.25")]),
        ("\ufeffcost;x\n", None),
        ("\ufeffcost,model\n1e-6,m\n,m\n", [("", "0.000001"), ("", "0")]),
        ('amount,id\n"1,234.50",z\n', [("z", "1234.50")]),
    ],
)
def test_exports_of_several_shapes(
    tmp_path: Path, text: str, rows: list[tuple[str, str]] | None
) -> None:
    path = tmp_path / "export.csv"
    path.write_text(text, encoding="utf-8")
    if rows is None:
        with pytest.raises(ConfigError, match=r"no column of costs .*its columns are cost_x"):
            read_export(path)
    else:
        assert read_export(path) == [BillRow(name, picodollars(usd)) for name, usd in rows]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"id,cost\na,much\n", r"export.csv, line 2: 'much' is not an amount"),
        (b"id,cost\na,1\nb,-1\n", r"export.csv, line 3: -1 is negative"),
        (b"", "has no column of costs"),
        (b"cost\n\xff\xfe\n", "is not a CSV file in UTF-8"),
    ],
)
def test_a_bad_export_is_refused_with_its_line(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=complaint):
        read_export(path)
