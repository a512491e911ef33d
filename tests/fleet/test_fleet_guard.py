"""A guard ends all that it started, whatever dies first. Real processes, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from providers.fleet import holds
from providers.fleet.guard import LEASE_RAN_OUT, Order, new_id
from providers.fleet.heartbeat import start_guard

ROOT = Path(__file__).resolve().parents[2]

STUBBORN = """
import os, signal, subprocess, sys, time
# A worker that heeds no TERM and writes a title over all of its environment but what it set last,
# as vLLM's do, and one in a session of its own: both outlive a killed parent.
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
title = (
    "import ctypes; at = open('/proc/self/stat').read().rpartition(')')[2].split()[47:49]; "
    "ctypes.memset(int(at[0]), 0, int(at[1]) - int(at[0]) - len('LAST=1 ')); "
    "ctypes.memmove(int(at[0]), b'title', 5); print('titled', flush=True); "
)
worker = subprocess.Popen(
    [sys.executable, "-c", code + title + "time.sleep(600)"],
    env={**os.environ, "LAST": "1"}, stdout=subprocess.PIPE,
)
worker.stdout.readline()
code += "time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""
SERVER = [sys.executable, "-c", STUBBORN]


def wait_until(true: Callable[[], object], within_s: float = 150.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, "not within its time"
        time.sleep(0.05)


def busy_for(seconds: float) -> None:
    time.sleep(seconds)


@contextlib.contextmanager
def held(*options: str, by: list[str] | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`orch hold` over the stubborn server, once it is up; yields its process and its id."""
    command = [sys.executable, "-m", "orchestrator", "hold", "--grace", "0.5", *options, "--"]
    process = subprocess.Popen(
        [*(by or []), *command, *SERVER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        (one,) = holds.still_held()
        assert len(one.left()) == 3
        yield process, one.id
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        for one in holds.still_held():
            holds.stop(one)


def test_told_to_end_it_ends_every_descendant_and_says_when() -> None:
    with held() as (process, mark):
        process.send_signal(signal.SIGTERM)
        process.wait(150)
        assert not holds.left_of(mark)
    (one,) = holds.holds()
    assert one.ended_at is not None and "SIGTERM" in one.why


def test_the_server_killed_alone_leaves_nothing() -> None:
    with held() as (process, mark):
        (one,) = holds.holds()
        os.kill(one.pid, signal.SIGKILL)
        assert process.wait(150) == 128 + signal.SIGKILL
        assert not holds.left_of(mark)


def test_a_heartbeat_file_that_stays_as_it_is_ends_it(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    with held("--lease", "2", "--heartbeat", str(beat)) as (process, mark):
        for _ in range(8):
            beat.write_text(str(time.monotonic_ns()))
            time.sleep(0.5)
        assert process.poll() is None, "it was touched for two leases"
        assert process.wait(150) == LEASE_RAN_OUT
        assert not holds.left_of(mark)


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    starter = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    with held(by=starter) as (process, mark):
        process.kill()
        wait_until(lambda: not holds.left_of(mark))
        wait_until(lambda: holds.holds()[0].ended_at)


def test_it_ends_when_its_parent_is_stopped_for_the_lease() -> None:
    starter = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    with held("--lease", "1", by=starter) as (process, mark):
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: not holds.left_of(mark))


def test_a_killed_guard_leaves_what_the_book_finds() -> None:
    with held() as (process, mark):
        process.kill()
        process.wait()
        # The command heeds TERM, which the kernel sends it; its two workers do not.
        wait_until(lambda: len(holds.left_of(mark)) == 2)
        (one,) = holds.still_held()
        assert not one.guarded
        listed = subprocess.run(
            [sys.executable, "-m", "orchestrator", "hold", "--list"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "its guard is gone" in listed.stdout and mark in listed.stdout
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", "hold", "--stop", mark],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0 and "ended" in done.stdout
        assert not holds.left_of(mark)
        assert not holds.still_held()


def test_its_exit_code_is_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "hold", "--", "sh", "-c", "exit 7"], cwd=ROOT
    )
    assert done.returncode == 7


def test_a_command_that_is_not_there_is_said_and_not_held() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "hold", "--", "no-such-server"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no-such-server cannot be held" in done.stderr
    assert not holds.still_held()


def test_the_book_shows_no_key() -> None:
    shown = holds.without_secrets(["vllm", "--api-key", "sk-1", "--hf-token=abc", "--port", "1"])
    assert shown == ["vllm", "--api-key", "***", "--hf-token=***", "--port", "1"]


@pytest.mark.parametrize("way", ["close", "stop", "kill"])
async def test_it_lives_as_long_as_its_starter_is_well(tmp_path: Path, way: str) -> None:
    order = Order(SERVER, lease_s=2.0, grace_s=0.5, id=new_id(), run=str(tmp_path))
    with (tmp_path / "log").open("wb") as log:
        guarded = await start_guard(order, os.environ, log)
    await asyncio.to_thread(wait_until, lambda: len(holds.left_of(order.id)) == 3)
    busy_for(3.0)  # The event loop has no time for more than the lease.
    assert guarded.running
    if way == "kill":
        os.kill(guarded.process.pid, signal.SIGKILL)
        await guarded.wait()
    else:
        await guarded.stop()
    assert not holds.left_of(order.id)
    if way != "kill":
        assert guarded.ended_at is not None
