"""A real server process for the tests of this folder, and the official client against it."""

from __future__ import annotations

import os

# Before numpy is imported: on matrices this small, a second thread only waits for the first.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from tiny_served import Served, serve

from providers.tiny.llama import Model
from providers.tiny.weights import BUNDLED


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
