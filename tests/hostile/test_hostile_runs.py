"""Paid runs against a provider that misbehaves: the cap holds, and both sides' books agree."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from budgets.money import picodollars
from tests.hostile.bill import faults, read_bill
from tests.hostile.runs import Book, hostile_book

# A tenth of the plan's cost: 40 problems x 1,000 samples come to about $12.
CAP = "1.20"
SAMPLES = 1000


def check_books(book: Book, cap: str) -> None:
    """What holds after any run, however it went."""
    totals, bill = book.totals(), book.bill
    assert totals.settled <= bill <= totals.settled + totals.uncertain
    assert totals.settled + totals.uncertain <= picodollars(cap)
    assert totals.reserved == 0


def some(seeds: range, in_the_suite: int) -> list[object]:
    """Of many seeds, only the first few are part of the quick suite."""
    return [
        pytest.param(seed, marks=[] if number < in_the_suite else [pytest.mark.slow])
        for number, seed in enumerate(seeds)
    ]


@pytest.mark.parametrize("seed", some(range(20), in_the_suite=1))
def test_200_workers_under_a_cap_of_a_tenth_of_the_plan(tmp_path: Path, seed: int) -> None:
    with hostile_book(tmp_path, seed=seed) as book:
        code, output = book.run(*book.first(SAMPLES, CAP, seed, "--max-concurrent=200"))
        assert code == 3, output
        check_books(book, CAP)
        totals = book.totals()
        cap = picodollars(CAP)
        assert totals.settled + totals.uncertain >= 0.9 * cap
        assert totals.free is not None
        assert totals.free < picodollars("0.01"), "less than one attempt's worst case is left"
        book.bought_twice()
        seen = faults(book.bill_path)
        assert seen["ok"] > 500 and len(seen) >= 12
        print(
            f"seed {seed}: bill {book.bill / cap:.3f}, settled {totals.settled / cap:.3f}, "
            f"uncertain {totals.uncertain / cap:.3f} of the cap"
        )


@pytest.mark.parametrize("by", ["sum", "rows"])
def test_the_providers_own_bill_gives_back_what_was_uncertain(tmp_path: Path, by: str) -> None:
    with hostile_book(tmp_path, seed=3) as book:
        code, output = book.run(*book.first(400, "0.40", 3, "--max-concurrent=60"))
        assert code == 3, output
        before = book.totals()
        assert before.uncertain > 0
        code, output = book.budget("RUN")
        assert code == 0
        assert "answered without usage" in output and "orch budget resolve" in output

        export = book.export()
        code, output = book.budget("resolve", "RUN", "--from", export)
        assert code == 0, output
        resolved = book.totals()
        assert resolved.uncertain == 0
        assert resolved.settled == book.bill, "to the last picodollar"
        code, output = book.budget("resolve", "RUN", "--usd", "1")
        assert code == 2 and "nothing to resolve" in output

        bought = book.billed_requests
        code, output = book.run(*book.resume())
        assert code == 3, output
        check_books(book, "0.40")
        assert book.billed_requests > bought, "what was given back buys more"
        whole = f"{book.bill / 10**12:.12f}"
        how = ["--usd", whole] if by == "sum" else ["--from", book.export()]
        code, output = book.budget("resolve", "RUN", *how)
        assert code == 0, output
        # What was cleared up before is on the whole bill still, and counts once.
        assert book.totals().settled == book.bill
        assert book.totals().uncertain == 0


def test_a_bill_that_cannot_be_this_runs_is_refused(tmp_path: Path) -> None:
    with hostile_book(tmp_path, faults="reset_after=0.2", problems=5) as book:
        code, output = book.run(*book.first(8, "5", 1, "--max-retries=0"))
        assert code == 1, output
        totals = book.totals()
        for options, complaint in (
            ([], "either with --from EXPORT.csv or with --usd X"),
            (["--usd", "1", "--from", "x.csv"], "either with --from"),
            (["--usd", "abc"], "'abc' is not an amount"),
            (["--usd", "-1"], "must be 0 dollars or more"),
            (["--usd", "0"], "it is not the whole bill of this run"),
            (["--usd", "3"], "it counts other requests too"),
            (["--from", tmp_path / "missing.csv"], "missing.csv cannot be read: No such file"),
            (["--from", tmp_path / "prices.toml"], "has no column of costs"),
        ):
            code, output = book.budget("resolve", "RUN", *options)
            assert code == 2 and complaint in output.replace("\n", " "), output
            assert book.totals() == totals
        code, output = book.budget("resolve", "nowhere", "--usd", "1")
        assert code == 2 and "There is no run at nowhere" in output
        code, output = book.budget("resolve", "RUN", "--usd", "3", "--above-bound")
        assert code == 0 and "Fault:" in output
        assert book.totals().settled == picodollars("3")
        code, output = book.run(*book.resume("--samples=9"))
        assert code == 4, "above its bound: nothing more is sent"
        billed = book.bill
        code, output = book.budget("accept", "RUN", "--why", "another run's requests")
        assert code == 0 and "Go on with" in output
        code, output = book.run(*book.resume("--samples=9"))
        assert code == 1 and book.bill > billed, output


def test_usage_above_what_was_asked_for_stops_the_run(tmp_path: Path) -> None:
    script = ",".join(["ok"] * 30 + ["over_usage"])
    with hostile_book(tmp_path, faults="", script=script, latency="0.05,0.1") as book:
        code, output = book.run(*book.first(20, "5", 1, "--max-concurrent=5"))
        assert code == 4, output
        said = " ".join(output.split())
        assert "was billed $" in said and "declared for it as its worst case" in said
        totals = book.totals()
        assert totals.settled == book.bill
        assert len(read_bill(book.bill_path)) <= 31 + 5, "only what was in flight came after it"


def test_a_quota_that_does_not_come_back_stops_the_run(tmp_path: Path) -> None:
    script = ",".join(["ok"] * 10 + ["quota"] * 50)
    with hostile_book(tmp_path, faults="", script=script) as book:
        code, output = book.run(*book.first(20, "5", 1, "--max-concurrent=4"))
        assert code == 4, output
        assert book.totals().settled == book.bill
        assert book.totals().uncertain == 0


def test_interrupted_twice_leaves_what_was_in_flight_uncertain(tmp_path: Path) -> None:
    with hostile_book(tmp_path, faults="", latency="0.3,0.6") as book:
        process = book.start(*book.first(50, "20", 1, "--max-concurrent=30"))
        wait_for_requests(book, 40, process=process)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert any("Ctrl-C again leaves at once" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 130, output
        time.sleep(1.0)  # what was in flight ends on the server's side, and is billed
        totals = book.totals()
        assert totals.settled <= book.bill <= totals.settled + totals.uncertain
        assert totals.uncertain > 0 and totals.reserved == 0
        assert len(book.ledger().uncertain()) <= 30


def wait_for_requests(
    book: Book, more: int, since: int = 0, process: subprocess.Popen[str] | None = None
) -> None:
    """Return once the server has seen `more` requests than `since`."""
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        if book.bill_path.exists() and book.bill_path.read_bytes().count(b"\n") >= since + more:
            return
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the run ended: {process.communicate()[0]}")
        time.sleep(0.01)
    raise AssertionError("the run sent nothing for two minutes")


def kill_and_resume(
    book: Book, moments: int, seed: int, concurrent: int, cap: str, samples: int
) -> None:
    """Kill -9 at random moments, resume each time, then let it end."""
    draw = random.Random(seed)
    options = book.first(samples, cap, seed, f"--max-concurrent={concurrent}", "--yes")
    worst_request = picodollars("0.0075")
    for moment in range(moments):
        seen = len(read_bill(book.bill_path)) if book.bill_path.exists() else 0
        process = book.start(*options)
        wait_for_requests(book, draw.randrange(1, 40), since=seen, process=process)
        time.sleep(draw.uniform(0, 0.05))
        assert process.poll() is None, process.communicate()[0]
        process.kill()
        process.communicate()
        time.sleep(0.4)  # what was in flight ends on the server's side
        totals = book.totals()
        committed = totals.settled + totals.uncertain + totals.reserved
        assert totals.settled <= book.bill <= committed <= picodollars(cap)
        # One more may be reserved and waiting for its permit.
        most_held = (moment + 1) * (concurrent + 1)
        assert totals.uncertain + totals.reserved <= most_held * worst_request
        options = book.resume("--yes")
    code, output = book.run(*options)
    assert code == 0, output
    check_books(book, cap)
    twice = book.bought_twice()
    held = len(book.ledger().uncertain())
    assert twice <= held <= moments * (concurrent + 1)
    totals = book.totals()
    print(
        f"{moments} kills at {concurrent} in flight: {held} requests uncertain, "
        f"${totals.uncertain / 1e12:.3f} of ${totals.settled / 1e12:.3f} settled; {twice} were "
        f"bought twice; the bill is ${book.bill / 1e12:.3f}"
    )
    code, output = book.budget("resolve", "RUN", "--from", book.export())
    assert code == 0, output
    assert book.totals().settled == book.bill and book.totals().uncertain == 0


@pytest.mark.parametrize(
    ("moments", "concurrent", "samples"),
    [
        (3, 8, 8),
        pytest.param(50, 8, 100, marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
        pytest.param(50, 64, 300, marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
    ],
)
def test_kill_9_at_random_moments(
    tmp_path: Path, moments: int, concurrent: int, samples: int
) -> None:
    with hostile_book(tmp_path, faults="", latency="0.05,0.3") as book:
        kill_and_resume(book, moments, moments, concurrent, "40", samples)


def test_anthropics_shape_under_the_same_faults(tmp_path: Path) -> None:
    with hostile_book(tmp_path, seed=5, problems=20) as book:
        book.path = ""
        options = [
            *book.first(100, "0.25", 5, "--max-concurrent=40", "--n-per-request=1"),
            "--provider=anthropic",
            "--api-key-env=HOSTILE_KEY",
            "--prompt-style=chat",
        ]
        code, output = book.run(*options)
        assert code == 3, output
        check_books(book, "0.25")
        totals = book.totals()
        assert totals.settled + totals.uncertain >= 0.9 * picodollars("0.25")


def test_a_retry_too_dear_for_what_is_left_is_bought_in_parts(tmp_path: Path) -> None:
    """The run may not stop while one attempt still fits, whatever it was about to ask.

    The only request of the plan is lost and held; what is left pays for one choice at a time.
    """
    with hostile_book(tmp_path, faults="", script="reset_after", problems=1) as book:
        code, output = book.run(*book.first(8, "0.030", 1, "--n-per-request=8"))
        assert code in (0, 3), output
        check_books(book, "0.030")
        answered = [line for line in read_bill(book.bill_path) if line.fault == "ok"]
        assert sum(line.n for line in answered) >= 5, output
