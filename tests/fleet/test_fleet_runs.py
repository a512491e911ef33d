"""Whole runs on several servers: real processes, real HTTP, real deaths."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from budgets.ledger import Ledger
from orchestrator.errors import ConfigError
from orchestrator.store.reader import RunReader
from providers.fleet import holds
from tests.forks import Forked, run_forked
from tests.run.keyed import keyed_server

ROOT = Path(__file__).resolve().parents[2]
ORCH = ["orchestrator"]
PLAN = ["--task", "arithmetic", "--limit", "6", "--gpu-hour", "1", "--budget", "5",
        "--display", "none"]  # fmt: skip

MANY = ["--samples", "400", "--n-per-request", "4"]
"""Six hundred requests: far more than are ever in flight, so that a run goes on when the first are
answered."""


@contextmanager
def tiny(*names: str) -> Iterator[list[tuple[subprocess.Popen[str], str]]]:
    """Servers of the bundled model under these names; yields processes and addresses."""
    found = []
    try:
        for name in names:
            process = Forked(
                ["providers.tiny", "--port", "0", "--model-name", name],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
            assert process.stdout is not None
            found.append((process, str(json.loads(process.stdout.readline())["base_url"])))
        yield found
    finally:
        for process, _ in found:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def orch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_forked(
        [*ORCH, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, **environment},
    )  # fmt: skip


def start(*arguments: str) -> subprocess.Popen[str]:
    return Forked(
        [*ORCH, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def samples(run: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(run / "run.db")) as database:
        return database.execute("SELECT problem, slot FROM samples").fetchall()


def asked(run: Path) -> dict[str, int]:
    """How many requests each server of a run has answered."""
    with closing(sqlite3.connect(run / "run.db")) as database:
        return dict(database.execute("SELECT server, count(*) FROM served GROUP BY server"))


def wait_for_asked(run: Path, servers: int, within_s: float = 150.0) -> None:
    """Return once so many servers have answered more than five requests each."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with suppress(sqlite3.OperationalError):
            if sum(number > 5 for number in asked(run).values()) == servers:
                return
        time.sleep(0.02)
    raise AssertionError(f"{servers} servers were never asked")


def wait_for_samples(run: Path, number: int, within_s: float = 150.0) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if len(samples(run)) >= number:
                return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.1)
    raise AssertionError("no samples came")


def whole(problems: int, slots: int) -> list[tuple[int, int]]:
    return [(problem, slot) for problem in range(problems) for slot in range(slots)]


