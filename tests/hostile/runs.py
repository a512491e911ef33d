"""Paid runs of the real command against the hostile server, and both sides' books after them."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from budgets.journal import Event
from budgets.ledger import Ledger
from budgets.money import PICO
from budgets.totals import Totals
from orchestrator.cli.budget import budget
from orchestrator.errors import OrchError
from orchestrator.store.reader import RunReader
from tests.forks import Forked
from tests.hostile.bill import read_bill, total
from tests.hostile.server import hostile_process

ROOT = Path(__file__).resolve().parents[2]

MIX = (
    "error_500=0.03,error_503=0.02,rate_limited_seconds=0.004,rate_limited_date=0.002,"
    "reset_before=0.02,reset_after=0.02,half_body=0.02,broken_json=0.02,no_usage=0.02,"
    "gateway_502=0.01,slow_body=0.02,ignore_n=0.01,length=0.02,content_filter=0.02"
)
"""Every fault that a run survives by itself; a tenth of the requests end ambiguously."""


@dataclass
class Book:
    """A run and the provider's bill for it."""

    folder: Path
    url: str
    bill_path: Path
    name: str = "run"
    path: str = "/v1"
    """Of the protocol that a run speaks, below the server's address."""

    @property
    def directory(self) -> Path:
        return self.folder / "runs" / self.name

    @property
    def bill(self) -> int:
        return total(self.bill_path)

    @property
    def billed_requests(self) -> int:
        return sum(1 for line in read_bill(self.bill_path) if line.pico)

    def events(self) -> list[Event]:
        with closing(RunReader(self.directory)) as reader:
            return list(reader.events())

    def ledger(self) -> Ledger:
        return Ledger.read(self.events())

    def totals(self) -> Totals:
        return self.ledger().totals()

    def start(self, *options: object) -> subprocess.Popen[str]:
        """Start `orch run` in a process of its own."""
        return Forked(
            ["orchestrator", "run", *map(str, options)],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def first(self, samples: int, budget: str, seed: int, *more: object) -> list[object]:
        """Options of a new run over the task and prices in the folder."""
        return [
            "--provider=compatible",
            f"--base-url={self.url}{self.path}",
            "--model=hostile",
            "--task=task.jsonl",
            "--prices=prices.toml",
            f"--samples={samples}",
            f"--budget={budget}",
            f"--seed={seed}",
            "--n-per-request=2",
            "--max-tokens=200",
            "--timeout-s=20",
            "--display=none",
            f"--name={self.name}",
            *more,
        ]

    def resume(self, *more: object) -> list[object]:
        """Options that continue the run."""
        return [f"--resume=runs/{self.name}", "--display=none", *more]

    def run(self, *options: object) -> tuple[int, str]:
        """Run to the end; exit code and everything that was printed."""
        process = self.start(*options)
        output, _ = process.communicate(timeout=280)
        return process.returncode, output

    def budget(self, *arguments: object) -> tuple[int, str]:
        """`orch budget ...` in this process; exit code and everything that was printed."""
        words = [str(self.directory) if word == "RUN" else str(word) for word in arguments]
        try:
            ended = CliRunner().invoke(budget, words, catch_exceptions=False)
        except OrchError as error:
            return error.exit_code, str(error)
        return ended.exit_code, ended.output

    def export(self) -> Path:
        """The provider's bill as a person would export it."""
        path = self.folder / "export.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["Request ID", "Model", "Cost (USD)"])
            for line in read_bill(self.bill_path):
                if line.pico:
                    cost = f"{line.pico // PICO}.{line.pico % PICO:012d}"
                    writer.writerow([f"hostile-{line.number}", line.model, cost])
        return path

    def bought_twice(self) -> int:
        """Requests on the bill beyond the first of each planned request.

        Fails where one was billed more often than the ledger has tries of it that it did not
        count as free.
        """
        with closing(RunReader(self.directory)) as reader:
            seeds = {request.seed: request.request for request in reader.requests()}
        billed = Counter(seeds[line.seed] for line in read_bill(self.bill_path) if line.pico)
        tries: Counter[int] = Counter()
        requests: dict[int, int] = {}
        for event in self.events():
            if event.kind == "reserve" and event.request:
                requests[event.reservation] = event.request
                tries[event.request] += 1
            elif event.kind == "release" and event.reservation in requests:
                tries[requests[event.reservation]] -= 1
        for request, times in billed.items():
            assert times <= tries[request], f"request {request} was billed {times} times"
        return sum(times - 1 for times in billed.values())


def environment() -> dict[str, str]:
    """The environment of a person without keys or settings."""
    mine = ("ORCH_", "OPENAI_", "ANTHROPIC_", "VLLM_", "DEEPSEEK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "HOSTILE_KEY": "sk-hostile"}


@contextlib.contextmanager
def hostile_book(
    folder: Path,
    *,
    faults: str = MIX,
    seed: int = 0,
    latency: str = "0.02,0.2",
    problems: int = 40,
    **options: object,
) -> Iterator[Book]:
    """A hostile server with a task and prices beside it; yields the book of a run to come."""
    with (folder / "task.jsonl").open("w") as file:
        for number in range(problems):
            prompt = f"Problem {number}: what is {number} + {number}? " + "x" * (7 * number)
            row = {"id": f"p{number}", "prompt": prompt, "answer": str(number % 100)}
            file.write(json.dumps(row) + "\n")
    (folder / "prices.toml").write_text(
        '[models.hostile]\ninput = "3.00"\noutput = "15.00"\n'
        '[models.hostile-mini]\ninput = "1.00"\noutput = "4.00"\n'
    )
    bill = folder / "bill.jsonl"
    settings: dict[str, object] = {"retry_after": 0.2, "drip": 0.3, **options}
    with hostile_process(bill, faults=faults, seed=seed, latency=latency, **settings) as url:
        yield Book(folder, url, bill)
