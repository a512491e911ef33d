"""A run of agents and the model's bill for it."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budgets.ledger import Ledger
from orchestrator.store.packing import Unpacker
from orchestrator.store.reader import RunReader
from tests.agents.model_process import TASKS, bill
from tests.forks import Forked, run_forked

ROOT = Path(__file__).resolve().parents[2]
AGENT = Path(__file__).with_name("scripted_agent.py")
QUOTED = shlex.quote(str(AGENT))
PRICES = '[models.scripted]\ninput = "3.00"\noutput = "15.00"\n'


@dataclass
class Book:
    folder: Path
    url: str

    @property
    def directory(self) -> Path:
        return self.folder / "runs" / "run"

    def options(self, way: str = "plain", **more: object) -> list[str]:
        (self.folder / "prices.toml").write_text(PRICES)
        words: dict[str, object] = {
            "provider": "compatible", "base_url": f"{self.url}/v1", "model": "scripted",
            "prices": "prices.toml", "task": f"harbor:{TASKS}", "samples": 3, "budget": 5,
            "agent": f"python3 {QUOTED} {way} {{problem}} {{workdir}} {{output}} {{model}}",
            "agent_path": AGENT, "name": "run", "display": "none", **more,
        }  # fmt: skip
        return [f"--{n.replace('_', '-')}={v}" for n, v in words.items() if v is not None]

    def start(self, *options: str) -> subprocess.Popen[str]:
        mine = ("ORCH_", "OPENAI_", "ANTHROPIC_")
        env = {name: text for name, text in os.environ.items() if not name.startswith(mine)}
        return Forked(
            ["orchestrator", "run", *options], cwd=self.folder,
            env={**env, "PYTHONPATH": f"{ROOT}:{AGENT.parent}", "NO_COLOR": "1",
                 "OPENAI_API_KEY": "sk-house-1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *options: str, patience_s: float = 800.0) -> tuple[int, str]:
        process = self.start(*options)
        try:
            said, _ = process.communicate(timeout=patience_s)
        finally:
            # One that is not done in time must not go on beside the next test.
            process.kill()
        return process.returncode, said

    def resume(self, *more: str) -> tuple[int, str]:
        return self.run("--resume=runs/run", "--prices=prices.toml", "--display=none", *more)

    def begun(self, process: subprocess.Popen[str]) -> None:
        """Return once the first attempt's folder is there, or the process has ended."""
        while not (self.directory / "attempts").exists() and process.poll() is None:
            time.sleep(0.05)

    def verify(self, *options: str) -> tuple[int, str]:
        """`orch verify`: its exit code and what it said."""
        done = run_forked(
            ["orchestrator", "verify", str(self.directory), *options],
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def check(self) -> int:
        """The exit code of `orch check`: 0 where everything is there and whole."""
        return run_forked(
            ["orchestrator", "check", str(self.directory)],
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        ).returncode  # fmt: skip

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds, packed texts as they were."""
        with closing(sqlite3.connect(self.directory / "run.db")) as database:
            text = Unpacker(database, str(self.directory)).text
            return [
                tuple(text(one) if isinstance(one, bytes) else one for one in row)
                for row in database.execute(query).fetchall()
            ]

    def ledger(self) -> Ledger:
        with closing(RunReader(self.directory)) as reader:
            return Ledger.read(reader.events())

    @property
    def bill(self) -> int:
        return sum(line["pico"] for line in bill(self.folder / "bill.jsonl"))

    @property
    def billed_calls(self) -> int:
        return sum(1 for line in bill(self.folder / "bill.jsonl") if line["pico"])
