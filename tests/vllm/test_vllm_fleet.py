"""Launched servers of a real vLLM, killed at random: nothing is left, a resume completes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from providers.fleet import holds, processes
from providers.tiny.weights import BUNDLED
from tests.fleet.test_fleet_runs import samples, wait_for_samples, whole

ROOT = Path(__file__).resolve().parents[2]
VLLM = os.environ.get("ORCH_VLLM", "")
LEFT_WITHIN_S = 15.0
PLAN = [
    "--provider", "local", "--launch", "2", "--task", "arithmetic", "--limit", "10",
    "--samples", "200", "--gpu-hour", "0.5", "--budget", "5", "--display", "none",
]  # fmt: skip
SERVER = "--enforce-eager --dtype float32 --block-size 32 --max-num-seqs 64"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VLLM, reason="ORCH_VLLM names no environment with vLLM"),
    pytest.mark.timeout(3600),
]


@pytest.fixture(autouse=True)
def small_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two servers on a small machine, without the network."""
    for name, value in {
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
        "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    yield
    for hold in holds.still_held():
        holds.stop(hold)


def orch(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orchestrator", "run", *arguments, "--vllm", VLLM,
               "--server-arg", SERVER]  # fmt: skip
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_servers(number: int) -> list[holds.Hold]:
    until = time.monotonic() + 1200
    while time.monotonic() < until:
        held = [hold for hold in holds.still_held() if len(hold.left()) >= 3]
        if len(held) >= number:
            return held
        time.sleep(1)
    raise AssertionError("the servers did not come up")


def gone_within(marks: list[str], seconds: float) -> float:
    """How long it took until nothing of these holds was left."""
    began = time.monotonic()
    while any(processes.marked(mark) for mark in marks):
        assert time.monotonic() - began < seconds, "something is left running"
        time.sleep(0.1)
    return time.monotonic() - began


def test_orch_an_api_process_and_a_worker_killed(tmp_path: Path) -> None:
    run, chance = tmp_path / "run", random.Random(17)
    common = [*PLAN, "--model", str(BUNDLED), "--out", str(tmp_path), "--name", "run"]
    going = orch(*common)
    wait_for_samples(run, 100, within_s=1200)
    marks = [hold.id for hold in holds.still_held()]
    time.sleep(chance.uniform(0, 2))
    going.send_signal(signal.SIGKILL)
    going.communicate()
    took_s = gone_within(marks, LEFT_WITHIN_S)
    print(f"orch killed: nothing left after {took_s:.1f} s")

    going = orch("--resume", str(run), "--samples", "1500", "--display", "none")
    (hold, *_) = wait_for_servers(1)
    before = len(samples(run))
    wait_for_samples(run, before + 200, within_s=1200)
    os.kill(hold.pid, signal.SIGKILL)
    took_s = gone_within([hold.id], LEFT_WITHIN_S)
    print(f"an API process killed: nothing of it left after {took_s:.1f} s")

    (hold, *_) = wait_for_servers(1)
    time.sleep(chance.uniform(0, 5))
    workers = [process for process in hold.left() if process.pid != hold.pid]
    os.kill(max(process.pid for process in workers), signal.SIGKILL)
    print("a worker killed")
    said, _ = going.communicate(timeout=2400)
    assert going.returncode == 0, said
    assert sorted(samples(run)) == whole(10, 1500)
    assert not holds.still_held()
    with closing(sqlite3.connect(run / "run.db")) as database:
        seeds = database.execute("SELECT count(*), count(DISTINCT seed) FROM requests").fetchone()
    assert seeds[0] == seeds[1]
