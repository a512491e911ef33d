"""`orch run` against its peers: who sends how many requests a second, at what cost of CPU.

    python benchmarks/dispatch_peers.py [--rounds 5] [--in-flight 100,1000] [--only orch,curator]
                                        [--cores 1] [--before TREE]

Every contestant is a process of its own, with its threads and children on as many cores as --cores
says (0: wherever the kernel puts them), against one server (dispatch_server.py) that answers at
once, from another core where there is one. Peers come from the package index into virtual
environments of their own (build/peers). A round runs every contestant once, so that whatever else
the machine does falls on all alike; medians over rounds are printed, with versions and machine.

requests/s    as the server saw it: from the first request's arrival to the last answer, so that
              imports and reports do not count against anybody
us CPU/req    of the whole process tree: CPU of a large run less that of a small one, over the
              difference in requests, so that imports do not count here either
orch          the whole command: priced, ledger, store, verifier, progress, n=1
orch (SDK)    the same through the official openai client, as paid APIs are asked
orch before   the orch of another checkout, named by --before: whether a change made it slower
bare loop     no contestant: one process that sends the same bytes again and again and looks at no
              answer, which is the ceiling that the server and the machine set
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import urllib.request
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
PROMPT = "What is 6 times 7? " * 20

PEERS = {
    "curator": ["bespokelabs-curator"],
    "litellm": ["litellm"],
    "inspect_ai": ["inspect_ai", "openai"],
    "lm_eval": ["lm-eval[api]"],
}
SERVERS = {
    "litellm-proxy": ["litellm[proxy]"],
    "transformers-serve": ["torch==2.13.0", "transformers[serving]"],
}
"""Peers whose servers dispatch_agree.py asks."""
SIZES = {
    "orch": 30_000,
    "orch (SDK)": 3_000,
    "orch before": 30_000,
    "curator": 2_000,
    "litellm": 600,
    "inspect_ai": 300,
    "lm_eval": 9_000,
    "bare loop": 40_000,
}
"""Requests of a run, so that each takes some seconds."""
PER_FLIGHT = 5
"""At least so many times the requests in flight: what a client does with all of them before the
first arrives, and after the last is answered, is not seen by the server."""
SMALL = 50


@dataclass
class Measured:
    requests: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def install(folder: Path, name: str) -> Path:
    """The python of a peer's own environment, made where it is not there yet."""
    python = folder / name / "bin" / "python"
    stamp = folder / name / "installed"
    if not stamp.exists():
        print(f"installing {name} ...", flush=True)
        venv.create(folder / name, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *(PEERS | SERVERS)[name]], check=True)
        stamp.touch()
    return python


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def version(python: Path | str, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    run = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return run.stdout.strip()


def orch_command(
    name: str, url: str, requests: int, in_flight: int, folder: Path, n: int | str = 1
) -> list[str]:
    """`orch run` for `requests` samples over at most 100 problems of a task of our own."""
    folder.mkdir(exist_ok=True)
    problems = min(100, requests)
    task = folder / "bench.jsonl"
    rows = [{"id": f"p{i}", "prompt": f"{PROMPT}{i}", "answer": "42"} for i in range(problems)]
    task.write_text("\n".join(json.dumps(row) for row in rows))
    prices = folder / "prices.toml"
    prices.write_text('[models.bench]\ninput = "0.10"\noutput = "0.40"\n')
    command = [sys.executable, "-m", "orchestrator", "run"]
    options = {
        "--provider": "openai" if "SDK" in name else "compatible",
        "--base-url": url,
        "--model": "bench",
        "--task": str(task),
        "--samples": str(requests // problems),
        "--budget": "1000",
        "--prices": str(prices),
        "--verifier": "exact-last-line",
        "--n-per-request": str(n),
        "--max-concurrent": str(in_flight),
        "--out": str(folder / "runs"),
        "--display": "plain",
    }
    return [*command, "--yes"] + [word for option in options.items() for word in option]


class Server:
    """dispatch_server.py in its own process."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, HERE / "dispatch_server.py", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.origin = f"http://127.0.0.1:{self._process.stdout.readline().strip()}"

    def stats(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.origin}/stats") as answer:
            told: dict[str, float] = json.load(answer)
        return told

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def places(cores: int) -> tuple[set[int], set[int]]:
    """The cores of a contestant, and those of the server: others, where there are any."""
    every = sorted(os.sched_getaffinity(0))
    theirs = set(every[:cores] if cores else every)
    return theirs, set(every) - theirs or set(every)


def run_once(
    name: str, python: Path | str, server: Server, requests: int, in_flight: int, cores: set[int],
    tree: Path = ROOT,
) -> Measured:  # fmt: skip
    """One process of one contestant from start to end; `tree` holds the orch that is run."""
    url = f"{server.origin}/v1"
    server.stats()
    with tempfile.TemporaryDirectory() as folder:
        if name.startswith("orch"):
            command = orch_command(name, url, requests, in_flight, Path(folder))
        else:
            client = str(HERE / "dispatch_clients.py")
            command = [str(python), client, name, url, str(requests), str(in_flight)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=tree if name.startswith("orch") else folder,
            env=os.environ | {"PYTHONPATH": str(tree)} if name.startswith("orch") else None,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode:
        sys.exit(f"{name} failed:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    told = server.stats()
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(int(told["requests"]), told["seconds"], cpu_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in-flight", default="100,1000")
    parser.add_argument("--only", default="")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--before", type=Path, metavar="TREE", help="another checkout of orch")
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = (
        arguments.only.split(",") if arguments.only else ["orch", "orch (SDK)", *PEERS, "bare loop"]
    )
    if arguments.before:
        names.insert(1, "orch before")
    trees = {"orch before": arguments.before}
    pythons: dict[str, Path | str] = {
        name: install(arguments.peers, name) if name in PEERS else sys.executable for name in names
    }
    packages = {
        "curator": "bespokelabs-curator", "orch": "httptools", "orch before": "httptools",
        "orch (SDK)": "openai",
    }  # fmt: skip
    versions = {name: version(pythons[name], packages.get(name, name)) for name in names}
    server = Server()
    cores, rest = places(arguments.cores)
    os.sched_setaffinity(server.pid, rest)
    found: dict[tuple[int, str], list[Measured]] = {}
    small: dict[str, Measured] = {}
    try:
        for name in names:
            small[name] = run_once(
                name, pythons[name], server, SMALL, SMALL, cores, trees.get(name, ROOT)
            )
        levels = [int(level) for level in arguments.in_flight.split(",")]
        for number in range(arguments.rounds):
            for level in levels:
                for name in names:
                    size = max(SIZES[name], PER_FLIGHT * level)
                    one = run_once(
                        name, pythons[name], server, size, level, cores, trees.get(name, ROOT)
                    )
                    found.setdefault((level, name), []).append(one)
                    cpu_us = (one.cpu_s - small[name].cpu_s) / (one.requests - SMALL) * 1e6
                    print(
                        f"round {number + 1}: {name} at {level}: {one.rate:.0f}/s, "
                        f"{cpu_us:.0f} us CPU/request, load {os.getloadavg()[0]:.0f}",
                        flush=True,
                    )
    finally:
        server.stop()
    print(f"\neach contestant on {len(cores)} of the cores, the server on {len(rest)}", end="")
    report(found, small, versions, names, levels, arguments.rounds)


def report(
    found: dict[tuple[int, str], list[Measured]],
    small: dict[str, Measured],
    versions: dict[str, str],
    names: list[str],
    levels: list[int],
    rounds: int,
) -> None:
    print(f"\n{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"load average {os.getloadavg()[0]:.1f}; medians of {rounds} interleaved rounds")
    print("(the version beside orch is that of the HTTP library underneath)\n")
    print(
        f"{'':12}{'version':>12}{'in flight':>10}{'requests':>10}"
        f"{'requests/s':>12}{'us CPU/req':>12}{'orch is x faster':>18}{'x less CPU':>12}"
    )
    for level in levels:
        rows = {}
        for name in names:
            runs = found[level, name]
            cpu = [
                (run.cpu_s - small[name].cpu_s) / (run.requests - small[name].requests) * 1e6
                for run in runs
            ]
            rows[name] = (
                statistics.median(run.rate for run in runs),
                statistics.median(cpu),
                runs[0],
            )
        for name, (rate, cpu_us, run) in rows.items():
            ratio = f"{rows['orch'][0] / rate:.1f}" if "orch" in rows else ""
            saved = f"{cpu_us / rows['orch'][1]:.1f}" if "orch" in rows else ""
            print(
                f"{name:12}{versions[name]:>12}{level:>10}"
                f"{run.requests:>10}{rate:>12.0f}{cpu_us:>12.0f}{ratio:>18}{saved:>12}"
            )


if __name__ == "__main__":
    main()
