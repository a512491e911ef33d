"""Every way out: judges that hang or crash, signals at odd moments, full disks, odd numbers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from budgets.journal import Event
from orchestrator.store.store import RunStore
from tests.forks import Forked
from tests.hostile.server import hostile_process
from tests.run.conftest import environment
from tests.run.serving import serving

PRICES = '[models."hostile"]\ninput = "3.00"\noutput = "15.00"\n'

PLUGIN = """
import asyncio, os, pathlib
from orchestrator.tasks.base import Problem, SamplingDefaults
from verifiers.verdict import Verdict

class Odd:
    name, version, deterministic = "odd", "1", True

    async def verify(self, text, reference):
        manner = os.environ.get("ODD_JUDGE", "")
        if manner == "hang":
            pathlib.Path("hanging").touch()
            await asyncio.sleep(3600)
        if manner == "raise":
            raise OSError("the judge fell over")
        if manner == "surrogates":
            return Verdict("failed", detail="half \\ud800", answer="\\udfff")
        return Verdict("passed")

    async def aclose(self):
        pass

class Task:
    name, version, defaults = "odd", "1", SamplingDefaults(max_tokens=32)

    def problems(self):
        if os.environ.get("ODD_TASK"):
            raise KeyError("nobody's fault")
        return [Problem(f"p{n}", f"{n}+1=", None, {}) for n in range(3)]

    def verifier(self, name=None):
        return Odd()

def task(options):
    return Task()
"""


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """A task of somebody else's, found through an entry point; its judge obeys ODD_JUDGE."""
    site = tmp_path / "site"
    (site / "odd-1.dist-info").mkdir(parents=True)
    (site / "odd_task.py").write_text(PLUGIN)
    (site / "odd-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (site / "odd-1.dist-info/entry_points.txt").write_text("[orch.tasks]\nodd = odd_task:task\n")
    return {"PYTHONPATH": f"{environment()['PYTHONPATH']}{os.pathsep}{site}"}


@contextlib.contextmanager
def answering(usage: dict[str, Any]) -> Iterator[str]:
    """A server whose every answer carries this usage."""
    choice = {"index": 0, "text": "3", "finish_reason": "stop"}
    body = {"choices": [choice], "model": "hostile", "usage": usage}
    with serving(lambda _: (200, {}, body)) as url:
        yield f"{url}/v1"


def against(url: str, *more: object) -> list[object]:
    return [
        "run", "--provider", "compatible", "--base-url", url, "--model", "hostile",
        "--n-per-request", "1", "--name", "r", "--display", "plain",
        "--max-concurrent", "8", *more,
    ]  # fmt: skip


def query(run: Path, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


def wait_for(run: Path, sql: str, seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(sqlite3.OperationalError):
            if query(run, sql)[0][0]:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10**25, "completion_tokens": 10**25},
        {"prompt_tokens": 3, "completion_tokens": 2**31 + 1},
        {"prompt_tokens": -3, "completion_tokens": 1},
        {"prompt_tokens": 3, "completion_tokens": 1.5},
        {"prompt_tokens": True, "completion_tokens": "1"},
    ],
)
def test_counts_that_cannot_be_are_no_usage(usage, orch, tmp_path):
    """The answers are kept, and what they may have cost is held at the worst case."""
    (tmp_path / "p.toml").write_text(PRICES)
    with answering(usage) as url:
        ended = orch(
            *against(url, "--task", "arithmetic", "--limit", "2", "--samples", "2"),
            "--prices", "p.toml", "--budget", "5", "--json", timeout=240,
        )  # fmt: skip
    assert ended.code == 0, ended.err
    row = ended.json["rows"][0]
    assert row["samples"] == 4 and row["spent_usd"] == "0.00"
    held = query(
        tmp_path / "runs/r",
        "SELECT count(*), sum(r.amount = h.amount) FROM ledger h JOIN ledger r ON r.kind ="
        " 'reserve' AND r.reservation = h.reservation WHERE h.kind = 'hold'",
    )
    assert held == [(4, 4)]


