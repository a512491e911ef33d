"""Runs bought through a batch API: half the price, and every way to die on the way."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from budgets.ledger import Ledger
from budgets.money import picodollars, usd
from budgets.price_book import PriceBook
from orchestrator.plan.lengths import prompt_bound
from orchestrator.store.reader import RunReader
from orchestrator.tasks.arithmetic import ArithmeticTask
from orchestrator.tasks.base import TaskOptions
from tests.run.batch_house import PRICES, house

KEY = "abcdefgh12345678"
PROBLEMS, SAMPLES = 5, 8


both = pytest.mark.parametrize("provider", ["openai", "anthropic"])
either = pytest.mark.parametrize(
    "provider", ["openai", pytest.param("anthropic", marks=pytest.mark.slow)]
)
"""Where the protocols differ in nothing that the test is about."""


@pytest.fixture
def server(provider):
    with house(provider) as running:
        yield running


@pytest.fixture
def arguments(provider, server, tmp_path):
    prices = tmp_path / "batch_prices.toml"
    prices.write_text(PRICES)

    def given(**more: object) -> list[object]:
        named = {
            "provider": provider, "model": "m", "base-url": f"{server.url}/v1",
            "api-key-env": "SOME_KEY", "task": "arithmetic",
            "prices": prices, "samples": SAMPLES, "limit": PROBLEMS, "n-per-request": 4,
            "budget": "5", "name": "r",
            # Anthropic takes nothing else, so nobody has to say it.
            **({"prompt-style": "chat"} if provider == "openai" else {}), **more,
        }  # fmt: skip
        return ["run", "--batch", *(p for k, v in named.items() for p in (f"--{k}", v))]

    return given


def resumed(server: Any) -> list[object]:
    """Continue the run: an address of the study gets no key that is not bound to it."""
    return ["run", "--resume", "r", "--api-key-env", f"SOME_KEY@{server.url}"]


def requests_wanted(provider: str) -> int:
    """OpenAI takes four choices a request, Anthropic one."""
    return PROBLEMS * SAMPLES // (4 if provider == "openai" else 1)


def worst_case(provider: str, tmp_path: Path) -> int:
    """The dearest request of the plan at the batch price."""
    task = ArithmeticTask(TaskOptions(prompt_form="chat"))
    price = PriceBook.load(tmp_path / "batch_prices.toml").find("m", provider, datetime.now(UTC))
    return max(
        price.worst(
            prompt_tokens=prompt_bound(problem),
            output_tokens=task.defaults.max_tokens,
            n=4 if provider == "openai" else 1,
            batch=True,
            cache_write=provider == "anthropic",
        )
        for problem in task.problems()[:PROBLEMS]
    )


def query(run: Path, text: str) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as db:
        return db.execute(text).fetchall()


def books(run: Path):
    with contextlib.closing(RunReader(run)) as reader:
        return Ledger.read(reader.events()).totals()


def check_books(server, run: Path, cap: str = "5"):
    totals = books(run)
    assert totals.settled <= server.billed <= totals.settled + totals.uncertain
    assert totals.settled + totals.uncertain <= picodollars(cap)
    assert totals.reserved == 0
    return totals


def check_whole(provider: str, server, run: Path) -> None:
    """Every slot filled and judged, nothing bought twice, the bill met exactly."""
    wanted = [(problem, slot) for problem in range(PROBLEMS) for slot in range(SAMPLES)]
    assert query(run, "SELECT problem, slot FROM samples ORDER BY 1, 2") == wanted
    assert query(run, "SELECT count(*) FROM verdicts WHERE kind = 'passed'") == [(len(wanted),)]
    assert len(server.bill) == requests_wanted(provider)
    totals = check_books(server, run)
    assert totals.settled == server.billed > 0
    assert totals.uncertain == 0
    assert query(run, "SELECT count(*) FROM batches WHERE state != 'done'") == [(0,)]


def wait_until(condition, seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill(process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def states(run: Path) -> list[str]:
    try:
        return [state for (state,) in query(run, "SELECT state FROM batches ORDER BY batch")]
    except sqlite3.OperationalError:
        return []


@both
def test_a_batch_costs_exactly_half(provider, server, arguments, orch, tmp_path):
    ended = orch(*arguments(), "--json", SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    check_whole(provider, server, tmp_path / "runs/r")
    assert len(server.batches) == 1
    (row,) = ended.json["rows"]
    assert picodollars(row["spent_usd"]) == server.billed
    assert row["coverage"][-1]["usd_at_k"] == row["spent_usd"]
    # What a reservation holds is at the batch price too.
    held = query(tmp_path / "runs/r", "SELECT amount FROM ledger WHERE kind = 'reserve'")
    assert max(held)[0] == worst_case(provider, tmp_path)
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*.*")
                   if path.is_file())  # fmt: skip


@either
def test_killed_while_a_batch_is_waited_for(
    provider, server, arguments, start_orch, orch, tmp_path
):
    server.open = False
    run = tmp_path / "runs/r"
    process = start_orch(*arguments(), SOME_KEY=KEY)
    wait_until(lambda: states(run) == ["submitted"])
    kill(process)
    server.open = True
    ended = orch(*resumed(server), SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    assert len(server.batches) == 1
    check_whole(provider, server, run)


@both
def test_killed_after_the_batch_was_made_and_before_it_was_known(
    provider, server, arguments, start_orch, orch, tmp_path
):
    server.hold_created, server.open = True, False
    run = tmp_path / "runs/r"
    process = start_orch(*arguments(), SOME_KEY=KEY)
    assert server.held.wait(60)
    kill(process)
    assert states(run) == ["intent"]
    server.hold_created = False
    process = start_orch(*resumed(server), SOME_KEY=KEY)
    # An undecided search goes on; only the end of the batch shows Anthropic's custom ids.
    seen = len(server.calls)
    wait_until(lambda: len(server.calls) >= seen + 2)
    assert process.poll() is None
    server.open = True
    assert process.wait(timeout=240) == 0
    assert len(server.batches) == 1
    check_whole(provider, server, run)


@either
def test_killed_between_the_intent_and_the_batch(
    provider, server, arguments, start_orch, orch, tmp_path
):
    """What may have been handed over and is not found is uncertain, and never asked again."""
    server.hold_upload = True
    run = tmp_path / "runs/r"
    process = start_orch(*arguments(), SOME_KEY=KEY)
    assert server.held.wait(60)
    kill(process)
    assert states(run) == ["intent"]
    server.hold_upload = False
    ended = orch(*resumed(server), "--json", SOME_KEY=KEY)
    assert ended.code == 1, ended.err
    assert "does not list batch orch" in " ".join(ended.err.split())
    assert states(run) == ["lost"] and not server.batches
    assert query(run, "SELECT count(*) FROM samples") == [(0,)]
    held = check_books(server, run).uncertain
    assert held > 0
    # More attempts are bought; those of the lost batch are not.
    ended = orch(*resumed(server), "--samples", SAMPLES + 4, SOME_KEY=KEY)
    assert ended.code == 1, ended.err
    assert query(run, "SELECT min(slot), max(slot) FROM samples") == [(SAMPLES, SAMPLES + 3)]
    totals = check_books(server, run)
    assert totals.uncertain == held and totals.settled == server.billed > 0
    # Once a person has cleared its money up, a resume asks for them anew.
    assert orch("budget", "resolve", "r", "--usd", usd(server.billed)).code == 0
    ended = orch(*resumed(server), SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    assert query(run, "SELECT count(*) FROM samples") == [(PROBLEMS * (SAMPLES + 4),)]
    totals = check_books(server, run)
    assert totals.settled == server.billed and totals.uncertain == 0


@either
def test_a_broken_submission_is_looked_for_and_adopted(provider, server, arguments, orch, tmp_path):
    server.drop_after_creating = True
    ended = orch(*arguments(), SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    assert len(server.batches) == 1
    check_whole(provider, server, tmp_path / "runs/r")


@either
def test_a_broken_submission_that_is_not_found_is_uncertain(
    provider, server, arguments, orch, tmp_path
):
    server.drop_after_creating = server.hidden = True
    run = tmp_path / "runs/r"
    ended = orch(*arguments(), SOME_KEY=KEY)
    assert ended.code == 1, ended.err
    assert "does not list batch orch" in " ".join(ended.err.split())
    # It ran all the same, which the uncertain amount covers.
    server.finish_all()
    assert check_books(server, run).uncertain >= server.billed > 0
    server.hidden = False
    ended = orch(*resumed(server), SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    assert len(server.batches) == 1
    check_whole(provider, server, run)


@pytest.mark.parametrize(("signals", "provider"), [(1, "openai"), (2, "anthropic")])
def test_ctrl_c_leaves_the_batch_and_a_resume_adopts_it(
    signals, provider, server, arguments, start_orch, orch, tmp_path
):
    server.open = False
    run = tmp_path / "runs/r"
    process = start_orch(*arguments(), SOME_KEY=KEY)
    wait_until(lambda: states(run) == ["submitted"])
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=240) == 130
    assert "goes on at" in " ".join(process.stderr.read().split())
    server.finish_all()
    totals = check_books(server, run)
    assert totals.settled == 0 < totals.uncertain
    refused = orch("budget", "resolve", "r", "--usd", "0")
    assert refused.code == 2 and "--resume" in refused.err
    server.open = True
    ended = orch(*resumed(server), SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    assert len(server.batches) == 1
    check_whole(provider, server, run)


@either
def test_a_batch_is_settled_at_the_price_that_it_was_reserved_at(
    provider, server, arguments, start_orch, orch, tmp_path
):
    """Dearer prices on resume are of what is asked from then on; no bill is above its bound."""
    server.open = False
    run = tmp_path / "runs/r"
    process = start_orch(*arguments(), SOME_KEY=KEY)
    wait_until(lambda: states(run) == ["submitted"])
    kill(process)
    dear = tmp_path / "dear.toml"
    dear.write_text(PRICES.replace('"1.50"', '"150.00"').replace('"7.50"', '"750.00"'))
    server.open = True
    ended = orch(*resumed(server), "--prices", dear, SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    check_whole(provider, server, run)


@either
def test_ctrl_c_before_anything_was_handed_over_costs_nothing(
    provider, server, arguments, start_orch, orch, tmp_path
):
    run = tmp_path / "runs/r"
    process = start_orch(*arguments(), SOME_KEY=KEY)
    wait_until((run / "run.db").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=240) == 130
    if not server.batches:
        assert books(run).committed == 0
    ended = orch(*resumed(server), SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    check_whole(provider, server, run)


@either
def test_a_budget_smaller_than_the_plan_takes_several_batches(
    provider, server, arguments, orch, tmp_path
):
    """What the cap does not hold at once waits for the batch before it."""
    run = tmp_path / "runs/r"
    cap = usd(requests_wanted(provider) // 3 * worst_case(provider, tmp_path))
    ended = orch(*arguments(budget=cap), SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    assert len(server.batches) > 1
    # The cap bounds a round, so fewer choices are asked for at once; the whole plan is bought.
    assert query(run, "SELECT count(*) FROM samples") == [(PROBLEMS * SAMPLES,)]
    check_books(server, run, cap)


@both
def test_what_failed_in_a_batch_or_never_ran_is_asked_again(
    provider, server, arguments, orch, tmp_path
):
    server.statuses = [500]
    server.only = 2
    run = tmp_path / "runs/r"
    ended = orch(*arguments(samples=4, limit=3), SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    assert query(run, "SELECT count(*) FROM samples") == [(12,)]
    assert len(server.batches) == 2
    totals = check_books(server, run)
    assert totals.settled == server.billed and totals.uncertain == 0


@pytest.mark.parametrize("provider", ["openai"])
def test_a_batch_too_large_for_the_providers_queue_is_asked_in_smaller_ones(
    provider, server, arguments, orch, tmp_path
):
    server.room = 3
    ended = orch(*arguments(), SOME_KEY=KEY)
    assert ended.code == 0, ended.err
    check_whole(provider, server, tmp_path / "runs/r")
    sizes = [len(server.requests[name]) for name in server.batches]
    assert sizes[0] == 10 and set(sizes[-5:]) == {2}


@pytest.mark.parametrize("provider", ["openai"])
def test_a_batch_that_is_refused_costs_nothing_and_its_slots_stay_unfilled(
    provider, server, arguments, orch, tmp_path
):
    server.room, server.reason = 3, "invalid_method"
    ended = orch(*arguments(), SOME_KEY=KEY)
    assert ended.code == 1, ended.err
    assert books(tmp_path / "runs/r").committed == 0


def test_a_provider_without_a_batch_api_is_refused(orch, tmp_path):
    ended = orch("run", "--provider", "local", "--batch", "--name", "r")
    assert ended.code == 2
    assert "has no batch API" in ended.err and "anthropic" in ended.err
    assert not (tmp_path / "runs").exists()


def test_no_server_is_held_while_a_batch_is_waited_for(orch, tmp_path):
    study = tmp_path / "two.toml"
    study.write_text(
        '[study]\n[[arms]]\nprovider = "local"\ntask = "arithmetic"\n'
        '[[arms]]\nprovider = "openai"\nmodel = "gpt-4o"\ntask = "arithmetic"\nbatch = true\n'
    )
    ended = orch("run", study, OPENAI_API_KEY=KEY)
    assert ended.code == 2
    assert "study of their own" in " ".join(ended.err.split())


def test_a_batch_is_not_paid_by_the_hour(orch):
    ended = orch("run", "--provider", "openai", "--model", "m", "--task", "arithmetic", "--batch",
                 "--gpu-hour", "2")  # fmt: skip
    assert ended.code == 2
    assert "gpu_hour" in ended.err
