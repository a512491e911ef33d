"""Launched servers of a real vLLM, killed at random: nothing is left, a resume completes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from providers.fleet import holds
from providers.tiny.weights import BUNDLED
from tests.fleet.test_fleet_runs import samples, wait_for_samples, whole

ROOT = Path(__file__).resolve().parents[2]
VLLM = os.environ.get("ORCH_VLLM", "")
LEFT_WITHIN_S = 15.0
ROUNDS = int(os.environ.get("ORCH_TEST_KILLS", "1"))
"""How many moments each kind of process is killed at."""
SAMPLES = 1000 + 2000 * ROUNDS
PLAN = [
    "--provider", "local", "--launch", "2", "--task", "arithmetic", "--limit", "10",
    "--samples", str(SAMPLES), "--gpu-hour", "0.5", "--budget", "5", "--display", "none",
]  # fmt: skip
SLOWLY = ["--max-concurrent", "4", "--n-per-request", "2"]
FAST = ["--max-concurrent", "auto", "--n-per-request", "auto"]
"""The plan outlasts its kills; the last session goes as fast as it may."""
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


def answers(hold: holds.Hold) -> bool:
    try:
        return httpx2.get(hold.url.removesuffix("/v1") + "/health").status_code == 200
    except httpx2.HTTPError:
        return False


def wait_for_servers(number: int, state: Callable[[holds.Hold], bool]) -> list[holds.Hold]:
    until = time.monotonic() + 1200
    while time.monotonic() < until:
        held = [hold for hold in holds.still_held() if state(hold)]
        if len(held) >= number:
            return held
        time.sleep(1)
    raise AssertionError("the servers did not come up")


def gone_within(marks: list[str], seconds: float) -> float:
    """How long it took until nothing of these holds was left."""
    began = time.monotonic()
    while any(holds.left_of(mark) for mark in marks):
        assert time.monotonic() - began < seconds, "something is left running"
        time.sleep(0.1)
    return time.monotonic() - began


def kill_at_work(chance: random.Random, victim: str, run: Path) -> None:
    """End one process of one of two servers while both answer; nothing of it stays."""
    held = wait_for_servers(2, answers)
    wait_for_samples(run, len(samples(run)) + 40, within_s=1200)
    time.sleep(chance.uniform(0, 5))
    hold = chance.choice(held)
    workers = [process.pid for process in hold.left() if process.pid != hold.pid]
    os.kill(hold.pid if victim == "an API process" else max(workers), signal.SIGKILL)
    took_s = gone_within([hold.id], LEFT_WITHIN_S)
    print(f"{victim} killed: nothing of its server left after {took_s:.1f} s", flush=True)


def test_orch_an_api_process_and_a_worker_killed(tmp_path: Path) -> None:
    run, chance = tmp_path / "run", random.Random(17)
    resume = ["--resume", str(run), "--display", "none"]
    going = orch(*PLAN, *SLOWLY, "--model", str(BUNDLED), "--out", str(tmp_path), "--name", "run")
    for number in range(ROUNDS):
        if number % 2:
            wait_for_servers(1, lambda hold: bool(hold.left()))
            time.sleep(chance.uniform(0, 60))
        else:
            before = len(samples(run)) if number else 0
            wait_for_samples(run, before + 100, within_s=1200)
            time.sleep(chance.uniform(0, 2))
        marks = [hold.id for hold in holds.still_held()]
        going.kill()
        going.communicate()
        took_s = gone_within(marks, LEFT_WITHIN_S)
        print(f"orch killed: nothing of {len(marks)} left after {took_s:.1f} s", flush=True)
        going = orch(*resume, *SLOWLY)
    for victim in ["an API process", "a worker"] * ROUNDS:
        kill_at_work(chance, victim, run)
    going.send_signal(signal.SIGINT)
    said, _ = going.communicate(timeout=600)
    assert going.returncode == 130, said
    assert not holds.still_held()
    said, _ = (going := orch(*resume, *FAST)).communicate(timeout=2400)
    assert going.returncode == 0, said
    assert sorted(samples(run)) == whole(10, SAMPLES)
    assert not holds.still_held()
    with closing(sqlite3.connect(run / "run.db")) as database:
        seeds = database.execute("SELECT count(*), count(DISTINCT seed) FROM requests").fetchone()
    assert seeds[0] == seeds[1]
