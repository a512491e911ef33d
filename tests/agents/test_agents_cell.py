"""Attempts that are agents, run by a command in the cell, in processes of their own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.report.arms import read_arms
from orchestrator.report.data import AgentWork, ReportData, Spread
from orchestrator.report.sections.agents import AGENTS
from orchestrator.store.reader import RunReader
from tests.agents.book import ROOT, Book
from tests.agents.model_process import bill, model_process
from tests.sandbox.container import imitate
from verifiers.sandbox.errand import DESK, Errand, left_in, run


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with model_process(tmp_path / "bill.jsonl") as url:
        yield Book(tmp_path, url)


def even(book: Book) -> None:
    """Calls, ledger and the model's bill agree to the last token, and every slot is there once."""
    totals = book.ledger().totals()
    calls = book.rows("SELECT sum(cost), count(*) FROM calls WHERE reservation > 0")[0]
    assert totals.settled == book.bill == calls[0] and calls[1] == book.billed_calls
    assert totals.uncertain == totals.reserved == 0
    assert book.check() == 0
    tokens = "sum(input_tokens), sum(output_tokens), sum(cost)"
    assert book.rows(f"SELECT {tokens} FROM answers") == book.rows(
        f"SELECT {tokens} FROM calls WHERE attempt IN"
        " (SELECT attempt FROM attempts WHERE ending != 'again')"
    )


def judged_again(book: Book, *options: str) -> None:
    """`orch verify` gives every verdict once more, asks no model and spends nothing."""
    verdicts = "SELECT arm, problem, slot, kind FROM verdicts ORDER BY arm, problem, slot"
    before, calls = book.rows(verdicts), len(bill(book.folder / "bill.jsonl"))
    code, said = book.verify(*options)
    assert code == 0, said
    assert "0 differ from the run's verdict; 0 had none" in said, said
    assert book.rows(verdicts) == before
    assert len(bill(book.folder / "bill.jsonl")) == calls
    assert book.ledger().totals().settled == book.bill


def told_of(book: Book) -> AgentWork:
    """What a report says of the agents, on every way of showing it."""
    with closing(RunReader(book.directory)) as reader:
        report = ReportData("agents", tuple(read_arms(reader)))
    work = report.arms[0].agents
    assert work is not None
    page = AGENTS.page(report)
    assert "the agent is python3 " in page and f'<td class="text">{work.attempts}</td>' in page
    assert AGENTS.document(report)[0]["calls"]["total"] == work.calls.total
    return work


def test_agents_are_judged_by_what_they_changed_and_pay_for_what_they_asked(book: Book) -> None:
    code, said = book.run(*book.options())
    assert code == 0, said
    even(book)
    rows = book.rows(
        "SELECT s.text, s.finish_reason, v.kind, a.files FROM samples s"
        " JOIN verdicts v USING (arm, problem, slot) JOIN attempts a ON a.request = s.request"
    )
    assert len(rows) == 9 and {row[1] for row in rows} == {"stop"}
    for text, _, kind, files in rows:
        log = (book.directory / files / "output.log").read_text()
        assert ("applied" in log) == bool(text)
        wrong = "notes.txt" in text
        assert kind == ("no_answer" if not text else "failed" if wrong else "passed")
    assert {row[2] for row in rows} == {"passed", "failed", "no_answer"}
    assert {n for (n,) in book.rows("SELECT count(*) FROM calls GROUP BY attempt")} == {2}
    work = told_of(book)
    assert (work.attempts, work.begun_anew, work.calls, work.cut) == (9, 0, Spread(2, 2, 18), {})
    assert book.rows("SELECT sum(output_tokens) FROM calls") == [(work.output_tokens.total,)]
    kept = b"".join(p.read_bytes() for p in book.directory.rglob("*") if p.is_file())
    assert b"sk-orch-" not in kept and b"sk-house" not in kept
    judged_again(book)


def test_agents_cut_by_their_own_cap_are_judged_and_by_the_runs_are_censored(book: Book) -> None:
    code, said = book.run(*book.options(attempt_calls=1, samples=1))
    assert code == 0, said
    assert book.rows("SELECT DISTINCT cut FROM attempts") == [("attempt",)]
    assert book.rows("SELECT DISTINCT kind, finish_reason FROM samples") == [("ok", "budget")]
    assert book.rows("SELECT count(*) FROM verdicts") == [(3,)]
    assert told_of(book).cut == {"attempt": 3}
    even(book)


def test_agents_under_a_cap_of_the_run_never_pass_it(book: Book) -> None:
    code, said = book.run(*book.options("endless", budget="0.02", samples=2))
    assert code == 3, said
    totals = book.ledger().totals()
    assert totals.cap is not None and book.bill <= totals.committed <= totals.cap
    kinds = book.rows("SELECT kind, finish_reason FROM samples")
    assert kinds and set(kinds) == {("censored", "budget")}
    assert book.rows("SELECT count(*) FROM verdicts WHERE verifier = 'patch'") == [(0,)]


