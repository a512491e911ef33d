"""1,500 connections that ask nothing do not keep a server of ours from answering."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run.conftest import environment

IDLE = 1500
FILES = 1024
"""How many files the server may open, as on most machines."""
POST = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
BEGINNINGS = (b"", b"GET /v1/models HTTP/1.1\r\nHost: 127.0", POST + b"Content-Length: 9\r\n\r\n{")

COMMANDS = {
    "serve": ["serve", "--port", "0"],
    "gateway": ["gateway", "--provider", "compatible", "--base-url", "http://127.0.0.1:9/v1",
                "--model", "m", "--gpu-hour", "0", "--budget", "1", "--port", "0"],
}  # fmt: skip


@contextlib.contextmanager
def served(words: list[str], folder: Path) -> Iterator[tuple[str, int]]:
    """The address of a server that may open FILES files."""

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))

    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words], cwd=folder, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=few_files,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                break
        else:
            pytest.fail(said)
        yield "127.0.0.1", int(found[1])
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def enough_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE + 500:
        pytest.skip(f"at most {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_server_answers_beside_1500_silent_connections(name, tmp_path, enough_files):
    with served(COMMANDS[name], tmp_path) as (host, port), contextlib.ExitStack() as held:
        for number in range(IDLE):
            one = held.enter_context(socket.create_connection((host, port), timeout=30))
            with contextlib.suppress(ConnectionError):
                one.sendall(BEGINNINGS[number % len(BEGINNINGS)])
        for _ in range(5):
            try:
                with urllib.request.urlopen(
                    f"http://{host}:{port}/v1/models", timeout=30
                ) as answer:
                    assert answer.status == 200
            except urllib.error.HTTPError as error:
                assert error.code == 401  # The gateway wants its key.
