"""A server of continuous batching over real HTTP, in a process of its own, that can be killed.

    python tests/serving/batching.py --port N --places 64 --step-s 0.01

Every step gives one token to each sequence in a place; what has none waits in the queue. A
sequence's text and length follow from its request's seed, so that the same seed gives the same
text whatever else happens. /health, /metrics (vLLM's names), /v1/models, chat and completions.
POST /control {"stopped": true} stops the steps while everything else answers; {"fail": STATUS}
answers every request for a sample with that status, {"fail": 0} ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(eq=False)
class Asked:
    """One request: the tokens to come of each of its sequences."""

    left: list[int]
    open: int
    done: asyncio.Future[None]
    gone: bool = False


@dataclass
class Batching:
    places: int
    step_s: float
    mean_tokens: float
    told: bool
    stopped: bool = False
    fail: int = 0
    generated: int = 0
    most_waiting: int = 0
    queue: deque[tuple[Asked, int]] = field(default_factory=deque)
    batch: list[tuple[Asked, int]] = field(default_factory=list)
    work: asyncio.Event = field(default_factory=asyncio.Event)

    def lengths(self, seed: int, n: int) -> list[int]:
        chance = random.Random(seed)
        return [
            max(1, int(chance.lognormvariate(0, 0.6) * self.mean_tokens / 1.2)) for _ in range(n)
        ]

    async def steps(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if not self.queue and not self.batch:
                self.work.clear()
                await self.work.wait()
                due = loop.time()
            due += self.step_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not self.stopped:
                self.step()

    def step(self) -> None:
        self.batch = [one for one in self.batch if not one[0].gone]
        while self.queue and len(self.batch) < self.places:
            asked = self.queue.popleft()
            if not asked[0].gone:
                self.batch.append(asked)
        self.most_waiting = max(self.most_waiting, len(self.queue))
        kept = []
        for asked, index in self.batch:
            self.generated += 1
            asked.left[index] -= 1
            if asked.left[index] > 0:
                kept.append((asked, index))
                continue
            asked.open -= 1
            if not asked.open and not asked.done.done():
                asked.done.set_result(None)
        self.batch = kept

    def metrics(self) -> str:
        names = {
            "vllm:num_requests_running": len(self.batch),
            "vllm:num_requests_waiting": len(self.queue),
            "vllm:generation_tokens_total": self.generated,
            "batching:most_waiting": self.most_waiting,
        }
        return "".join(f'{name}{{engine="0"}} {value}\n' for name, value in names.items())

    async def sample(self, body: dict[str, Any], chat: bool) -> dict[str, Any]:
        n, seed = body.get("n", 1), body.get("seed", 0)
        lengths = self.lengths(seed, n)
        asked = Asked(list(lengths), n, asyncio.get_running_loop().create_future())
        self.queue.extend((asked, index) for index in range(n))
        self.work.set()
        try:
            await asked.done
        finally:
            asked.gone = True
        choices = []
        for index, length in enumerate(lengths):
            text = f"seed {seed} choice {index} of {length} tokens #### {length % 10}"
            said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            choices.append({"index": index, "finish_reason": "stop", **said})
        usage = {"prompt_tokens": 10, "completion_tokens": sum(lengths)}
        return {"id": f"r{seed}", "model": "batching", "choices": choices, "usage": usage}


async def answer(server: Batching, method: str, path: str, raw: bytes) -> tuple[int, bytes]:
    if path == "/health":
        return 200, b"{}"
    if path == "/metrics":
        return (200, server.metrics().encode()) if server.told else (404, b"{}")
    if path == "/v1/models":
        return 200, json.dumps({"data": [{"id": "batching"}]}).encode()
    body = json.loads(raw)
    if path == "/control":
        for name, value in body.items():
            setattr(server, name, value)
        return 200, b"{}"
    if server.fail:
        return server.fail, b'{"error": {"message": "the engine is broken"}}'
    return 200, json.dumps(await server.sample(body, path.endswith("chat/completions"))).encode()


async def converse(
    server: Batching, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            line, *fields = head.decode("latin-1").split("\r\n")
            method, path, _ = line.split(" ", 2)
            length = next(
                (int(f.split(":")[1]) for f in fields if f.lower().startswith("content-length:")), 0
            )
            raw = await reader.readexactly(length)
            work = asyncio.ensure_future(answer(server, method, path, raw))
            # A client that goes away takes its sequences out of the batch.
            away = asyncio.ensure_future(reader.read(0 if reader.at_eof() else 1))
            await asyncio.wait({work, away}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                break
            away.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await away
            status, body = await work
            head_out = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head_out.encode() + body)
            await writer.drain()
    writer.close()


async def serve(options: argparse.Namespace) -> None:
    server = Batching(options.places, options.step_s, options.mean_tokens, not options.silent)
    stepping = asyncio.create_task(server.steps())
    listening = await asyncio.start_server(
        lambda reader, writer: converse(server, reader, writer),
        "127.0.0.1",
        options.port,
        backlog=4096,
    )
    print("listening", flush=True)
    async with listening:
        await stepping


@dataclass
class Serving:
    """A server that can be killed and started again at the same port."""

    options: list[str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__)), "--port", str(self.port), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"listening\n"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def control(self, **what: object) -> None:
        request = urllib.request.Request(f"{self.url}/control", json.dumps(what).encode())
        with urllib.request.urlopen(request, timeout=120) as answered:
            answered.read()

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=120) as answered:
            lines = answered.read().decode().splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(name)))

    def wait_for(self, name: str, least: float, timeout_s: float = 150.0) -> None:
        """Return once a metric is at least so much."""
        end = time.monotonic() + timeout_s
        while self.metric(name) < least:
            assert time.monotonic() < end, f"{name} stays below {least}"
            time.sleep(0.02)


@contextlib.contextmanager
def batching_server(**options: object) -> Iterator[Serving]:
    """A running server; options as on its command line, with _ for -."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words: list[str] = []
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    serving = Serving(words, port)
    serving.start()
    try:
        yield serving
    finally:
        serving.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--places", type=int, default=64)
    parser.add_argument("--step-s", type=float, default=0.01)
    parser.add_argument("--mean-tokens", type=float, default=40.0)
    parser.add_argument("--silent", action="store_true", help="no /metrics")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