@pytest.mark.slow
def test_agents_with_a_budget_of_their_own_start_only_where_all_of_it_is_free(book: Book) -> None:
    options = book.options("endless", budget="0.05", attempt_budget="0.012", samples=4)
    code, said = book.run(*options)
    assert code == 3, said
    assert book.rows("SELECT DISTINCT kind, finish_reason FROM samples") == [("ok", "budget")]
    assert book.ledger().totals().committed <= 50_000_000_000
    spent = book.rows("SELECT sum(cost) FROM calls GROUP BY attempt")
    assert spent and all(cost <= 12_000_000_000 for (cost,) in spent)
    even(book)


@pytest.mark.slow
def test_agents_timeouts_crashes_and_floods_are_their_own_failures(book: Book) -> None:
    for way, time_s, ending, reason in (
        ("sleep", 8, "timeout", "timeout"), ("crash", 90, "own_failure", "stop"),
        ("flood", 90, "own_failure", "stop"),
    ):  # fmt: skip
        options = book.options(way, samples=1, filter="ranges", agent_time_s=time_s, name=way)
        code, said = book.run(*options)
        assert code == 0, said
        directory = book.folder / "runs" / way
        (book.folder / "runs" / "run").unlink(missing_ok=True)
        (book.folder / "runs" / "run").symlink_to(directory)
        assert book.rows("SELECT ending FROM attempts") == [(ending,)]
        assert book.rows("SELECT kind, finish_reason FROM samples") == [("ok", reason)]
        assert book.rows("SELECT count(*) FROM verdicts") == [(1,)]


def test_agents_that_never_began_are_drawn_again_twice_and_then_censored(book: Book) -> None:
    code, said = book.run(*book.options("nothing", samples=1, filter="ranges"))
    assert "before its first call" in said
    assert book.rows("SELECT ending FROM attempts") == [("again",)] * 3
    assert book.rows("SELECT kind, finish_reason FROM samples") == [("censored", "error")]
    assert book.bill == 0 and code == 0


def test_agents_reach_nothing_but_the_gateway(book: Book) -> None:
    secret = book.folder / "secret"
    secret.write_text("do not tell")
    os.environ["SECRET"] = str(secret)
    code, said = book.run(*book.options("evil", samples=1, filter="ranges", verifier=None))
    assert code == 0, said
    ((text,),) = book.rows("SELECT text FROM samples")
    told = dict(line.split(": ", 1) for line in text.splitlines())
    assert told["shadow"] == told["root"] == told["secret"] == "FileNotFoundError"
    assert told["processes"] in ("['1']", "['1', '2']") and told["names"] == "gaierror"
    assert told["host"] == "OSError" and told["usr"] == "OSError"
    assert told["mount"] != "0" and told["userns"] != "0"
    even(book)


def test_agents_are_refused_where_nothing_contains_them(book: Book) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", *book.options(samples=1)],
        cwd=book.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, preexec_fn=imitate,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "namespaces" in ended.stderr
    assert book.bill == 0


def killed_and_resumed(book: Book, seed: int) -> None:
    """kill -9 at a random moment, then a resume: the plan is completed and the books hold."""
    draw = random.Random(seed)
    process = book.start(*book.options(samples=3))
    book.begun(process)
    time.sleep(draw.uniform(0.0, 3.0))
    process.kill()
    process.communicate()
    after = book.bill
    time.sleep(1.0)
    assert book.bill == after, "a call passed after the gateway's death"
    totals = book.ledger().totals()
    assert totals.settled <= after <= totals.committed
    code, said = book.resume()
    assert code == 0, said
    totals = book.ledger().totals()
    assert totals.settled <= book.bill <= totals.settled + totals.uncertain <= (totals.cap or 0)
    assert book.rows("SELECT count(*), count(DISTINCT problem || '/' || slot) FROM samples") == [
        (9, 9)
    ]
    assert book.check() == 0
    assert book.rows("SELECT count(*) FROM attempts WHERE ending = ''") == [(0,)]


def test_agents_killed_with_orch_are_made_again(book: Book) -> None:
    killed_and_resumed(book, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_agents_killed_with_orch_at_random_moments(book: Book, seed: int) -> None:
    killed_and_resumed(book, 100 + seed)


def test_what_an_agent_leaves_is_read_where_it_is_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"said")
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    assert left_in(tmp_path / "plain", 1) == b"said"
    names = ("link", "pipe", "folder", "nothing")
    assert [left_in(tmp_path / name, 1) for name in names] == [None] * 4


async def test_a_folder_in_place_of_the_output_is_no_output() -> None:
    made = await run(Errand(["mkdir", f"{DESK}/output"], time_s=30))
    assert (made.status, made.output) == (0, None)
