"""Servers paid by the hour: what a crash leaves uncertain, and money that ends at the start.

At 3,600 dollars an hour a second costs a dollar, so seconds can be read off the accounts.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from budgets.ledger import Ledger
from budgets.money import PICO, usd
from orchestrator.store.reader import RunReader
from tests.run.conftest import environment
from tests.run.test_run_money import books, wait_for_sampling
from tests.run.test_run_own_budgets import answer, serving

HOUR = ["--gpu-hour", "3600", "--budget", "500", "--samples", "20000", "--name", "r"]
SLICE = 17 * PICO
"""The next slice of time and the drain."""


def children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(path.parent.name))
    return found


def gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True


def last_settled_at(run: Path) -> float:
    with contextlib.closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as db:
        return db.execute(
            "SELECT max(at) FROM ledger WHERE kind = 'settle' AND note = 'time held'"
        ).fetchone()[0]


def uncertain(run: Path):
    with contextlib.closing(RunReader(run)) as reader:
        # What was in flight has no price of its own here.
        return [item for item in Ledger.read(reader.events()).uncertain() if item.amount]


def test_a_launched_server_dies_within_what_was_reserved(orch, start_orch, tmp_path):
    run = tmp_path / "runs/r"
    process = start_orch("run", "--provider", "local", *HOUR)
    wait_for_sampling(process, run, 8)
    (server,) = [pid for pid in children(process.pid) if "providers.tiny" in command_of(pid)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 150
    while not gone(server):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    dead, settled_at = time.time(), last_settled_at(run)
    ended = orch("run", "--resume", "r", "--samples", "2", "--json")
    assert ended.code == 0, ended.err
    (left,) = uncertain(run)
    assert abs(left.amount - SLICE) <= PICO // 100
    assert (dead - settled_at) * PICO <= left.amount


def command_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def test_time_of_a_borrowed_server_that_nobody_watched_is_uncertain(
    orch, start_orch, serve, tmp_path
):
    server, run = serve(), tmp_path / "runs/r"
    process = start_orch(
        "run", "--provider", "compatible", "--base-url", server.url, "--model", "orch-tiny",
        "--task", "arithmetic", "--max-concurrent", "8", *HOUR,
    )  # fmt: skip
    wait_for_sampling(process, run, 8)
    process.send_signal(signal.SIGKILL)
    process.wait()
    settled_at = last_settled_at(run)
    time.sleep(max(0.0, settled_at + 20 - time.time()))

    # The cap may not be passed in silence, and what to do is said.
    looked = time.time()
    ended = orch("run", "--resume", "r", "--budget", "20", "--json")
    assert ended.code == 4, ended.err
    said = " ".join(ended.err.split())
    assert "nobody watched the server" in said and "passes the cap of 'run'" in said
    totals = books(run)
    assert "orch budget resolve runs/r --usd SETTLED" in said
    assert ended.json["exit_code"] == 4 and ended.json["rows"]
    assert totals.uncertain > SLICE
    # From the last settlement until somebody looked again, whatever the brackets round up.
    assert (looked - settled_at) * PICO <= totals.uncertain + PICO // 100
    assert totals.uncertain <= (time.time() - settled_at) * PICO + PICO // 100
    shown = orch("budget", "r").out
    assert "nobody watched the server for" in shown and "Fault:" in shown
    assert "time of the server of orch-tiny: $17" in shown

    # Looking again counts nothing twice; the person's word gives it back.
    assert orch("run", "--resume", "r", "--budget", "20").code == 4
    assert books(run) == totals
    assert orch("budget", "resolve", "r", "--usd", usd(totals.settled)).code == 0
    assert books(run).uncertain == 0
    ended = orch("run", "--resume", "r", "--budget", "500", "--samples", "2")
    assert ended.code == 0, ended.err
    assert books(run).uncertain == 0 < totals.settled < books(run).settled


def test_a_budget_that_does_not_pay_for_the_start_is_reported_as_json(orch, tmp_path):
    ended = orch(
        "run", "--provider", "local", "--gpu-hour", "3600", "--budget", "5", "--name", "r", "--json"
    )
    assert ended.code == 3, ended.err
    assert ended.json["exit_code"] == 3 and ended.json["rows"] == []
    assert "does not pay for the server's start" in ended.json["reasons"][0]
    assert books(tmp_path / "runs/r").committed == 0
    assert orch("report", "r", "--json").json["rows"] == []
    again = orch(
        "run", "--resume", "r", "--budget", "500", "--samples", "3", "--limit", "4", "--json"
    )
    assert again.code == 0, again.err
    assert again.json["rows"][0]["samples"] == 12


def test_money_that_ends_while_the_server_is_starting(tmp_path):
    """A server that never comes up: the run ends inside the cap, and so does the server."""
    slow = tmp_path / "slow"
    slow.write_text('#!/bin/sh\necho $$ > "$(dirname "$0")/pid"\nexec sleep 60\n')
    slow.chmod(0o755)
    code = (
        f"import sys; sys.executable = {str(slow)!r}; sys.argv = ['orch', *sys.argv[1:]]; "
        "from orchestrator.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "run", "--provider", "local", "--gpu-hour", "3600",
         "--budget", "18", "--name", "r", "--json"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    assert "The budget ended while the server was still starting" in ended.stderr
    totals = books(tmp_path / "runs/r")
    assert 10 * PICO < totals.settled <= 18 * PICO
    assert totals.uncertain == totals.reserved == 0
    pid = int((tmp_path / "pid").read_text())
    assert gone(pid)


MIXED = """
[study]
name = "r"
budget = "200"
prices = "p.toml"
max_retries = 0
max_concurrent = "200"

