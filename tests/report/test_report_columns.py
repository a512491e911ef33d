"""What a report reads as columns is what rows one by one say: money, votes, usage."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from budgets.ledger import DamagedJournal, Ledger
from budgets.usage import Usage
from orchestrator.store.accounts import read_accounts
from orchestrator.store.columns import added_up, bought, votes
from orchestrator.store.packing import vote
from orchestrator.store.reader import RunReader
from orchestrator.store.store import RunStore
from providers.sample import Choice, SampleResponse
from verifiers.verdict import Verdict


def stored(run: Path, write: Callable[[RunStore], None]) -> None:
    async def whole() -> None:
        store = RunStore(run / "run.db", create=True)
        write(store)
        await store.durable()
        await store.close()

    run.mkdir()
    asyncio.run(whole())


def spend(store: RunStore, seed: int) -> None:
    """Reservations that end in every way, and some that do not."""
    draw = random.Random(seed)
    ledger = Ledger.open(store, {"run": 10**15, "arm:1": None})
    for _ in range(draw.randrange(1, 60)):
        scopes = (f"arm:{draw.randrange(3)}",) if draw.random() < 0.9 else ()
        worst = draw.randrange(1, 10**12)
        one = ledger.reserve(worst, scopes, "made", request=draw.randrange(50))
        ending = draw.choice(("settle", "part", "release", "hold", "resolve", "open", "settle"))
        if ending == "settle":
            ledger.settle(one, draw.randrange(worst + 1))
        elif ending == "part":
            ledger.settle(one, worst // 3, held=worst // 2)
        elif ending == "release":
            ledger.release(one)
        elif ending in ("hold", "resolve"):
            ledger.hold(one, "no usage")
        if ending == "resolve" or (ending == "part" and worst % 2 and ledger.worst_of(one)):
            ledger.resolve(one, worst // 4, "bill")
        if draw.random() < 0.05:
            ledger.set_cap("arm:2", 10**14)


@pytest.mark.parametrize("seed", range(12))
def test_accounts_are_those_of_a_whole_replay(seed: int, tmp_path: Path) -> None:
    stored(tmp_path / "run", lambda store: spend(store, seed))
    with closing(RunReader(tmp_path / "run")) as reader:
        whole, found = Ledger.read(reader.events()), read_accounts(reader)
    assert {s: found.totals(s) for s in whole.scopes()} == {
        s: whole.totals(s) for s in whole.scopes()
    }
    assert found.uncertain() == whole.uncertain()
    assert found.open_reservations == whole.open_reservations


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM ledger WHERE event = 2",
        "UPDATE ledger SET reservation = 9999 WHERE kind = 'settle'",
        "UPDATE ledger SET reservation = 7 WHERE kind = 'reserve' AND reservation = 1",
        "UPDATE ledger SET reservation = 1 WHERE kind IN ('settle', 'release')",
    ],
)
def test_a_damaged_ledger_is_noticed(harm: str, tmp_path: Path) -> None:
    stored(tmp_path / "run", lambda store: spend(store, 3))
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection:
        connection.execute(harm)
        connection.commit()
    with closing(RunReader(tmp_path / "run")) as reader, pytest.raises(DamagedJournal):
        read_accounts(reader)


def test_sums_are_exact_beyond_what_a_float_or_an_int64_holds() -> None:
    amounts = np.array([2**62, 2**62, 2**62, 1, 2**53 + 1], np.int64)
    assert added_up(np.array([0, 0, 0, 0, 2]), amounts, 3) == [3 * 2**62 + 1, 0, 2**53 + 1]


ANSWERS = ["4", None, "long " * 40, "\0odd", "4", '"quoted" \\ \n', "ünï", "long " * 40, "A" * 64]


def judge(store: RunStore) -> None:
    ledger = Ledger.open(store, {"run": None})
    store.put_arm(0, "k", "openai", "m", "t", "uniform", 9, {"verifier": "exact"})
    for problem in range(2):
        store.put_problem("t", problem, f"p{problem}", "d", {"prompt": "?"})
        reservation = ledger.reserve(100)
        request = store.plan(0, problem, 0, len(ANSWERS), 5)
        choices = tuple(Choice(i, f"I say {one}", "stop", 3) for i, one in enumerate(ANSWERS))
        usage = Usage(input_tokens=7, output_tokens=27) if problem else None
        response = SampleResponse(choices, usage, None, f"m-{problem}")
        store.put_answer(request, reservation, response, 60 if problem else None, 1.0, 0.1)
        ledger.settle(reservation, 60)
        for choice, answer in zip(choices, ANSWERS, strict=True):
            store.put_sample(0, problem, choice.index, request, choice)
            kind = "passed" if answer == "4" else "infra_error" if answer is None else "failed"
            verdict = Verdict(kind, answer=answer)
            store.put_verdict(0, problem, choice.index, "exact", verdict, choice.text)


def test_votes_and_usage_are_what_the_rows_say(tmp_path: Path) -> None:
    stored(tmp_path / "run", judge)
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection:
        # As a run of old holds a long answer.
        connection.execute(
            "UPDATE verdicts SET answer = ? WHERE problem = 1 AND slot = 2", ("long " * 40,)
        )
        connection.commit()
    with closing(RunReader(tmp_path / "run")) as reader:
        rows = list(reader.verdicts(0, "exact"))
        found = [row for row in votes(reader, 0, "exact") if row[0] == 1]
        paid = bought(reader, 0)
    expected = dict[object, list[int]]()
    for problem, _, kind, answer in rows:
        if problem == 1 and kind != "infra_error":
            one = expected.setdefault(answer, [0, 0])
            one[0] += 1
            one[1] += kind == "passed"
    assert [[number, passed] for _, _, number, passed in found] == list(expected.values())
    assert len({vote(answer) for answer in ANSWERS if answer}) == len(found) == 6
    assert found[0] == (1, "4", 2, 2)
    assert paid.cost.tolist() == [-1, 60] and paid.n.tolist() == [9, 9]
    assert paid.usage(0) is None
    assert paid.usage(1) == Usage(input_tokens=7, output_tokens=27)
    assert paid.served == {"m-0": 1, "m-1": 1}
