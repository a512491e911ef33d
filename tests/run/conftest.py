"""Runs of the real command against the real server, in processes of their own."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.forks import Forked, run_forked

ROOT = Path(__file__).resolve().parents[2]

PRICES = """
[models."orch-tiny"]
input = "3.00"
output = "15.00"
"""


REPORT_ONLY = {"fits", "forecasts", "forecast_refused", "selection", "marginal_usd_per_solve"}
"""What a row of `orch report --json` says beyond that of `orch run --json`."""


def environment(**more: str) -> dict[str, str]:
    """The environment of a person without keys or settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ORCH_", "OPENAI_", "ANTHROPIC_", "VLLM_", "DEEPSEEK_"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "120", **more}


@dataclass
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def orch(tmp_path: Path) -> Callable[..., Finished]:
    """Run `orch` to its end in an empty directory."""

    def call(*args: object, timeout: float = 240, **env: str) -> Finished:
        ended = run_forked(
            ["orchestrator", *map(str, args)], cwd=tmp_path, env=environment(**env),
            capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        return Finished(ended.returncode, ended.stdout, ended.stderr)

    return call


@pytest.fixture
def orch_on_terminal(tmp_path: Path) -> Callable[..., Finished]:
    """Run `orch` to its end on a terminal of its own; all that it showed is `out`."""

    def call(*args: object) -> Finished:
        master, slave = pty.openpty()
        env = {k: v for k, v in environment(TERM="xterm").items() if k != "NO_COLOR"}
        words = ["orchestrator", *map(str, args)]
        with Forked(
            words, cwd=tmp_path, env=env, stdin=slave, stdout=slave, stderr=slave
        ) as process:
            os.close(slave)
            seen = b""
            while select.select([master], [], [], 60)[0]:
                try:
                    seen += os.read(master, 65536)
                except OSError:
                    break
        os.close(master)
        return Finished(process.returncode, seen.decode(), "")

    return call


@pytest.fixture
def start_orch(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `orch` and hand over the process; what is left of it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def call(*args: object, **env: str) -> subprocess.Popen[str]:
        process = Forked(
            ["orchestrator", *map(str, args)],
            cwd=tmp_path,
            env=environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@dataclass
class Server:
    """The bundled model's server, started on its own, with its own bill."""

    url: str
    bill_path: Path

    def bill(self) -> list[dict[str, Any]]:
        if not self.bill_path.exists():
            return []
        return [json.loads(line) for line in self.bill_path.read_text().splitlines()]

    def final_bill(self, still_s: float = 1.0) -> list[dict[str, Any]]:
        """The bill once it stands still: a server finishes what a killed client had in flight."""
        deadline = time.monotonic() + 150
        lines, since = len(self.bill()), time.monotonic()
        while time.monotonic() - since < still_s:
            assert time.monotonic() < deadline, "the bill goes on growing"
            time.sleep(0.05)
            if len(self.bill()) != lines:
                lines, since = len(self.bill()), time.monotonic()
        return self.bill()

    def billed(self, model: str = "orch-tiny") -> int:
        """The bill in picodollars at PRICES."""
        return sum(
            line["prompt_tokens"] * 3_000_000 + line["completion_tokens"] * 15_000_000
            for line in self.bill()
        )


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Start `orch serve --bill` on a free port."""
    started: list[subprocess.Popen[str]] = []

    def call() -> Server:
        bill = tmp_path / f"bill-{len(started)}.jsonl"
        process = Forked(
            ["providers.tiny", "--port", "0", "--bill", str(bill)],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        return Server(first["base_url"], bill)

    yield call
    for process in started:
        process.terminate()
        process.wait(timeout=240)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return path