def test_counts_above_the_bound_that_can_be_are_a_fault(orch, tmp_path):
    (tmp_path / "p.toml").write_text(PRICES)
    with answering({"prompt_tokens": 3, "completion_tokens": 2**31}) as url:
        ended = orch(
            *against(url, "--task", "arithmetic", "--limit", "2", "--samples", "2"),
            "--prices", "p.toml", "--budget", "5", "--json", timeout=240,
        )  # fmt: skip
    assert ended.code == 4, ended.err
    assert "declared for it as its worst case" in ended.json["reasons"][0]
    assert float(ended.json["rows"][0]["spent_usd"]) > 2**31 * 15e-6


def leave(process: subprocess.Popen[str], number: int) -> None:
    """Signal twice: the second time when the first is seen to have been heeded."""
    process.send_signal(number)
    assert process.stderr is not None
    assert any("Ctrl-C again leaves at once" in line for line in process.stderr)
    process.send_signal(number)
    assert process.wait(timeout=150) == 130


def test_a_second_interrupt_leaves_while_answers_are_judged(start_orch, orch, plugin, tmp_path):
    with answering({"prompt_tokens": 3, "completion_tokens": 1}) as url:
        process = start_orch(
            *against(url, "--task", "odd", "--samples", "2", "--gpu-hour", "0"),
            ODD_JUDGE="hang", **plugin,
        )  # fmt: skip
        wait_for(tmp_path / "runs/r", "SELECT count(*) = 6 FROM samples")
        leave(process, signal.SIGINT)
        # Again from a resume: what was left to judge hangs from the start.
        (tmp_path / "hanging").unlink()
        process = start_orch("run", "--resume", "r", ODD_JUDGE="hang", **plugin)
        deadline = time.monotonic() + 150
        while not (tmp_path / "hanging").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        leave(process, signal.SIGTERM)
        ended = orch("run", "--resume", "r", "--json", **plugin)
    assert ended.code == 0, ended.err
    assert ended.json["rows"][0]["samples"] == 6


def test_a_judge_that_crashes_is_no_wrong_answer_and_is_asked_again_on_resume(
    orch, plugin, tmp_path
):
    with answering({"prompt_tokens": 3, "completion_tokens": 1}) as url:
        given = against(url, "--task", "odd", "--samples", "2", "--gpu-hour", "0", "--json")
        ended = orch(*given, timeout=240, ODD_JUDGE="raise", **plugin)
        assert ended.code == 1, ended.err
        row = ended.json["rows"][0]
        assert (row["samples"], row["infra_errors"]) == (0, 6)
        ended = orch("run", "--resume", "r", "--json", **plugin)
    assert ended.code == 0, ended.err
    assert ended.json["rows"][0]["samples"] == 6 and ended.json["reasons"] == []


def test_half_characters_in_a_verdict_are_stored(orch, plugin):
    with answering({"prompt_tokens": 3, "completion_tokens": 1}) as url:
        given = against(url, "--task", "odd", "--samples", "2", "--gpu-hour", "0", "--json")
        ended = orch(*given, timeout=240, ODD_JUDGE="surrogates", **plugin)
    assert ended.code == 0, ended.err
    assert ended.json["rows"][0]["samples"] == 6


