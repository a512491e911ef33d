"""Several arms under one cap, names that mean something to a terminal, and slots that fail."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from budgets.ledger import Ledger
from budgets.money import picodollars
from orchestrator.store.directory import file_system_of
from orchestrator.store.reader import RunReader
from tests.hostile.server import hostile_process

ODD = "odd[/b] [red]\x1b[31m name"
PRICES = '[models."hostile"]\ninput = "3.00"\noutput = "15.00"\n'
STUDY = """
[study]
name = "two"
budget = "5"
prices = "p.toml"
max_concurrent = "{concurrent}"
max_retries = 0

[[arms]]
provider = "compatible"
base_url = "{url}/v1"
model = "hostile"
task = "t.jsonl"
samples = 6
max_tokens = 50
n_per_request = 1
{first}

[[arms]]
provider = "compatible"
base_url = "{url}/v1"
model = "hostile"
task = "t.jsonl"
samples = 6
max_tokens = 60
n_per_request = 1
{second}
"""


def write(tmp_path: Path, url: str, first: str = "", second: str = "", concurrent: int = 1) -> None:
    (tmp_path / "p.toml").write_text(PRICES)
    lines = [{"id": f"p{i}", "prompt": f"{i}+1=", "answer": "1"} for i in range(4)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "s.toml").write_text(
        STUDY.format(url=url, first=first, second=second, concurrent=concurrent)
    )


@pytest.mark.parametrize("faults", ["", "error_500=1"])
def test_an_arm_at_the_end_of_its_own_budget_leaves_the_other_to_finish(faults, orch, tmp_path):
    with hostile_process(tmp_path / "bill.jsonl", faults=faults) as url:
        # Pays for a single request of the first arm at a time, and for few of them.
        write(tmp_path, url, first='budget = "0.0008"')
        ended = orch("run", "s.toml", "--json", timeout=240)
    assert ended.code == (3 if not faults else 1), ended.err
    with closing(RunReader(tmp_path / "runs/two")) as reader:
        ledger = Ledger.read(reader.events())
        asked = [request.arm for request in reader.requests()]
    assert asked.count(1) == 24
    first = ledger.totals("arm:0")
    assert first.settled + first.uncertain <= picodollars("0.0008")
    if not faults:
        assert 0 < asked.count(0) < 24
        assert ended.json["rows"][1]["samples"] == 24


def test_arms_of_one_task_with_different_problems_are_counted_apart(orch, tmp_path):
    with hostile_process(tmp_path / "bill.jsonl") as url:
        write(tmp_path, url, first='exclude = ["p0", "p3"]', concurrent=4)
        ended = orch("run", "s.toml", "--json", timeout=240)
        again = orch("run", "--resume", "two", "--samples", "7", "--json", timeout=240)
    assert ended.code == 0, ended.err
    assert again.code == 0, again.err
    assert [row["samples"] for row in again.json["rows"]] == [14, 28]
    rows = ended.json["rows"]
    assert [row["problems"] for row in rows] == [2, 4]
    assert [row["samples"] for row in rows] == [12, 24]
    assert [row["coverage"][-1]["k"] for row in rows] == [6, 6]
    with closing(RunReader(tmp_path / "runs/two")) as reader:
        names = [[p.id for p in reader.problems(arm.problem_set)] for arm in reader.arms()]
    assert names == [["p1", "p2"], ["p0", "p1", "p2", "p3"]]


def test_the_study_that_a_run_wrote_can_be_run_again(orch, tmp_path):
    with hostile_process(tmp_path / "bill.jsonl") as url:
        write(tmp_path, url, first="temperature = 0.5", concurrent=4)
        assert orch("run", "s.toml", timeout=240).code == 0
        ended = orch("run", "runs/two/study.toml", "--name", "again", "--json", timeout=240)
    assert ended.code == 0, ended.err
    seeds = []
    for name in ("two", "again"):
        with closing(RunReader(tmp_path / "runs" / name)) as reader:
            seeds.append(sorted(request.seed for request in reader.requests()))
    assert seeds[0] == seeds[1] and len(set(seeds[0])) == 48


def test_names_are_shown_and_not_obeyed(orch, tmp_path):
    with hostile_process(tmp_path / "bill.jsonl", model=ODD) as url:
        command = [
            "run", "--provider", "compatible", "--base-url", f"{url}/v1", "--model", ODD,
            "--task", "arithmetic", "--limit", "2", "--samples", "3", "--gpu-hour", "0",
            "--name", "r",
        ]  # fmt: skip
        ended = orch(*command, timeout=240)
        wrong = orch(*command[:6], "other", *command[7:], "--out", "elsewhere", timeout=240)
    assert ended.code == 0, ended.err
    for text in (ended.out, ended.err, orch("report", "r").out):
        assert "odd[/b] [red]\\x1b[31m name" in " ".join(text.split())
        assert "\x1b" not in text
    assert wrong.code == 2 and "\x1b" not in wrong.err


def test_the_live_view_survives_a_name_with_markup(orch_on_terminal, tmp_path):
    with hostile_process(tmp_path / "bill.jsonl", model=ODD, latency="0.5,0.9") as url:
        ended = orch_on_terminal(
            "run", "--provider", "compatible", "--base-url", f"{url}/v1", "--model", ODD,
            "--task", "arithmetic", "--limit", "4", "--samples", "4", "--n-per-request", "1",
            "--max-concurrent", "4", "--gpu-hour", "0",
        )  # fmt: skip
    assert ended.code == 0
    text = ended.out
    assert "in flight" in text and "odd[/b] [red]\\x1b[31m name " in text


def test_a_first_slot_that_was_never_filled_does_not_break_the_report(orch, tmp_path):
    with hostile_process(tmp_path / "bill.jsonl", script="error_500") as url:
        ended = orch(
            "run", "--provider", "compatible", "--base-url", f"{url}/v1", "--model", "hostile",
            "--task", "arithmetic", "--limit", "1", "--samples", "4", "--n-per-request", "1",
            "--max-retries", "0", "--max-concurrent", "1", "--gpu-hour", "0", "--json",
        )  # fmt: skip
    assert ended.code == 1, ended.err
    assert (ended.json["rows"][0]["samples"], ended.json["rows"][0]["infra_errors"]) == (3, 1)


@pytest.mark.slow
def test_a_server_that_takes_no_more_connections_censors_nothing(orch, tmp_path):
    """Once the models are listed, connections are left waiting in a full queue."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)

    def models() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            body = json.dumps({"data": [{"id": "hostile"}]}).encode()
            head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            queue = [socket.socket() for _ in range(4)]
            for one in queue:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            done.wait(90)
            for one in queue:
                one.close()

    done = threading.Event()
    thread = threading.Thread(target=models)
    thread.start()
    try:
        ended = orch(
            "run", "--provider", "compatible", "--base-url",
            f"http://127.0.0.1:{listener.getsockname()[1]}/v1", "--model", "hostile", "--task",
            "arithmetic", "--limit", "1", "--samples", "1", "--max-retries", "0", "--gpu-hour",
            "0", "--json",
        )  # fmt: skip
    finally:
        done.set()
        thread.join()
        listener.close()
    assert ended.code == 1, ended.err
    assert (ended.json["rows"][0]["censored"], ended.json["rows"][0]["infra_errors"]) == (0, 1)