def test_addresses_are_one_arm_and_a_killed_server_costs_no_sample(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with tiny("m", "m") as servers:
        bases = [part for _, url in servers for part in ("--base-url", url)]
        going = start("run", "--provider", "local", "--model", "m", *bases, *PLAN, *MANY,
                      "--out", str(tmp_path), "--name", "run")  # fmt: skip
        wait_for_asked(run, 2)
        # It gets more before it is seen to hang, so that something is lost when it dies.
        servers[0][0].send_signal(signal.SIGSTOP)
        wait_for_samples(run, len(samples(run)) + 300)
        servers[0][0].kill()
        said, _ = going.communicate(timeout=300)
    assert going.returncode == 0, said
    assert sorted(samples(run)) == whole(6, 400)
    with closing(sqlite3.connect(run / "run.db")) as database:
        seeds = database.execute("SELECT count(*), count(DISTINCT seed) FROM requests").fetchone()
    assert seeds[0] == seeds[1]
    assert "is put aside" in said


def test_servers_of_a_file_come_and_go(tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "servers.txt"
    with tiny("m", "m") as servers:
        (first, one), (_, two) = servers
        file.write_text(f"# the first\n{one}\n")
        going = start("run", "--provider", "local", "--model", "m", "--servers", str(file), *PLAN,
                      *MANY, "--display", "plain", "--out", str(tmp_path),
                      "--name", "run")  # fmt: skip
        wait_for_asked(run, 1)
        # What the first has in flight waits for it, so the run cannot be over meanwhile.
        first.send_signal(signal.SIGSTOP)
        file.write_text(f"{one}\n{two}\n")
        wait_for_asked(run, 2)
        file.write_text(f"{two}\n")
        assert going.stdout is not None
        assert any("is named no more" in line for line in going.stdout), "the run is over"
        first.send_signal(signal.SIGCONT)
        said, _ = going.communicate(timeout=300)
    assert going.returncode == 0, said
    assert sorted(samples(run)) == whole(6, 400)
    assert len(asked(run)) == 2


def test_another_model_is_refused_and_named(tmp_path: Path) -> None:
    with tiny("m", "other") as servers:
        bases = [part for _, url in servers for part in ("--base-url", url)]
        done = orch("run", "--provider", "local", "--model", "m", *bases, *PLAN,
                    "--out", str(tmp_path), "--name", "run")  # fmt: skip
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert "does not have 'm'; it has: other" in done.stderr
    assert servers[1][1].split("//")[1].split("/")[0] in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--launch", "0"], "launch` is '0'"),
        (["--launch", "2", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"], "leave out"),
        (["--servers", "/no/such/file", "--model", "m"], "cannot be read"),
        (["--launch", "1", "--model", "m", "--vllm", "/no/such/vllm"], "is no vLLM; install"),
        (["--base-url", "http://127.0.0.1:9/v1", "--base-url", "http://127.0.0.1:19/v1",
          "--model", "m"], "None of the 2 servers answers"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_written(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    from orchestrator.cli import orch

    line = ["run", "--provider", "local", *PLAN, *arguments, "--out", str(tmp_path / "runs")]
    with pytest.raises(ConfigError) as refused:
        orch.main(line, standalone_mode=False)
    assert says in str(refused.value) and not (tmp_path / "runs").exists()


def test_launched_servers_end_with_a_killed_orch_and_the_resume_completes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    plan = ["--provider", "local", "--launch", "2", "--limit", "6", "--samples", "500",
            "--budget", "5", "--display", "none", "--gpu-hour", "1"]  # fmt: skip
    going = start("run", *plan, "--out", str(tmp_path), "--name", "run")
    wait_for_samples(run, 300)
    marks = [hold.id for hold in holds.still_held()]
    assert len(marks) == 2
    going.send_signal(signal.SIGKILL)
    going.communicate()
    until = time.monotonic() + 150
    while any(holds.left_of(mark) for mark in marks):
        assert time.monotonic() < until, "something is left running"
        time.sleep(0.1)
    done = orch("run", "--resume", str(run), "--display", "none")
    assert done.returncode == 0, done.stderr
    assert sorted(samples(run)) == whole(6, 500)
    assert not holds.still_held()
    with closing(sqlite3.connect(run / "run.db")) as database:
        notes = [note for (note,) in database.execute("SELECT note FROM ledger")]
    assert sum("its guard saw the last of it gone" in note for note in notes) == 2


def test_a_cap_ends_all_launched_servers_inside_it(tmp_path: Path) -> None:
    # $36,000 an hour is ten dollars a second for each of two servers, of which more than half a
    # minute is always paid ahead. No machine makes six million samples of what is left.
    done = orch("run", "--provider", "local", "--launch", "2", "--limit", "6", "--samples",
                "1000000", "--budget", "900", "--gpu-hour", "36000", "--display", "none",
                "--lease", "10", "--yes", "--out", str(tmp_path), "--name", "run")  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert not holds.still_held()
    with closing(RunReader(tmp_path / "run")) as reader:
        money = Ledger.read(reader.events()).totals()
    assert money.committed <= 900 * 10**12 and money.settled > 0
    assert money.reserved == 0


def test_a_key_goes_to_the_servers_that_a_file_names(tmp_path: Path) -> None:
    file = tmp_path / "servers.txt"
    with keyed_server() as one, keyed_server(text="5") as other:
        file.write_text(f"{one.url}\n{other.url}  # the second\n")
        plan = ["run", "--provider", "compatible", "--model", "some-model", "--servers", str(file),
                "--task", "arithmetic", "--limit", "4", "--samples", "40", "--n-per-request", "5",
                "--gpu-hour", "0", "--display", "none", "--out", str(tmp_path)]  # fmt: skip
        done = orch(*plan, "--api-key-env", f"FLEET_KEY@{file}", FLEET_KEY="sk-of-the-fleet")
        assert done.returncode == 0, done.stderr
        assert one.keys == other.keys == {"Bearer sk-of-the-fleet"}
        assert "answers a greedy probe otherwise than" in done.stderr
        assert one.answered + other.answered >= 160 and min(one.answered, other.answered) > 5
        one.keys.clear()
        assert orch(*plan, FLEET_KEY="sk-of-the-fleet").returncode == 0
        assert one.keys == {""}, "a key that nobody gave away stays here"


@pytest.mark.slow
def test_a_stopped_orch_bills_no_longer_than_its_lease(tmp_path: Path) -> None:
    going = start("run", "--provider", "local", "--launch", "2", "--limit", "6", "--samples",
                  "9000", "--gpu-hour", "36", "--budget", "5", "--display", "none", "--lease", "5",
                  "--out", str(tmp_path), "--name", "run")  # fmt: skip
    run = tmp_path / "run"
    wait_for_samples(run, 300)
    marks = [hold.id for hold in holds.still_held()]
    going.send_signal(signal.SIGSTOP)
    until = time.monotonic() + 150
    while any(holds.left_of(mark) for mark in marks):
        assert time.monotonic() < until, "they bill on"
        time.sleep(0.2)
    # Longer than all that was reserved ahead.
    time.sleep(40)
    going.send_signal(signal.SIGCONT)
    wait_for_samples(run, len(samples(run)) + 500)
    going.send_signal(signal.SIGINT)
    said, _ = going.communicate(timeout=240)
    assert going.returncode == 130, said
    with closing(RunReader(run)) as reader:
        ledger = Ledger.read(reader.events())
    assert ledger.fault is None and ledger.totals().reserved == 0
    assert not holds.still_held()
