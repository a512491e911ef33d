"""A server process of our own, started as a person would, for tests."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.forks import Forked

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Served:
    """A running server."""

    base_url: str
    model: str
    bill: Path
    pid: int

    @property
    def origin(self) -> str:
        return self.base_url.removesuffix("/v1")

    def bill_lines(self) -> list[dict]:
        return [json.loads(line) for line in self.bill.read_text().splitlines()]

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its full name."""
        with urllib.request.urlopen(f"{self.origin}/metrics") as response:
            lines = response.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def gauge(self, name: str) -> float:
        return self.metrics()[f'vllm:{name}{{model_name="{self.model}"}}']


def serve(bill: Path, *more: str) -> Iterator[Served]:
    command = ["providers.tiny", "--port", "0", "--bill", str(bill), *more]
    with Forked(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            listening = json.loads(process.stdout.readline())
            yield Served(listening["base_url"], listening["model"], bill, process.pid)
        finally:
            process.terminate()
            assert process.wait(120) == 0