def test_flags_have_variables(orch, tmp_path):
    given = ["run", "--provider", "local", "--samples", "2", "--limit", "2", "--name", "r"]
    ended = orch(*given, "--json", ORCH_DRY_RUN="1")
    assert ended.code == 0 and ended.json["dry_run"] is True
    assert not (tmp_path / "runs").exists()
    (tmp_path / ".env").write_text("ORCH_YES=1\n")
    with hostile_process(tmp_path / "bill.jsonl") as url:
        write(tmp_path, url)
        dear = ["run", "s.toml", "--confirm-over", "0.00001"]
        refused = orch(*dear)
        assert refused.code == 2 and "--yes" in refused.err
        assert orch(*dear, ORCH_YES="1").code == 0


def test_slots_beyond_a_lowered_number_of_samples_are_not_bought(start_orch, orch, tmp_path):
    with hostile_process(tmp_path / "bill.jsonl", latency="0.3,0.3") as url:
        write(tmp_path, url, concurrent=64)
        process = start_orch("run", "s.toml", "--samples", "30")
        run = tmp_path / "runs/two"
        while True:
            assert process.poll() is None
            time.sleep(0.02)
            with (
                contextlib.suppress(sqlite3.OperationalError, IndexError),
                closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as db,
            ):
                deepest = "SELECT coalesce(max(first_slot), 0) FROM requests"
                if db.execute(deepest).fetchone()[0] >= 3:
                    break
        process.kill()
        process.wait()
        ended = orch("run", "--resume", "two", "--samples", "2", "--json", timeout=240)
    assert ended.code == 0, ended.err
    with closing(RunReader(run)) as reader:
        unanswered = [r for r in reader.requests() if not r.answered]
        assert unanswered and all(r.first_slot >= 2 for r in unanswered)


def test_a_mount_point_is_found_whatever_its_letters():
    mounts = "/dev/vda / ext4 rw 0 0\nserver:/x /données\\040ici nfs4 rw 0 0\n"
    assert file_system_of(Path("/données ici/runs"), mounts) == "nfs4"
