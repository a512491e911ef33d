"""The server as a child: it comes up on a port of its own and never outlives its parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest

from providers.tiny.child import ServerStartError, start_server
from providers.tiny.weights import BUNDLED

ROOT = Path(__file__).resolve().parents[2]

PARENT = """
import asyncio, sys
from providers.tiny.child import start_server

async def main():
    child = await start_server()
    print(child.pid, flush=True)
    {then}

asyncio.run(main())
"""


def start_parent(then: str) -> tuple[subprocess.Popen[str], int]:
    """A process of its own session that starts a server and then does `then`; the server's pid."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(then=then)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def close(parent: subprocess.Popen[str]) -> None:
    parent.kill()
    parent.wait()
    assert parent.stdout is not None
    parent.stdout.close()


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 150
    while alive(pid):
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.02)


async def test_a_child_answers_and_stops() -> None:
    child = await start_server()
    assert alive(child.pid)
    async with openai.AsyncOpenAI(base_url=child.base_url, api_key="x") as client:
        assert [model.id async for model in client.models.list()] == [child.model]
    assert child.running
    assert await child.stop() == 0
    assert not child.running
    assert not alive(child.pid)
    assert await child.stop() == 0


async def test_two_children_take_two_ports_and_write_their_own_bills(tmp_path: Path) -> None:
    bills = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    children = await asyncio.gather(*(start_server(bill=bill) for bill in bills))
    assert len({child.base_url for child in children}) == 2
    for number, child in enumerate(children):
        async with openai.AsyncOpenAI(base_url=child.base_url, api_key="x") as client:
            await client.completions.create(model=child.model, prompt="1+2=", seed=number)
    await asyncio.gather(*(child.stop() for child in children))
    for number, bill in enumerate(bills):
        assert [json.loads(line)["seed"] for line in bill.read_text().splitlines()] == [number]


async def test_a_stop_lets_requests_in_progress_finish() -> None:
    child = await start_server()
    async with openai.AsyncOpenAI(base_url=child.base_url, api_key="x", max_retries=0) as client:
        first_chunk = asyncio.Event()

        async def stream() -> int:
            finished = 0
            async for chunk in await client.completions.create(
                model=child.model, prompt="99*99=", n=300, stream=True
            ):
                first_chunk.set()
                finished += sum(choice.finish_reason is not None for choice in chunk.choices)
            return finished

        streaming = asyncio.create_task(stream())
        await first_chunk.wait()
        assert await child.stop() == 0
        assert await streaming == 300


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_dies_with_its_parent(number: signal.Signals) -> None:
    parent, child = start_parent("await asyncio.sleep(600)")
    try:
        assert alive(child)
        parent.send_signal(number)
        wait_until_gone(child)
    finally:
        close(parent)


def test_a_child_dies_although_another_process_keeps_the_pipe_open() -> None:
    """A forked worker that outlives the parent holds a copy of the pipe's end."""
    fork = "import os, time; worker = os.fork()\n    if not worker: time.sleep(60); os._exit(0)\n"
    parent, child = start_parent(f"{fork}    print(worker, flush=True); await asyncio.sleep(600)")
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    try:
        parent.kill()
        wait_until_gone(child)
        assert alive(worker)
    finally:
        os.kill(worker, signal.SIGKILL)
        close(parent)


def test_a_parent_that_just_ends_leaves_no_child() -> None:
    parent, child = start_parent("return")
    wait_until_gone(child)
    close(parent)


def test_ctrl_c_at_the_terminal_does_not_reach_the_child() -> None:
    """The terminal signals the whole foreground group; the parent here ignores it to drain."""
    then = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print(0, flush=True); "
    parent, child = start_parent(then + "await asyncio.sleep(600)")
    assert parent.stdout is not None
    parent.stdout.readline()
    try:
        os.killpg(parent.pid, signal.SIGINT)
        time.sleep(0.3)
        assert parent.poll() is None
        assert alive(child)
    finally:
        close(parent)
    wait_until_gone(child)


async def test_a_stopped_process_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = await start_server()
    os.kill(child.pid, signal.SIGSTOP)
    assert await child.stop(grace_s=0.2) == -signal.SIGKILL
    assert not alive(child.pid)


async def test_the_childs_environment_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    child = await start_server()
    assert b"sk-secret" not in environment_of(child.pid)
    await child.stop()


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServerStartError, match=r"exit code 2: cannot serve: .*No such file"):
        await start_server(bill=tmp_path / "missing" / "bill.jsonl")
    broken = tmp_path / "model"
    broken.mkdir()
    for path in BUNDLED.iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ServerStartError, match=r"not a tokenizer file"):
        await start_server(model_directory=broken, log=tmp_path / "server.log")
    assert "cannot serve" in (tmp_path / "server.log").read_text()


async def test_a_server_that_is_too_slow_is_not_left_behind() -> None:
    before = children_of(os.getpid())
    with pytest.raises(ServerStartError, match=r"did not listen within 0\.01 s"):
        await start_server(ready_timeout_s=0.01)
    starting = asyncio.create_task(start_server())
    await asyncio.sleep(0.05)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert children_of(os.getpid()) == before


def children_of(pid: int) -> set[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


ORCH = "from orchestrator.cli import main; main()"


def test_the_command_line(tmp_path: Path) -> None:
    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=60
        )

    for command in (("-m", "providers.tiny"), ("-c", ORCH, "serve")):
        usage = run(*command, "--help")
        assert usage.returncode == 0
        assert "--bill" in usage.stdout
    assert "8000" in run("-c", ORCH, "serve", "--help").stdout
    missing = run("-m", "providers.tiny", "--port", "0", "--model", str(tmp_path))
    assert missing.returncode == 2
    assert missing.stderr.startswith("cannot serve: ")
    assert missing.stderr.count("\n") == 1
