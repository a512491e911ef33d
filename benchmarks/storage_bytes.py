"""Bytes of database for each byte of text, table by table, of runs made through the store.

    python -m benchmarks.storage_bytes FOLDER [SAMPLES [PROBLEMS]]

For each kind of text (storage_texts.py), of 1, 2 and 4 KB, bought one and ten choices a request,
and judged by a rule that keeps the whole text as its answer (`exact`): FOLDER/KIND-LENGTH-N is
such a run. What a request brings is as long as a paid API's: usage with its details, an id, a
dated model's name, four events in the ledger's scopes.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import string
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.storage_texts import KINDS
from budgets.ledger import Ledger
from budgets.price_book import PriceBook
from budgets.usage import Usage
from orchestrator.store.store import RunStore
from providers.sample import Choice, SampleResponse
from verifiers.exact import ExactAnswer

LETTERS = string.ascii_letters + string.digits


async def make(run: Path, kind: str, length: int, n: int, samples: int, problems: int) -> int:
    """Make a run; returns how many bytes of text it holds."""
    store = RunStore(run / "run.db", create=True)
    ledger = Ledger.open(store, {"run": None})
    price = PriceBook.load().find("gpt-4o-mini", "openai", datetime.now(UTC))
    for problem in range(problems):
        content = {"prompt": f"Problem {problem}", "messages": None, "reference": {"answer": "7"}}
        store.put_problem("t", problem, f"p{problem}", f"d{problem}", content)
    spec = {"n_per_request": n, "verifier": "exact", "price": price.to_dict(), "problem_set": "t",
            "estimators": ["unbiased"]}  # fmt: skip
    each = samples // problems
    store.put_arm(0, "gpt-4o-mini", "openai", "gpt-4o-mini", "t", "uniform", each, spec)
    draw, size, rule = random.Random(7), 0, ExactAnswer()
    for first in range(0, each, n):
        for problem in range(problems):
            texts = [KINDS[kind](problem, draw, length) for _ in range(n)]
            size += sum(len(text.encode()) for text in texts)
            usage, raw = _usage(draw, [len(text) // 4 for text in texts])
            cost = price.cost(usage)
            reservation = ledger.reserve(3 * cost, ("run", "arm:0"), "")
            request = store.plan(0, problem, first, n, draw.getrandbits(63))
            choices = tuple(
                Choice(i, text, "stop", None, finish_raw="stop") for i, text in enumerate(texts)
            )
            name = "chatcmpl-" + "".join(draw.choices(LETTERS, k=29))
            response = SampleResponse(choices, usage, raw, "gpt-4o-mini-2024-07-18", name)
            store.put_answer(request, reservation, response, cost, time.time(), draw.random() * 9)
            ledger.settle(reservation, cost)
            for choice in choices:
                store.put_sample(0, problem, first + choice.index, request, choice)
                verdict = await rule.verify(choice.text, {"answer": "7"})
                store.put_verdict(0, problem, first + choice.index, "exact", verdict, choice.text)
        await store.durable()
    await store.close()
    return size


def _usage(draw: random.Random, tokens: list[int]) -> tuple[Usage, dict[str, object]]:
    prompt, output = draw.randrange(80, 300), sum(tokens)
    raw = {
        "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip
    return Usage(input_tokens=prompt, output_tokens=output), raw


def tell(run: Path, size: int, samples: int) -> None:
    """Print what a run's tables take for each sample."""
    with closing(sqlite3.connect(run / "run.db")) as db:
        tables = db.execute(
            "SELECT name, sum(pgsize) FROM dbstat GROUP BY 1 ORDER BY 2 DESC LIMIT 8"
        ).fetchall()
    whole = (run / "run.db").stat().st_size
    said = ", ".join(f"{name} {bytes_ / samples:.0f}" for name, bytes_ in tables)
    print(f"{run.name}: {size / samples:.0f} bytes of text a sample, {whole / samples:.0f} of "
          f"database: {whole / size:.3f} bytes per byte ({said})", flush=True)  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[1])
    samples = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    problems = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    for kind in KINDS:
        for length in (1000, 2000, 4000):
            for n in (1, 10):
                run = folder / f"{kind}-{length}-{n}"
                shutil.rmtree(run, ignore_errors=True)
                run.mkdir(parents=True)
                size = asyncio.run(make(run, kind, length, n, samples, problems))
                tell(run, size, samples)


if __name__ == "__main__":
    main()
