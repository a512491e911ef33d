"""How much of a cap uncertain spending eats, and what gives it back.

    python benchmarks/ledger_uncertain.py [--cap 0.60] [--rates 0,0.01,0.02,0.05,0.1]

Each row is a real paid run against the hostile server (tests/hostile), 200 requests in flight at
most, under a cap that buys a tenth of the plan. A share of the requests ends so that nobody can
tell whether it was billed (half of these were). Then `orch budget resolve --from` clears up with
the server's own bill, and the run is resumed, until the cap is used: three times.

max_tokens 200 makes the worst case about 12 times what a choice really costs, 40 about 2.5 times.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from budgets.money import picodollars
from tests.hostile.bill import read_bill
from tests.hostile.runs import Book, hostile_book

OUTPUT_TOKENS = 16
ROUNDS = 3


def shares(book: Book, cap: int) -> str:
    """Settled, uncertain and billed as shares of the cap, and the answers that were kept."""
    totals = book.totals()
    answered = sum(1 for line in read_bill(book.bill_path) if line.pico)
    return (
        f"{totals.settled / cap:7.1%} {totals.uncertain / cap:9.1%} {book.bill / cap:6.1%}"
        f" {answered:8d}"
    )


def one(rate: float, max_tokens: int, cap: str) -> None:
    """One run, resolved and resumed; prints its row."""
    faults = f"reset_after={rate / 2},reset_before={rate / 2}" if rate else ""
    with (
        tempfile.TemporaryDirectory() as folder,
        hostile_book(
            Path(folder), faults=faults, seed=1, output_share=OUTPUT_TOKENS / max_tokens
        ) as book,
    ):
        options = book.first(1000, cap, 1, "--max-concurrent=200", f"--max-tokens={max_tokens}")
        code, output = book.run(*options)
        if code != 3:
            raise SystemExit(f"the run ended with {code}:\n{output}")
        first = shares(book, picodollars(cap))
        for _ in range(ROUNDS if book.totals().uncertain else 0):
            book.budget("resolve", "RUN", "--from", book.export())
            book.run(*book.resume())
        last = shares(book, picodollars(cap))
        print(f"{rate:9.1%} {max_tokens:10d} {first}   {last}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Uncertain spending per fault rate.")
    parser.add_argument("--cap", default="0.60", help="dollars")
    parser.add_argument("--rates", default="0,0.01,0.02,0.05,0.1")
    parser.add_argument("--max-tokens", default="200,40")
    options = parser.parse_args()
    columns = "settled uncertain   bill requests"
    print(f"{'':20} {'after the run':>33}   {f'after {ROUNDS} times resolve and resume':>33}")
    print(f"ambiguous max_tokens {columns}   {columns}")
    for max_tokens in map(int, options.max_tokens.split(",")):
        for rate in map(float, options.rates.split(",")):
            one(rate, max_tokens, options.cap)


if __name__ == "__main__":
    main()
