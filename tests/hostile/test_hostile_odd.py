"""Odd answers, as servers are reported to give them: none ends a run, and the books stay true."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from budgets.money import picodollars
from tests.hostile.bill import faults
from tests.hostile.odd import (
    BROKEN,
    DOUBTFUL,
    INSIDE,
    NO_CREDIT_INSIDE,
    OTHER_MODELS,
    READABLE,
    SHAPES,
    STOPPING,
)
from tests.hostile.odd_bodies import BODIES, CUT, DIALECTS, HELD_BODIES
from tests.hostile.odd_refusals import BETWEEN, LIMITED, OVERLOADED, PAID, SLIPS, WRONG
from tests.hostile.odd_words import LIMITED_WORDS, OVERLOADED_WORDS, WRONG_WORDS
from tests.hostile.runs import MIX, Book, hostile_book
from tests.hostile.test_hostile_runs import check_books, some

PROBLEMS = 10


def ask(book: Book, requests: int, *more: object) -> tuple[int, str]:
    """Buy so many requests of two choices each."""
    samples = 2 * -(-requests // PROBLEMS)
    return book.run(*book.first(samples, "50", 1, "--max-concurrent=8", *more))


def rows(book: Book, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{book.directory / 'run.db'}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def one(book: Book, query: str) -> Any:
    return rows(book, query)[0][0]


def script(names: list[str]) -> str:
    """The faults of the first requests, by order; what is asked beyond them is plain."""
    return ",".join(names)


def test_what_can_be_read_is_kept_and_settled_exactly(tmp_path: Path) -> None:
    names = [*READABLE, *OTHER_MODELS]
    with hostile_book(
        tmp_path, faults="", script=script(names), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(names))
        assert code == 0, output
        seen = faults(book.bill_path)
        assert set(names) <= set(seen)
        totals = book.totals()
        assert totals.uncertain == 0, rows(
            book, "SELECT doubt, usage FROM answers WHERE doubt != ''"
        )
        assert totals.settled == book.bill
        assert one(book, "SELECT count(*) FROM samples WHERE kind = 'censored'") == 0
        judged = one(book, "SELECT count(*) FROM verdicts")
        assert judged == one(book, "SELECT count(*) FROM samples") == 2 * -(-len(names) // 10) * 10
        assert one(book, "SELECT count(*) FROM failures") == 0
        kept = {odd for (odd,) in rows(book, "SELECT odd FROM bodies")}
        assert any("prompt_tokens_details" in odd for odd in kept)
        assert ("hostile-mini",) in rows(book, "SELECT content FROM repeated")
        raw = {word for (word,) in rows(book, "SELECT DISTINCT finish_raw FROM samples")}
        assert {"stop", "because", "1", ""} <= raw


def test_what_is_not_certain_is_held_and_never_more(tmp_path: Path) -> None:
    with hostile_book(
        tmp_path, faults="", script=script(list(DOUBTFUL)), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(DOUBTFUL))
        assert code == 0, output
        assert set(DOUBTFUL) <= set(faults(book.bill_path))
        check_books(book, "50")
        assert one(book, "SELECT count(*) FROM samples WHERE kind = 'censored'") == 0
        doubts = " ".join(doubt for (doubt,) in rows(book, "SELECT doubt FROM answers"))
        for said in ("without usage", "its server says", "'priority'", "'quantum'", "tools run"):
            assert said in doubts
        assert "not all of the cost is certain" in " ".join(output.split())


def test_what_a_server_broke_off_is_never_judged(tmp_path: Path) -> None:
    with hostile_book(
        tmp_path, faults="", script=script(list(BROKEN)), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(BROKEN))
        assert code == 0, output
        check_books(book, "50")
        censored = one(book, "SELECT count(*) FROM samples WHERE kind = 'censored'")
        assert censored == 2 * len(BROKEN)
        assert one(book, "SELECT count(*) FROM verdicts") == (
            one(book, "SELECT count(*) FROM samples") - censored
        )
        raw = {word for (word,) in rows(book, "SELECT finish_raw FROM samples")}
        assert {"error", "abort", "insufficient_system_resource", "network_error"} <= raw
        assert "broken off by the server" in output


def test_an_error_inside_a_200_is_what_its_status_would_be(tmp_path: Path) -> None:
    names = [name for name in INSIDE if name not in STOPPING]
    with hostile_book(
        tmp_path, faults="", script=script(names), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(names))
        assert code == 0, output
        totals = book.totals()
        assert totals.settled == book.bill and totals.uncertain == 0
        kinds = dict(rows(book, "SELECT kind, count(*) FROM failures GROUP BY kind"))
        assert kinds == {
            "RateLimited": sum("429" in name for name in names),
            "Overloaded": sum("429" not in name for name in names),
        }


@pytest.mark.parametrize("name", sorted(NO_CREDIT_INSIDE))
def test_no_credit_inside_a_200_stops_the_run(tmp_path: Path, name: str) -> None:
    with hostile_book(tmp_path, faults="", script=f"ok,ok,{name}", problems=PROBLEMS) as book:
        code, output = book.run(*book.first(20, "5", 1, "--max-concurrent=1"))
        assert code == 4, output
        assert "Insufficient Balance" in " ".join(output.split())
        assert book.totals().uncertain == 0 and book.totals().settled == book.bill


@pytest.mark.parametrize("style", ["chat", "completion"])
def test_odd_bodies_and_wires_are_read_and_settled_exactly(tmp_path: Path, style: str) -> None:
    with hostile_book(
        tmp_path, faults="", script=script(list(BODIES)), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(BODIES), f"--prompt-style={style}")
        assert code == 0, output
        assert set(BODIES) <= set(faults(book.bill_path))
        strange = (
            rows(book, "SELECT request, odd FROM bodies"),
            rows(book, "SELECT kind, message FROM failures"),
        )
        totals = book.totals()
        assert totals.uncertain == 0, rows(
            book, "SELECT request, doubt, usage FROM answers WHERE doubt != ''"
        )
        assert totals.settled == book.bill, strange
        assert rows(book, "SELECT kind, message FROM failures") == []
        assert one(book, "SELECT count(*) FROM samples WHERE kind = 'censored'") == 0
        assert one(book, "SELECT count(*) FROM samples WHERE text = ''") == 0


def test_answers_of_other_protocols_are_read_and_settled_exactly(tmp_path: Path) -> None:
    with hostile_book(
        tmp_path, faults="", script=script(list(DIALECTS)), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(DIALECTS) // 2 + 1, "--n-per-request=1")
        assert code == 0, output
        assert set(DIALECTS) <= set(faults(book.bill_path))
        assert rows(book, "SELECT kind, message FROM failures") == []
        assert book.totals().uncertain == 0 and book.totals().settled == book.bill
        assert one(book, "SELECT count(*) FROM samples WHERE text = ''") == 0


def test_where_the_money_cannot_be_read_the_text_is_kept(tmp_path: Path) -> None:
    with hostile_book(
        tmp_path, faults="", script=script(list(HELD_BODIES)), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(HELD_BODIES))
        assert code == 0, output
        assert set(HELD_BODIES) <= set(faults(book.bill_path))
        check_books(book, "50")
        assert rows(book, "SELECT kind, message FROM failures") == []
        assert one(book, "SELECT count(*) FROM samples WHERE kind = 'censored'") == 0
        doubted = one(book, "SELECT count(*) FROM answers WHERE doubt != ''")
        assert doubted == len(HELD_BODIES)


def test_an_answer_that_was_cut_is_censored_whole(tmp_path: Path) -> None:
    with hostile_book(
        tmp_path, faults="", script=script(list(CUT)), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(CUT))
        assert code == 0, output
        check_books(book, "50")
        assert faults(book.bill_path).total() == 10 * -(-len(CUT) // 10), "nothing is drawn again"
        assert one(book, "SELECT count(*) FROM samples WHERE kind = 'censored'") == 2 * len(CUT)
        assert one(book, "SELECT count(*) FROM failures") >= len(CUT)


@pytest.mark.parametrize(
    ("shapes", "kind"), [
        ({**LIMITED, **LIMITED_WORDS}, "RateLimited"),
        ({**OVERLOADED, **OVERLOADED_WORDS}, "Overloaded"),
    ],
    ids=["limited", "overloaded"],
)  # fmt: skip
def test_what_passes_is_asked_again_and_costs_nothing(
    tmp_path: Path, shapes: dict[str, object], kind: str
) -> None:
    names = [name for shape in shapes for name in ("ok", shape)]
    with hostile_book(
        tmp_path, faults="", script=script(names), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(names), "--max-retries=8")
        assert code == 0, output
        assert dict(rows(book, "SELECT kind, count(*) FROM failures GROUP BY kind")) == {
            kind: len(shapes)
        }, rows(book, "SELECT kind, message FROM failures")
        assert book.totals().uncertain == 0 and book.totals().settled == book.bill


def test_what_stands_between_may_have_billed_and_is_held(tmp_path: Path) -> None:
    names = [name for shape in BETWEEN for name in ("ok", shape)]
    with hostile_book(
        tmp_path, faults="", script=script(names), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(names), "--max-retries=8")
        assert code == 0, output
        check_books(book, "50")
        censored = one(book, "SELECT count(*) FROM samples WHERE kind = 'censored'")
        assert censored == 2 * 2, "504 and 524 cut long generations"


def test_what_was_written_before_an_error_is_paid_for_and_not_drawn_again(tmp_path: Path) -> None:
    with hostile_book(
        tmp_path, faults="", script=script(list(PAID)), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(PAID))
        assert code == 0, output
        assert book.totals().uncertain == 0 and book.totals().settled == book.bill
        assert one(book, "SELECT count(*) FROM samples WHERE kind = 'censored'") == 2 * len(PAID)


def test_what_is_refused_for_itself_costs_its_slots_alone(tmp_path: Path) -> None:
    names = ["ok"] * 8 + list(WRONG) + list(WRONG_WORDS)
    with hostile_book(
        tmp_path, faults="", script=script(names), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(names))
        assert code == 1, output
        assert dict(rows(book, "SELECT kind, count(*) FROM failures GROUP BY kind")).keys() == {
            "InvalidRequest"
        }
        assert book.totals().uncertain == 0 and book.totals().settled == book.bill
        said = " ".join(output.split())
        assert "it was refused" in said and "could not be filled" in said


def test_a_slip_among_many_answers_does_not_end_the_run(tmp_path: Path) -> None:
    names = ["ok"] * 8 + [name for shape in SLIPS for name in (shape, "ok", "ok")]
    with hostile_book(
        tmp_path, faults="", script=script(names), problems=PROBLEMS, latency="0,0"
    ) as book:
        code, output = ask(book, len(names))
        assert code == 0, output
        assert set(SLIPS) <= set(faults(book.bill_path))
        assert one(book, "SELECT count(*) FROM failures") == len(SLIPS)
        assert book.totals().uncertain == 0 and book.totals().settled == book.bill


ALL = MIX + "".join(f",{name}=0.0015" for name in SHAPES if name not in STOPPING)


@pytest.mark.parametrize("seed", some(range(20), in_the_suite=1))
def test_the_books_hold_under_every_shape_at_once(tmp_path: Path, seed: int) -> None:
    cap = "0.60"
    with hostile_book(tmp_path, faults=ALL, seed=seed, latency="0.01,0.05") as book:
        code, output = book.run(*book.first(1000, cap, seed, "--max-concurrent=60"))
        assert code in (3, 4), output
        check_books(book, cap)
        book.bought_twice()
        totals, whole = book.totals(), picodollars(cap)
        seen = faults(book.bill_path)
        print(
            f"seed {seed}: bill {book.bill / whole:.3f}, settled {totals.settled / whole:.3f}, "
            f"uncertain {totals.uncertain / whole:.3f} of the cap; {len(seen)} shapes"
        )
        assert code == 3, output
