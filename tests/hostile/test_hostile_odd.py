"""Odd answers, as servers are reported to give them: none ends a run, and the books stay true."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
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


def rows(book: Book, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{book.directory / 'run.db'}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def one(book: Book, query: str) -> Any:
    return rows(book, query)[0][0]


def words(book: Book, query: str) -> set[str]:
    """The first column of a query."""
    return {row[0] for row in rows(book, query)}


def after_ok(names: Sequence[str]) -> list[str]:
    """Each shape after a plain answer."""
    return [name for shape in names for name in ("ok", shape)]


@dataclass(frozen=True)
class Odd:
    """One kind of odd answers, asked for in one run, and what must come of it."""

    script: Sequence[str]
    """The shapes of the first requests, in order; what is asked beyond them is plain."""
    flags: tuple[str, ...] = ()
    requests: int = 0
    """How many are asked, of two choices each; 0: as many as the script has shapes."""
    code: int = 0
    exact: bool = True
    """Whether all of the bill is settled and nothing held."""
    censored: int = 0
    """Slots that keep their place without a verdict."""
    failures: dict[str, int] | None = None
    """Failed tries by kind; None: any."""
    also: Callable[[Book, str], None] = lambda _book, _said: None
    """What else holds; told what orch said, on one line."""


def readable(book: Book, _: str) -> None:
    assert one(book, "SELECT count(*) FROM verdicts") == one(book, "SELECT count(*) FROM samples")
    assert any("prompt_tokens_details" in odd for odd in words(book, "SELECT odd FROM bodies"))
    assert "hostile-mini" in words(book, "SELECT content FROM repeated")
    assert {"stop", "because", "1", ""} <= words(book, "SELECT DISTINCT finish_raw FROM samples")


def doubted(book: Book, said: str) -> None:
    doubts = " ".join(words(book, "SELECT doubt FROM answers"))
    for part in ("without usage", "its server says", "'priority'", "'quantum'", "tools run"):
        assert part in doubts
    assert "not all of the cost is certain" in said


def broken_off(book: Book, said: str) -> None:
    unjudged = one(book, "SELECT count(*) FROM samples") - one(
        book, "SELECT count(*) FROM verdicts"
    )
    assert unjudged == 2 * len(BROKEN), "what a server broke off is never judged"
    raw = words(book, "SELECT finish_raw FROM samples")
    assert {"error", "abort", "insufficient_system_resource", "network_error"} <= raw
    assert "broken off by the server" in said


def with_text(book: Book, _: str) -> None:
    assert one(book, "SELECT count(*) FROM samples WHERE text = ''") == 0


def each_doubted(book: Book, _: str) -> None:
    assert one(book, "SELECT count(*) FROM answers WHERE doubt != ''") == len(HELD_BODIES)


def not_drawn_again(book: Book, _: str) -> None:
    assert faults(book.bill_path).total() == PROBLEMS * -(-len(CUT) // PROBLEMS)
    assert one(book, "SELECT count(*) FROM failures") >= len(CUT)


def refused_alone(book: Book, said: str) -> None:
    assert words(book, "SELECT kind FROM failures") == {"InvalidRequest"}
    assert "it was refused" in said and "could not be filled" in said


def once_each(book: Book, _: str) -> None:
    assert one(book, "SELECT count(*) FROM failures") == len(SLIPS)


PASSING = [name for name in INSIDE if name not in STOPPING]
BUSY = sum("429" in name for name in PASSING)
ODD = {
    "what can be read is kept": Odd([*READABLE, *OTHER_MODELS], failures={}, also=readable),
    "what is not certain is held": Odd([*DOUBTFUL], exact=False, also=doubted),
    "what a server broke off": Odd(
        [*BROKEN], exact=False, censored=2 * len(BROKEN), also=broken_off
    ),
    "an error inside a 200": Odd(
        PASSING, failures={"RateLimited": BUSY, "Overloaded": len(PASSING) - BUSY}
    ),
    "odd bodies and wires, chat": Odd(
        [*BODIES], ("--prompt-style=chat",), failures={}, also=with_text
    ),
    "odd bodies and wires, completion": Odd(
        [*BODIES], ("--prompt-style=completion",), failures={}, also=with_text
    ),
    "other protocols": Odd(
        [*DIALECTS], ("--n-per-request=1",), len(DIALECTS) // 2 + 1, failures={}, also=with_text
    ),
    "money that cannot be read": Odd([*HELD_BODIES], exact=False, failures={}, also=each_doubted),
    "an answer that was cut": Odd([*CUT], exact=False, censored=2 * len(CUT), also=not_drawn_again),
    "what passes: limited": Odd(
        after_ok([*LIMITED, *LIMITED_WORDS]),
        ("--max-retries=8",),
        failures={"RateLimited": len(LIMITED) + len(LIMITED_WORDS)},
    ),
    "what passes: overloaded": Odd(
        after_ok([*OVERLOADED, *OVERLOADED_WORDS]),
        ("--max-retries=8",),
        failures={"Overloaded": len(OVERLOADED) + len(OVERLOADED_WORDS)},
    ),
    # 504 and 524 cut long generations.
    "what stands between": Odd(
        after_ok([*BETWEEN]), ("--max-retries=8",), exact=False, censored=2 * 2
    ),
    "what was written before an error": Odd([*PAID], censored=2 * len(PAID)),
    "what is refused for itself": Odd(
        ["ok"] * 8 + [*WRONG, *WRONG_WORDS], code=1, also=refused_alone
    ),
    "a slip among many answers": Odd(
        ["ok"] * 8 + [name for shape in SLIPS for name in (shape, "ok", "ok")], also=once_each
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_answers_end_no_run_and_the_books_hold(tmp_path: Path, name: str) -> None:
    odd = ODD[name]
    with hostile_book(
        tmp_path, faults="", script=",".join(odd.script), problems=PROBLEMS, latency="0,0"
    ) as book:
        samples = 2 * -(-(odd.requests or len(odd.script)) // PROBLEMS)
        code, output = book.run(*book.first(samples, "50", 1, "--max-concurrent=8", *odd.flags))
        assert code == odd.code, output
        assert {*odd.script} - {"ok"} <= set(faults(book.bill_path))
        if odd.exact:
            totals = book.totals()
            doubts = rows(book, "SELECT request, doubt, usage FROM answers WHERE doubt != ''")
            assert totals.uncertain == 0, doubts
            assert totals.settled == book.bill, rows(book, "SELECT request, odd FROM bodies")
        else:
            check_books(book, "50")
        if odd.code == 0:
            assert one(book, "SELECT count(*) FROM samples") == samples * PROBLEMS
        failed = dict(rows(book, "SELECT kind, count(*) FROM failures GROUP BY kind"))
        assert odd.failures in (None, failed), rows(book, "SELECT kind, message FROM failures")
        assert one(book, "SELECT count(*) FROM samples WHERE kind = 'censored'") == odd.censored
        odd.also(book, " ".join(output.split()))


@pytest.mark.parametrize("name", sorted(NO_CREDIT_INSIDE))
def test_no_credit_inside_a_200_stops_the_run(tmp_path: Path, name: str) -> None:
    with hostile_book(tmp_path, faults="", script=f"ok,ok,{name}", problems=PROBLEMS) as book:
        code, output = book.run(*book.first(20, "5", 1, "--max-concurrent=1"))
        assert code == 4, output
        assert "Insufficient Balance" in " ".join(output.split())
        assert book.totals().uncertain == 0 and book.totals().settled == book.bill


def test_a_rate_limit_that_lets_nothing_pass_ends_the_run(tmp_path: Path) -> None:
    with hostile_book(tmp_path, faults="rate_limited=1", problems=PROBLEMS) as book:
        code, output = book.run(*book.first(2, "5", 1, "--server-patience=2"))
        assert code == 4, output
        said = " ".join(output.split())
        assert "Too many requests" in said and "nothing was answered for 2 s" in said
        assert book.totals().uncertain == book.totals().settled == book.bill == 0


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
