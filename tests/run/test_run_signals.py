"""SIGTERM ends with 130 wherever it strikes, and Ctrl-C waits for no table."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.run.conftest import environment

RUN = ["run", "--provider", "local", "--samples", "40", "--limit", "20", "--name"]


def strike_once_loaded(process: subprocess.Popen[str], library: str) -> None:
    """SIGTERM as soon as a process has loaded a library whose file's name begins so."""
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError):
            if f"/{library}" in Path(f"/proc/{process.pid}/maps").read_text():
                break
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)


def strike(folder: Path, words: list[str], library: str) -> None:
    # A start of its own: what is forked has loaded everything.
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words], cwd=folder, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        strike_once_loaded(process, library)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, (words, library, err)
    assert "Traceback" not in out + err


@pytest.mark.parametrize("library", ["_asyncio", "_sqlite3"])
def test_sigterm_ends_a_run_with_130_while_it_loads(library, tmp_path):
    strike(tmp_path, [*RUN, "r"], library)


def test_sigterm_ends_what_reads_a_run_with_130(orch, tmp_path):
    assert orch(*RUN, "r").code == 0
    for words, library in (
        (["report", "r"], "_multiarray_umath"),
        (["report", "r", "--html", "page.html"], "_json"),
        (["verify", "r"], "_asyncio"),
        (["export", "jsonl", "r", "-o", "rows.jsonl"], "_json"),
    ):
        strike(tmp_path, words, library)
    assert not (tmp_path / "page.html").exists() and not (tmp_path / "rows.jsonl").exists()


def stored(run: Path) -> int:
    with contextlib.suppress(sqlite3.Error):
        address = f"file:{run / 'run.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
            return db.execute("SELECT count(*) FROM verdicts").fetchone()[0]
    return 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_waits_for_no_table(start_orch, tmp_path):
    """143,000 samples whose answers are mostly different take longer to vote over than to close."""
    run = tmp_path / "runs/r"
    process = start_orch(
        "run", "--provider", "local", "--temperature", "2", "--samples", "100000", "--name", "r",
        "--display", "none",
    )  # fmt: skip
    while stored(run) < 143_000:
        assert process.poll() is None
        time.sleep(0.5)
    struck = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    print(f"{time.monotonic() - struck:.1f} s after Ctrl-C, {stored(run):,} verdicts")
    assert process.returncode == 130, err
    assert "95 % interval" in out or "the table takes a while" in err
