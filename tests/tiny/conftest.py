"""A real server process for the tests of this folder, and the official client against it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from providers.tiny.model import Model
from providers.tiny.weights import BUNDLED

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
    command = [sys.executable, "-m", "providers.tiny", "--port", "0", "--bill", str(bill), *more]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            listening = json.loads(process.stdout.readline())
            yield Served(listening["base_url"], listening["model"], bill, process.pid)
        finally:
            process.terminate()
            assert process.wait(20) == 0


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that leave no trace but lines in its bill."""
    yield from serve(tmp_path_factory.mktemp("tiny") / "bill.jsonl")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Served]:
    """A server of the test's own."""
    yield from serve(tmp_path / "bill.jsonl")


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=served.base_url, api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def model() -> Model:
    return Model(BUNDLED)
