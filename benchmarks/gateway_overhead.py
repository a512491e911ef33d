"""What the gateway costs a call: CPU beside the upstream alone, and beside litellm's proxy.

    python benchmarks/gateway_overhead.py [--streams 100] [--calls 2000] [--litellm PYTHON]

A scripted model's server streams its answers from a process of its own; clients in this process
keep so many streams open at once, first against the server alone, then through the gateway in a
process of its own, then through litellm's proxy where an interpreter with `litellm[proxy]` is
given. CPU is that of the process in the middle (user and system) for each call. Every call through
the gateway is reserved, synced to disk, settled and recorded, as in a run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[1]
SERVER = """
import asyncio, sys
sys.path.insert(0, {root!r})
from tests.gateway.model_server import ModelServer
async def main():
    async with ModelServer(pause_s=0.02, words_a_pause=8) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def cpu_s(pid: int) -> float:
    """User and system seconds of a process and its ended children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


async def drive(url: str, key: str, streams: int, calls: int) -> tuple[float, int]:
    """Seconds for so many calls, and how many were answered."""
    body = {
        "model": "scripted", "stream": True, "max_tokens": 40,
        "messages": [{"role": "user", "content": "word " * 200}],
    }  # fmt: skip
    left, answered = iter(range(calls)), 0
    connector = aiohttp.TCPConnector(limit=0)

    async def one(web: aiohttp.ClientSession) -> None:
        nonlocal answered
        for _ in left:
            headers = {"Authorization": f"Bearer {key}"}
            async with web.post(f"{url}/chat/completions", json=body, headers=headers) as answer:
                data = await answer.read()
                answered += answer.status == 200 and b"[DONE]" in data

    # A slow contestant is waited for: it is CPU that is measured.
    patience = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=patience) as web:
        started = time.monotonic()
        await asyncio.gather(*(one(web) for _ in range(streams)))
        return time.monotonic() - started, answered


def start(command: list[str], folder: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def say(name: str, wall_s: float, used_s: float | None, answered: int) -> None:
    cpu = "" if used_s is None else f"  {1000 * used_s / answered:7.2f} ms CPU a call"
    print(f"{name:16} {answered / wall_s:8.0f} calls/s{cpu}  ({answered} answered)")


async def wait_for(url: str, server: subprocess.Popen[str], patience_s: float) -> None:
    """Return once a server answers; litellm's proxy takes 20 seconds of CPU to start."""
    end = time.monotonic() + patience_s
    async with aiohttp.ClientSession() as web:
        while time.monotonic() < end:
            if server.poll() is not None:
                raise SystemExit(f"litellm's proxy ended with {server.returncode} as it started.")
            try:
                async with web.get(url):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.5)
    raise SystemExit(f"litellm's proxy did not answer within {patience_s:.0f} s.")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--litellm", help="An interpreter with litellm[proxy].")
    given = parser.parse_args()
    processes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "prices.toml").write_text('[models.scripted]\ninput = "3"\noutput = "15"\n')
        try:
            server = start([sys.executable, "-c", SERVER.format(root=str(ROOT))], folder)
            processes.append(server)
            assert server.stdout is not None
            upstream = server.stdout.readline().strip() + "/v1"
            wall_s, answered = await drive(upstream, "x", given.streams, given.calls)
            say("upstream alone", wall_s, None, answered)
            gateway = start(
                [sys.executable, "-m", "orchestrator", "gateway", "--budget=1000",
                 "--provider=compatible", f"--base-url={upstream}", "--prices=prices.toml",
                 "--max-concurrent=1000", "--model=scripted"], folder,
            )  # fmt: skip
            processes.append(gateway)
            assert gateway.stdout is not None
            place_of = json.loads(gateway.stdout.readline())
            before = cpu_s(gateway.pid)
            wall_s, answered = await drive(
                place_of["base_url"], place_of["key"], given.streams, given.calls
            )
            say("orch gateway", wall_s, cpu_s(gateway.pid) - before, answered)
            if given.litellm:
                await beside(given, upstream, folder, processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()


async def beside(
    given: argparse.Namespace,
    upstream: str,
    folder: Path,
    processes: list[subprocess.Popen[str]],
) -> None:
    """The same calls through litellm's proxy, one worker."""
    config = {
        "model_list": [{"model_name": "scripted", "litellm_params": {
            "model": "openai/scripted", "api_base": upstream, "api_key": "x"}}],
        "general_settings": {"master_key": "sk-bench"},
    }  # fmt: skip
    (folder / "config.yaml").write_text(json.dumps(config))
    proxy = start(
        [str(Path(given.litellm).with_name("litellm")), "--config", "config.yaml",
         "--port", "18999", "--host", "127.0.0.1", "--telemetry", "False"],
        folder, LITELLM_LOCAL_MODEL_COST_MAP="True",
    )  # fmt: skip
    processes.append(proxy)
    await wait_for("http://127.0.0.1:18999/health/liveliness", proxy, 900)
    before = cpu_s(proxy.pid)
    wall_s, answered = await drive(
        "http://127.0.0.1:18999/v1", "sk-bench", given.streams, given.calls
    )
    say("litellm proxy", wall_s, cpu_s(proxy.pid) - before, max(1, answered))


if __name__ == "__main__":
    asyncio.run(main())