[[arms]]
provider = "local"
task = "arithmetic"
gpu_hour = "3600"
{held}

[[arms]]
provider = "compatible"
base_url = "{url}/v1"
model = "hostile"
task = "arithmetic"
samples = 1
max_tokens = 20
n_per_request = 1
"""


@pytest.mark.parametrize(
    ("held", "code"), [('samples = 20000\nbudget = "23"', 3), ("samples = 2", 0)]
)
def test_a_server_is_let_go_when_its_arm_is_done_and_the_others_go_on(
    held, code, orch, start_orch, tmp_path
):
    """The paid arm gets no answer before the server of the other arm is gone."""
    gone_again = threading.Event()

    def watch(pid: int) -> None:
        servers: list[int] = []
        deadline = time.monotonic() + 100
        while not servers or not all(map(gone, servers)):
            servers = servers or [c for c in children(pid) if "providers.tiny" in command_of(c)]
            if time.monotonic() > deadline:
                return
            time.sleep(0.2)
        gone_again.set()

    def reply(body):
        assert gone_again.wait(100)
        return answer()

    (tmp_path / "p.toml").write_text('[models.hostile]\ninput = "3.00"\noutput = "15.00"\n')
    with serving(reply) as url:
        (tmp_path / "s.toml").write_text(MIXED.format(held=held, url=url))
        process = start_orch("run", "s.toml", "--json", "--yes")
        watcher = threading.Thread(target=watch, args=(process.pid,))
        watcher.start()
        out, err = process.communicate(timeout=240)
        watcher.join()
        assert process.returncode == code, err
        rows = json.loads(out)["rows"]
        assert rows[1]["samples"] == 128 and rows[0]["samples"] > 0
        with contextlib.closing(RunReader(tmp_path / "runs/r")) as reader:
            arm = Ledger.read(reader.events()).totals("arm:0")
        assert 0 < arm.settled <= 23 * PICO and arm.reserved == arm.uncertain == 0
        if code == 3:
            # What is left does not pay for another start: the server stays down, the rest goes on.
            ended = orch("run", "--resume", "r", "--json")
            assert ended.code == 3, ended.err
            with contextlib.closing(RunReader(tmp_path / "runs/r")) as reader:
                assert Ledger.read(reader.events()).totals("arm:0") == arm


def test_a_budget_for_a_share_of_a_servers_time_is_refused(orch, tmp_path):
    arm = '[[arms]]\nprovider = "local"\ntask = "arithmetic"\nsamples = 2\n'
    (tmp_path / "s.toml").write_text(f'{arm}budget = "1"\n\n{arm}temperature = 0.5\n')
    ended = orch("run", "s.toml")
    assert ended.code == 2, ended.err
    assert "shared by 2 arms" in ended.err and not (tmp_path / "runs").exists()
