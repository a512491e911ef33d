"""Each layer of defence is worth something: without it, an attack that it stops succeeds."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from verifiers.sandbox import Limits, Outcome, Sandbox
from verifiers.sandbox.attacks import Bait, bait
from verifiers.sandbox.kernel import Kernel

SMALL = Limits(wall_s=15, cpu_s=6, memory_mb=96, output_mb=2, processes=16, disk_mb=2)
ABI = Kernel().landlock_abi()
AS_ROOT = os.getuid() == 0

READ = "print(open({secret!r}).read())"
ABSTRACT = """
import socket
socket.socket(socket.AF_UNIX).connect('\\0' + {abstract!r})
print('reached')
"""
TCP = "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)\nprint('reached')"
MEMFD = "import os\nos.memfd_create('x')\nprint('reached')"
FORKS = """
import os, time
made = 0
for _ in range(40):
    try: pid = os.fork()
    except OSError: break
    if pid == 0:
        time.sleep(0.5)
        os._exit(0)
    made += 1
print('reached' if made > 20 else made)
"""
ALLOCATE = "x = bytearray(600 << 20)\nx[::4096] = b'1' * len(x[::4096])\nprint('reached')"
SPREAD = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        x = bytearray(os.urandom(1) * (60 << 20))
        time.sleep(0.7)
        os._exit(0)
for _ in range(4): os.wait()
print('reached')
"""
FILES = """
import os, sys
done = 0
try:
    while done < 8 << 20: done += os.write(2, bytes(1 << 16))
except OSError: pass
print('reached' if done >= 8 << 20 else done)
"""
DESCRIPTORS = """
import os
n = 0
try:
    while n < 600:
        os.dup(1)
        n += 1
except OSError: pass
print('reached' if n == 600 else n)
"""
SPIN = """
import time
end = time.process_time() + 3.2
while time.process_time() < end: pass
print('reached')
"""
OPEN_MEMORY = "import os\nopen(f'/proc/{{os.getppid()}}/mem', 'rb')\nprint('reached')"
STOP_THE_CELL = "import os\nos.kill(os.getppid(), 9)"
SIGNAL = "import os\nos.kill({pid}, 0)\nprint('reached')"

# layer, tier, layers left out in both runs (they stop the same attack), attack
CASES = [
    ("mounts", "namespaces", ("landlock",), READ),
    ("network", "namespaces", ("seccomp", "landlock"), TCP),
    ("landlock", "landlock", (), READ),
    ("scope", "landlock", ("seccomp",), ABSTRACT),
    ("seccomp", "namespaces", (), MEMFD),
    ("seccomp", "landlock", (), MEMFD),
    ("memory", "namespaces", ("watch",), ALLOCATE),
    ("processes", "namespaces", ("watch",), FORKS),
    ("files", "namespaces", ("watch",), FILES),
    ("descriptors", "namespaces", ("watch",), DESCRIPTORS),
    ("watch", "namespaces", (), SPREAD),
    ("watch", "landlock", (), SPREAD),
    ("dumpable", "landlock", ("seccomp", "landlock"), OPEN_MEMORY),
]
if AS_ROOT:
    CASES += [
        ("uid", "namespaces", ("watch",), FORKS),
        ("pids", "namespaces", ("landlock", "scope"), STOP_THE_CELL),
    ]
else:
    CASES += [("pids", "namespaces", ("landlock", "scope"), SIGNAL)]


@pytest.fixture
def trap() -> Iterator[Bait]:
    with bait() as held:
        yield held


async def attack(tier: str, without: tuple[str, ...], source: str, limits: Limits) -> Outcome:
    async with Sandbox(limits, tier, jobs=1, _without=without) as box:
        return await box.run(source)


def succeeded(outcome: Outcome, trap: Bait) -> bool:
    if outcome.status == "fault" or "the cell had to be ended" in outcome.detail:
        return True  # the cell itself was ended, sooner or later
    return b"reached" in outcome.stdout or trap.word.encode() in outcome.stdout


@pytest.mark.parametrize(
    ("layer", "tier", "others", "source"), CASES, ids=[f"{c[0]} in {c[1]}" for c in CASES]
)
async def test_a_layer_stops_its_attack_and_nothing_else_does(
    layer: str, tier: str, others: tuple[str, ...], source: str, trap: Bait
) -> None:
    if tier == "landlock" and (6 if layer == "scope" else 1) > ABI:
        pytest.skip(f"Landlock {ABI} has no such rule")
    filled = source.format(
        secret=str(trap.secret),
        abstract=trap.abstract,
        port=trap.sockets[0].getsockname()[1],
        pid=os.getpid(),
    )
    whole = await attack(tier, others, filled, SMALL)
    assert not succeeded(whole, trap), whole
    weakened = await attack(tier, (*others, layer), filled, SMALL)
    assert succeeded(weakened, trap), weakened


async def test_the_kernel_s_own_clock_ends_what_the_parent_does_not(trap: Bait) -> None:
    limits = Limits(wall_s=60, cpu_s=0.5, memory_mb=96)
    whole = await attack("namespaces", ("watch",), SPIN, limits)
    assert whole.status == "timeout" and whole.stdout == b""
    weakened = await attack("namespaces", ("watch", "cpu"), SPIN, limits)
    assert weakened.stdout == b"reached\n"


async def test_expected_results_never_enter_the_cell() -> None:
    """The verdict channel's own test: the whole memory of the sample holds no expected value."""
    from verifiers.program import ProgramVerifier

    source = (
        "import gc\n"
        "def f(n):\n"
        "    for item in gc.get_objects():\n"
        "        for part in gc.get_referents(item):\n"
        "            if type(part) is str and part[::-1] == 'drow-detnaw': return part\n"
    )
    tests = {"kind": "calls", "entry": "f", "cases": [{"args": [1], "expected": "wanted-word"}]}
    verifier = ProgramVerifier(limits=Limits(wall_s=20, cpu_s=20), jobs=1)
    try:
        assert (await verifier.judge(source, tests)).kind == "failed"
    finally:
        await verifier.aclose()


def test_the_bait_notices_what_reaches_it(trap: Bait) -> None:
    assert trap.touched() == ""
    with socket.create_connection(("127.0.0.1", trap.sockets[0].getsockname()[1])):
        assert "socket" in trap.touched()
    trap.victim.write_text("changed")
    assert "file" in trap.touched()
