"""A whole `orch run` over simulated servers, beside other ways, against the least possible time.

    python -m benchmarks.fleet_balance [--servers 8] [--half N] [--scale 2] [--only orch,...]

Real processes, real HTTP: each server is benchmarks/fleet_server.py. The least time is the tokens
that were made over what the servers can make with every place taken. Beside orch, in the same run:
round-robin and least-connections over the same servers with the same number in flight, and the
paper's way (problems split over the servers beforehand, one full batch after the other on each).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from orchestrator.engine.seeds import request_seed
from providers.registry import make_provider
from providers.sample import Provider, SampleRequest, Sending

ROOT = Path(__file__).resolve().parents[1]
PLACES = 32
N = 13


def start(speeds: Sequence[float]) -> list[tuple[subprocess.Popen[str], str]]:
    found = []
    for speed in speeds:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fleet_server", "--speed", str(speed),
             "--max-sequences", str(PLACES)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        found.append((process, f"http://127.0.0.1:{int(process.stdout.readline())}"))
    return found


def stats(urls: Sequence[str]) -> list[dict[str, float]]:
    """What every server did since it was last asked."""
    return [json.load(urllib.request.urlopen(f"{url}/stats")) for url in urls]


def ratio(told: Sequence[dict[str, float]]) -> tuple[float, float]:
    """Seconds from the first request to the last answer, and that over the least time."""
    used = [one for one in told if one["requests"]]
    wall_s = max(one["last_at"] for one in used) - min(one["first_at"] for one in used)
    tokens = sum(one["tokens"] for one in told)
    return wall_s, wall_s / (tokens / sum(one["tokens_s"] for one in told))


def orch(urls: Sequence[str], problems: int, samples: int) -> None:
    with tempfile.TemporaryDirectory(prefix="fleet-") as place:
        task = Path(place) / "task.jsonl"
        rows = [{"id": f"p{i}", "prompt": f"p{i}", "answer": "1"} for i in range(problems)]
        task.write_text("".join(json.dumps(row) + "\n" for row in rows))
        bases = [part for url in urls for part in ("--base-url", f"{url}/v1")]
        subprocess.run(
            [sys.executable, "-m", "orchestrator", "run", "--provider", "local", "--model", "sim",
             *bases, "--task", str(task), "--samples", str(samples), "--max-tokens", "1024",
             "--n-per-request", str(N), "--gpu-hour", "0", "--display", "none",
             "--prompt-style", "completion", "--out", place, "--name", "run"],
            cwd=ROOT, check=True, capture_output=True,
        )  # fmt: skip


Pick = Callable[[list[int]], int]


async def plainly(urls: Sequence[str], problems: int, samples: int, pick: Pick) -> None:
    """Breadth first with a fixed number in flight; `pick` chooses by what each has in flight."""
    providers = [make_provider("compatible", base_url=f"{url}/v1") for url in urls]
    in_flight = [0] * len(urls)
    # A quarter more than the places, as orch has; a request gives its places up one by one.
    room = asyncio.Semaphore(round(len(urls) * PLACES * 2.2 / N))

    async def ask(problem: int, slot: int, n: int, server: int) -> None:
        await providers[server].sample(asked(problem, slot, n))
        in_flight[server] -= 1
        room.release()

    async with asyncio.TaskGroup() as group:
        for slot in range(0, samples, N):
            for problem in range(problems):
                await room.acquire()
                server = pick(in_flight)
                in_flight[server] += 1
                group.create_task(ask(problem, slot, min(N, samples - slot), server))
    await close(providers)


async def split_beforehand(urls: Sequence[str], problems: int, samples: int) -> None:
    """Each server has its own problems, and works on one full batch after the other."""
    providers = [make_provider("compatible", base_url=f"{url}/v1") for url in urls]

    async def own(number: int) -> None:
        for problem in range(number, problems, len(urls)):
            for slot in range(0, samples, PLACES):
                await providers[number].sample(asked(problem, slot, min(PLACES, samples - slot)))

    await asyncio.gather(*map(own, range(len(urls))))
    await close(providers)


def asked(problem: int, slot: int, n: int) -> SampleRequest:
    seed = request_seed(0, "arm", str(problem), slot, n)
    return SampleRequest(
        "sim", prompt=f"p{problem}", n=n, max_tokens=1024, seed=seed, sending=Sending()
    )


async def close(providers: Sequence[Provider]) -> None:
    for provider in providers:
        await provider.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=8)
    parser.add_argument("--half", type=int, default=0, help="so many of them at half the speed")
    parser.add_argument("--scale", type=float, default=2.0, help="speed of the others")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--only", default="orch,round-robin,least-connections,split")
    arguments = parser.parse_args()
    speeds = [arguments.scale / 2] * arguments.half
    speeds += [arguments.scale] * (arguments.servers - arguments.half)
    turn = count()
    plan = (arguments.problems, arguments.samples)
    ways: dict[str, Callable[[list[str]], object]] = {
        "orch": lambda urls: orch(urls, *plan),
        "round-robin": lambda urls: asyncio.run(
            plainly(urls, *plan, lambda held: next(turn) % len(held))
        ),
        "least-connections": lambda urls: asyncio.run(
            plainly(urls, *plan, lambda held: held.index(min(held)))
        ),
        "split": lambda urls: asyncio.run(split_beforehand(urls, *plan)),
    }
    for name in arguments.only.split(","):
        servers = start(speeds)
        try:
            urls = [url for _, url in servers]
            ways[name](urls)
            wall_s, over = ratio(stats(urls))
            print(f"{name:20} {wall_s:8.1f} s   {over:.3f} x the least time", flush=True)
        finally:
            for process, _ in servers:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
