"""A run of a million samples an arm, made through the store: how long its report and export take.

    python -m benchmarks.report_million FOLDER [ARMS [SAMPLES]]

Makes FOLDER/runs/million where it is not there yet (100 problems, ten choices a request, texts of
some 400 characters, of which one in four is repeated), then
times `orch report`, `orch export jsonl` and `orch samples --first 1`, each in a process of its own,
with its peak memory.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.storage_texts import chain_of_thought
from budgets.ledger import Ledger
from budgets.price import Price
from budgets.price_book import PriceBook
from budgets.usage import Usage
from orchestrator.store.store import RunStore
from providers.sample import Choice, SampleResponse
from verifiers.verdict import Verdict

PROBLEMS, N = 100, 10


async def make(run: Path, arms: int, samples: int) -> None:
    store = RunStore(run / "run.db", create=True)
    ledger = Ledger.open(store, {"run": None})
    price = PriceBook.load().find("gpt-4o-mini", "openai", datetime.now(UTC))
    for problem in range(PROBLEMS):
        content = {"prompt": "?", "messages": None, "reference": {}}
        store.put_problem("t", problem, f"p{problem}", f"d{problem}", content)
    for arm in range(arms):
        await _arm(store, ledger, price, arm, samples // PROBLEMS)
    await store.close()


async def _arm(store: RunStore, ledger: Ledger, price: Price, arm: int, each: int) -> None:
    draw = random.Random(arm)
    spec = {"n_per_request": N, "verifier": "exact", "price": price.to_dict(), "problem_set": "t",
            "estimators": ["unbiased"]}  # fmt: skip
    store.put_arm(arm, f"k{arm}", "openai", f"model-{arm}", "t", "uniform", each, spec)
    texts = [chain_of_thought(number % PROBLEMS, draw, 400) for number in range(5000)]
    rates = [draw.betavariate(0.4, 6.0) for _ in range(PROBLEMS)]
    for first in range(0, each, N):
        for problem in range(PROBLEMS):
            tokens = [draw.randrange(10, 400) for _ in range(N)]
            usage = Usage(input_tokens=200, output_tokens=sum(tokens))
            cost = price.cost(usage)
            reservation = ledger.reserve(cost, (f"arm:{arm}",), "made")
            request = store.plan(arm, problem, first, N, draw.getrandbits(60))
            choices = tuple(
                Choice(i, f"{draw.choice(texts)}{draw.randrange(600)}", "stop", tokens[i])
                for i in range(N)
            )
            response = SampleResponse(choices, usage, None, f"model-{arm}")
            store.put_answer(request, reservation, response, cost, time.time(), 0.1)
            ledger.settle(reservation, cost)
            for choice in choices:
                right = draw.random() < rates[problem]
                slot, kind = first + choice.index, "passed" if right else "failed"
                store.put_sample(arm, problem, slot, request, choice)
                answer = str(draw.randrange(40))
                verdict = Verdict(kind, answer=answer)  # type: ignore[arg-type]
                store.put_verdict(arm, problem, slot, "exact", verdict, choice.text)
        await store.durable()


def timed(folder: Path, *arguments: str) -> None:
    began = time.monotonic()
    ended = subprocess.run(
        ["/usr/bin/env", sys.executable, "-c",
         "import resource, sys; from orchestrator.cli import orch;"
         "code = orch.main(sys.argv[1:], standalone_mode=False);"
         "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, 'MiB,',"
         " round(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]), 1), 's of CPU',"
         " file=sys.stderr)", *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    took = time.monotonic() - began
    print(f"orch {' '.join(arguments)}: {took:.1f} s, {ended.stderr.splitlines()[-1]}", flush=True)


def main() -> None:
    folder = Path(sys.argv[1])
    arms = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    samples = int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000
    run = folder / "runs" / "million"
    if not run.exists():
        run.mkdir(parents=True)
        began = time.monotonic()
        asyncio.run(make(run, arms, samples))
        print(f"made in {time.monotonic() - began:.0f} s", flush=True)
    timed(folder, "samples", "million", "--first", "1")
    timed(folder, "report", "million", "--json")
    timed(folder, "export", "jsonl", "million", "-o", "million.jsonl")


if __name__ == "__main__":
    main()
