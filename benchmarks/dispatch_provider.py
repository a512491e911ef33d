"""What one request costs in our provider path: CPU microseconds, requests and samples a second.

    python benchmarks/dispatch_provider.py [--in-flight 100,1000] [--n 1] [--requests 5000]

Starts benchmarks/dispatch_server.py beside itself and drives `make_provider("vllm")` with a pool
of workers, without ledger, store or progress: the floor under `orch run`.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

SERVER = Path(__file__).with_name("dispatch_server.py")


async def drive(url: str, name: str, in_flight: int, requests: int, n: int) -> tuple[float, float]:
    """Seconds of wall clock and of our CPU for `requests` requests."""
    from providers.registry import make_provider
    from providers.sample import SampleRequest

    provider = make_provider(name, base_url=url, environ={})
    messages = ({"role": "user", "content": "What is 6 times 7? " * 20},)
    left = iter(range(requests))

    async def worker() -> None:
        for seed in left:
            await provider.sample(SampleRequest("bench", messages=messages, n=n, seed=seed))

    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    spent = time.perf_counter() - began, time.process_time() - cpu
    await provider.aclose()
    return spent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--in-flight", default="100,1000")
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--provider", default="vllm")
    parser.add_argument("--delay", default="0")
    parser.add_argument("--uvloop", action="store_true")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = subprocess.Popen(
        [sys.executable, SERVER, "--delay", arguments.delay], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        run = asyncio.run
        if arguments.uvloop:
            import uvloop

            run = uvloop.run
        for in_flight in map(int, arguments.in_flight.split(",")):
            measured = [
                run(drive(url, arguments.provider, in_flight, arguments.requests, arguments.n))
                for _ in range(arguments.rounds)
            ]
            wall, cpu = (statistics.median(column) for column in zip(*measured, strict=True))
            print(
                f"in flight {in_flight:6d}  n={arguments.n}  {arguments.requests / wall:8.0f} "
                f"requests/s  {arguments.requests * arguments.n / cpu:9.0f} samples/CPU-s  "
                f"{cpu / arguments.requests * 1e6:6.0f} us CPU/request  peak "
                f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
            )
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
