"""What a person meets around a run: locks, children, displays, bad servers, neighbours."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.store.directory import file_system_of
from tests.hostile.server import hostile_process
from tests.run.conftest import REPORT_ONLY, ROOT, environment

PRICES = '[models."hostile"]\ninput = "3.00"\noutput = "15.00"\n'


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def wait_until(condition, seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_server_outlives_orch(number, start_orch):
    process = start_orch("run", "--provider", "local", "--samples", "5000", "--name", "r")
    wait_until(lambda: children(process.pid))
    servers = children(process.pid)
    time.sleep(1.0)
    process.send_signal(number)
    code = process.wait(timeout=240)
    assert code == (-9 if number == signal.SIGKILL else 130)
    wait_until(lambda: not any(alive(pid) for pid in servers))


def test_a_second_orch_is_refused_while_the_first_holds_the_run(start_orch, orch, tmp_path):
    process = start_orch("run", "--provider", "local", "--samples", "5000", "--name", "r")
    wait_until(lambda: (tmp_path / "runs/r/run.db").exists())
    ended = orch("run", "--resume", "r")
    assert ended.code == 2
    assert "held by another orch" in ended.err and str(process.pid) in ended.err
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=240) == 130


def test_json_is_one_document_and_progress_goes_elsewhere(orch):
    ended = orch("run", "--provider", "local", "--samples", "5", "--limit", "4", "--json")
    assert ended.code == 0, ended.err
    (row,) = ended.json["rows"]
    assert set(row) >= {
        "provider", "model", "task", "policy", "estimator", "problems", "samples", "censored",
        "infra_errors", "solved", "spent_usd", "uncertain_usd", "usd_per_solved", "coverage",
    }  # fmt: skip
    assert row["problems"] == 4 and row["samples"] == 20
    assert set(row["coverage"][0]) >= {"k", "mean", "low", "high", "usd_as_bought", "usd_at_k"}
    assert "\x1b" not in ended.err
    shown = orch("report", ended.json["run"], "--json")
    (again,) = shown.json["rows"]
    assert again.keys() - row.keys() == REPORT_ONLY
    assert {key: again[key] for key in row} == row


def test_a_terminal_gets_a_live_view_that_stays_readable(orch_on_terminal):
    ended = orch_on_terminal("run", "--provider", "local", "--samples", "400")
    assert ended.code == 0
    text = ended.out
    for word in ("in flight", "spent $", "coverage", "limited by", "left", "Next: orch report"):
        assert word in text, word


def test_your_own_problems_on_any_compatible_server(orch, serve, tmp_path):
    server = serve()
    lines = [
        {"id": "one", "prompt": "1+1=", "answer": "2"},
        {"id": "chat", "messages": [{"role": "user", "content": "2+2="}], "answer": "4"},
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ended = orch(
        "run", "--provider", "openai", "--base-url", server.url, "--model", "orch-tiny", "--task",
        "mine.jsonl", "--gpu-hour", "0", "--samples", "16", "--max-tokens", "8", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json["rows"][0]["samples"] == 32
    assert ended.json["rows"][0]["spent_usd"] == "0.00"


def test_slots_that_cannot_be_filled_end_with_1_and_widen_the_interval(orch, tmp_path):
    (tmp_path / "p.toml").write_text(PRICES)
    with hostile_process(tmp_path / "bill.jsonl", faults="error_500=0.7", seed=3) as url:
        ended = orch(
            "run", "--provider", "openai", "--base-url", f"{url}/v1", "--model", "hostile",
            "--task", "arithmetic", "--prices", "p.toml", "--samples", "2", "--limit", "10",
            "--n-per-request", "1", "--max-retries", "0", "--budget", "5", "--json",
        )  # fmt: skip
    assert ended.code == 1, ended.err
    row = ended.json["rows"][0]
    assert row["infra_errors"] > 0
    assert row["samples"] + row["infra_errors"] == 20
    assert row["uncertain_usd"] == "0.00"


def test_a_server_that_ignores_n_is_noticed_and_asked_one_by_one(orch, tmp_path):
    (tmp_path / "p.toml").write_text(PRICES)
    with hostile_process(tmp_path / "bill.jsonl", faults="ignore_n=1") as url:
        ended = orch(
            "run", "--provider", "openai", "--base-url", f"{url}/v1", "--model", "hostile",
            "--task", "arithmetic", "--prices", "p.toml", "--samples", "12", "--limit", "5",
            "--n-per-request", "4", "--budget", "5", "--name", "r", "--json",
        )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "returned 1 of 4 choices" in ended.err
    with contextlib.closing(sqlite3.connect(tmp_path / "runs/r/run.db")) as db:
        filled = db.execute("SELECT problem, slot FROM samples ORDER BY 1, 2").fetchall()
        seeds = [seed for (seed,) in db.execute("SELECT seed FROM requests")]
    assert filled == [(problem, slot) for problem in range(5) for slot in range(12)]
    assert len(seeds) == len(set(seeds))


@pytest.mark.parametrize("policy", ["until-solved", "best-value"])
def test_policies_that_stop_at_a_success_resume_where_they_were(policy, start_orch, orch, tmp_path):
    process = start_orch(
        "run", "--provider", "local", "--policy", policy, "--samples", "3000",
        "--n-per-request", "4", "--name", "r",
    )  # fmt: skip
    wait_until(lambda: (tmp_path / "runs/r/run.db").exists())
    time.sleep(3)
    process.kill()
    process.wait()
    ended = orch("run", "--resume", "r", "--samples", "60", "--json")
    assert ended.code == 0, ended.err
    row = ended.json["rows"][0]
    assert row["estimator"] == "first success (survival)" or policy == "best-value"
    with contextlib.closing(sqlite3.connect(tmp_path / "runs/r/run.db")) as db:
        depth = dict(db.execute("SELECT problem, count(*) FROM samples GROUP BY problem"))
        firsts = dict(
            db.execute("SELECT problem, min(slot) FROM verdicts WHERE kind = 'passed' GROUP BY 1")
        )
    assert len(firsts) == row["solved"] > 10
    for problem, first in firsts.items():
        # At most one request beyond the first success, and everything below it was bought.
        assert first < depth[problem] <= first // 4 * 4 + 4
    for problem in set(range(128)) - set(firsts):
        assert depth[problem] >= 60


def test_a_neighbour_that_shadows_our_packages_is_named(tmp_path):
    fake = tmp_path / "site/verifiers"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("")
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "orchestrator", "run", "--provider", "local"],
        cwd=tmp_path, env=environment(PYTHONPATH=f"{tmp_path / 'site'}:{ROOT}"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "'verifiers'" in ended.stderr and "environment of its own" in ended.stderr


def test_the_open_files_limit_is_raised_or_concurrency_is_capped(orch, tmp_path):
    ended = subprocess.run(
        ["bash", "-c", 'ulimit -Sn 130; ulimit -Hn 160; exec "$@"', "-", sys.executable, "-m",
         "orchestrator", "run", "--provider", "local", "--samples", "4", "--limit", "4",
         "--max-concurrent", "500"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "at most 64 requests run at once" in ended.stderr


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/data/runs", "nfs4"), ("/data/local/runs", "ext4"), ("/a b/x", "9p"), ("/home/me", "ext4")],
)
def test_the_file_system_that_holds_a_directory(path, kind):
    mounts = (
        "/dev/vda / ext4 rw 0 0\nserver:/x /data nfs4 rw 0 0\n"
        "/dev/vdb /data/local ext4 rw 0 0\nhost /a\\040b 9p rw 0 0\n"
    )
    assert file_system_of(Path(path), mounts) == kind


def test_help_needs_no_sdk(tmp_path):
    """Measured as processor time of whole processes, in turn, so that a busy machine is fair."""

    def cpu(*command: str) -> float:
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
            "stdout=subprocess.DEVNULL); "
            "usage = resource.getrusage(resource.RUSAGE_CHILDREN); "
            "print(usage.ru_utime + usage.ru_stime)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, *command], env=environment(), cwd=tmp_path,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return float(ended.stdout)

    pairs = [
        (
            cpu(sys.executable, "-m", "orchestrator", "--help"),
            cpu(sys.executable, "-c", "import rich, numpy"),
        )
        for _ in range(5)
    ]
    assert statistics.median(ours / theirs for ours, theirs in pairs) < 3
