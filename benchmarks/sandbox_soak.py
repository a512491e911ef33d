"""A soak: many samples, good and bad, through one sandbox; nothing may be left or grow.

    python benchmarks/sandbox_soak.py [--samples 100000] [--tier NAME]

Counts processes, mounts, descriptors and memory of this process and of the cells at the start
(after warming up) and at the end, and prints both.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from verifiers.sandbox import Limits, Sandbox

PROGRAMS = [
    ("print(sum(map(int, input().split())))", b"7\n"),
    ("raise ValueError", b""),
    ("open('f', 'w').write('x' * 1000)\nprint(1)", b"1\n"),
    ("import os\nprint(1, flush=True)\nos.kill(os.getpid(), 9)", b"1\n"),
    ("import os\nif os.fork() == 0:\n    import time\n    time.sleep(100)\nprint(1)", b"1\n"),
    (
        "import threading\nt = threading.Thread(target=print, args=(1,))\nt.start()\nt.join()",
        b"1\n",
    ),
    ("x = bytearray(1 << 40)", b""),
]


def census(box: Sandbox) -> dict[str, float]:
    cells = [cell for seat in box._all for cell in seat.cells.values()]
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(text[text.rindex(")") + 2 :].split()[1])
    below, wanted = set[int](), [os.getpid()]
    while wanted:
        at = wanted.pop()
        more = [pid for pid, parent in parents.items() if parent == at]
        below.update(more)
        wanted += more
    gc.collect()
    return {
        "processes": len(below),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "cell_descriptors": sum(len(os.listdir(f"/proc/{c._zygote}/fd")) for c in cells),
        "memory_mib": round(_resident(os.getpid()), 1),
        "cell_memory_mib": round(sum(_resident(c._zygote) for c in cells), 1),
        "scratch_directories": len(list(box._slots._scratch.iterdir()))
        if box._slots._scratch
        else 0,
    }


def _resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / (1 << 20)


async def soak(samples: int, tier: str | None) -> None:
    limits = Limits(wall_s=20, cpu_s=20, memory_mb=256)
    async with Sandbox(limits, tier) as box:
        wrong = 0

        async def worker(start: int, step: int, end: int) -> None:
            nonlocal wrong
            for n in range(start, end, step):
                # Mostly good programs, as in a real run.
                source, expected = PROGRAMS[n // 10 % len(PROGRAMS) if n % 10 == 0 else 0]
                outcome = await box.run(source, stdin=b"3 4\n")
                wrong += outcome.stdout != expected

        async def all_of(first: int, last: int) -> None:
            step = box.jobs
            await asyncio.gather(*(worker(first + k, step, last) for k in range(step)))

        await all_of(0, min(2000, samples // 10))
        before = census(box)
        started = time.monotonic()
        await all_of(0, samples)
        seconds = time.monotonic() - started
        after = census(box)
        print(json.dumps({"tier": box.tier, "samples": samples, "wrong": wrong,
                          "seconds": round(seconds, 1), "a_second": round(samples / seconds, 1),
                          "before": before, "after": after}, indent=1))  # fmt: skip
    left = census(box)
    print(json.dumps({"closed": left}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--tier")
    options = parser.parse_args()
    asyncio.run(soak(options.samples, options.tier))


if __name__ == "__main__":
    main()