def test_a_terminal_that_went_away_does_not_stop_the_draining(tmp_path):
    master, slave = os.openpty()
    with hostile_process(tmp_path / "bill.jsonl", latency="0.2,0.4") as url:
        process = Forked(
            ["orchestrator", *map(str, against(f"{url}/v1")),
             "--task", "arithmetic", "--samples", "5000", "--gpu-hour", "0"],
            cwd=tmp_path, env=environment(), stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        try:
            wait_for(tmp_path / "runs/r", "SELECT count(*) > 5 FROM samples")
            os.close(master)
            process.send_signal(signal.SIGHUP)
            process.wait(timeout=150)
        finally:
            process.kill()
            process.wait()
    asked, answered = query(
        tmp_path / "runs/r", "SELECT (SELECT count(*) FROM requests), count(*) FROM answers"
    )[0]
    assert answered > 5 and asked - answered <= 1


def test_a_run_under_nohup_survives_the_end_of_its_terminal(tmp_path):
    with hostile_process(tmp_path / "bill.jsonl", latency="0.1,0.2") as url:
        process = subprocess.Popen(
            ["nohup", sys.executable, "-m", "orchestrator", *map(str, against(f"{url}/v1")),
             "--task", "arithmetic", "--limit", "4", "--samples", "40", "--gpu-hour", "0"],
            cwd=tmp_path, env=environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(tmp_path / "runs/r", "SELECT count(*) > 5 FROM samples")
            process.send_signal(signal.SIGHUP)
            assert process.wait(timeout=240) == 0
        finally:
            process.kill()
            process.wait()
    assert query(tmp_path / "runs/r", "SELECT count(*) FROM samples") == [(160,)]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a mount of its own")
def test_a_full_disk_ends_with_4_and_a_resume_goes_on(orch, tmp_path):
    """The run is made on a small file system of memory; what it holds is kept and moved off."""
    (tmp_path / "small").mkdir()
    with answering({"prompt_tokens": 3, "completion_tokens": 1}) as url:
        command = [
            sys.executable, "-m", "orchestrator", *map(str, against(url)), "--task", "arithmetic",
            "--samples", "400", "--limit", "20", "--gpu-hour", "0", "--out", "small", "--json",
        ]  # fmt: skip
        script = (
            'mount -t tmpfs -o size=400k tmpfs small || exit 77; "$@"; code=$?; '
            "cp -r small/r kept; exit $code"
        )
        ended = subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, "-", *command], cwd=tmp_path,
            env=environment(), capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        if ended.returncode in (1, 77) and not (tmp_path / "kept").exists():
            pytest.skip("no mount of its own here")
        assert ended.returncode == 4, ended.stderr
        assert "Traceback" not in ended.stderr
        assert "free the disk and use --resume" in ended.stderr
        assert json.loads(ended.stdout)["exit_code"] == 4
        before = query(tmp_path / "kept", "SELECT count(*) FROM samples")[0][0]
        assert before > 0
        again = orch("run", "--resume", "kept", "--samples", "12", "--json")
    assert again.code == 0, again.err


def test_a_total_that_cannot_be_does_not_spoil_counts_that_can(orch, tmp_path):
    (tmp_path / "p.toml").write_text(PRICES)
    with answering({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 10**30}) as url:
        ended = orch(
            *against(url, "--task", "arithmetic", "--limit", "2", "--samples", "2"),
            "--prices", "p.toml", "--budget", "5", "--json", timeout=240,
        )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json["rows"][0]["spent_usd"] == "0.000096"


def test_what_nothing_foresees_is_one_sentence_and_exit_code_4(orch, plugin, tmp_path):
    given = against("http://127.0.0.1:9/v1", "--task", "odd", "--gpu-hour", "0")
    ended = orch(*given, ODD_TASK="raise", XDG_CACHE_HOME=str(tmp_path / "cache"), **plugin)
    assert ended.code == 4, ended.err
    assert len(ended.err.splitlines()) == 1 and "KeyError" in ended.err
    assert "Traceback" not in ended.err + ended.out
    (kept,) = (tmp_path / "cache").rglob("fault-*.txt")
    assert str(kept) in ended.err and "Traceback" in kept.read_text()


async def bill_above_its_bound(path: Path) -> None:
    store = RunStore(path)
    store.append(Event("reserve", 9999, 1, ("run",), ""))
    store.append(Event("settle", 9999, 2, (), ""))
    await store.durable()
    await store.close()


def test_a_metered_run_with_a_fault_says_so(orch, tmp_path):
    with answering({"prompt_tokens": 3, "completion_tokens": 1}) as url:
        given = against(url, "--task", "arithmetic", "--samples", "2", "--limit", "2")
        assert orch(*given, "--gpu-hour", "1").code == 0
        asyncio.run(bill_above_its_bound(tmp_path / "runs/r/run.db"))
        ended = orch("run", "--resume", "r", "--samples", "4")
    assert ended.code == 4, ended.err
    assert "Traceback" not in ended.err and "billed" in ended.err


def test_a_run_that_cannot_be_locked_is_named(orch, tmp_path):
    with answering({"prompt_tokens": 3, "completion_tokens": 1}) as url:
        given = against(url, "--task", "arithmetic", "--samples", "2", "--limit", "2")
        assert orch(*given, "--gpu-hour", "0").code == 0
        (tmp_path / "runs/r/lock").unlink()
        (tmp_path / "runs/r/lock").mkdir()
        ended = orch("run", "--resume", "r", "--samples", "4")
    assert ended.code == 2, ended.err
    assert "cannot be written" in ended.err and "Traceback" not in ended.err
