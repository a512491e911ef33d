"""What makes a fork cheap: code on huge pages, and paths gone over before any sample."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from verifiers.sandbox import Limits, Sandbox

ROOT = Path(__file__).resolve().parents[2]
EASY = Limits(wall_s=20, cpu_s=20)
HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")

SPREAD = """
import ctypes, json, sys
sys.path.insert(0, {root!r})
from verifiers.sandbox.hugepages import spread_code
from verifiers.sandbox.kernel import Kernel
kernel = Kernel()
if {forbidden}:
    kernel.prctl(41, 1)  # no transparent huge pages for this process
moved = spread_code(kernel)
import decimal, re, sqlite3
assert re.sub(r"(\\w)(\\d+)", r"\\2\\1", "a12 b3") == "12a 3b"
assert decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3")
assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
written = [line for line in open("/proc/self/maps") if line.split()[1].startswith("rwx")]
print(json.dumps([moved, len(written)]))
"""


def spread(forbidden: bool) -> list[int]:
    code = SPREAD.format(root=str(ROOT), forbidden=forbidden)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    moved, writable = map(int, done.stdout.strip("[]\n").split(","))
    return [moved, writable]


def test_an_interpreter_goes_on_from_huge_pages() -> None:
    moved, writable = spread(forbidden=False)
    assert moved >= 0 and writable == 0


def test_code_stays_where_it_is_without_huge_pages() -> None:
    assert spread(forbidden=True) == [0, 0]


@pytest.mark.skipif(
    not HUGE.exists() or "[never]" in HUGE.read_text(), reason="this kernel gives no huge pages"
)
async def test_a_cell_says_how_many_huge_pages_hold_its_code() -> None:
    async with Sandbox(EASY, jobs=1) as box:
        assert 0 <= box.facts()["huge_pages"] <= 8
        assert (await box.run("print(1)")).stdout == b"1\n"


async def test_a_rehearsal_leaves_no_trace() -> None:
    source = """
import sys
print(sorted(name for name in sys.modules if name in ("solution", "__main__")))
print(sys.argv, sys.stdin.read(), [name for name in globals() if not name.startswith("__")])
print(sys.exc_info(), getattr(sys, "last_value", None))
"""
    async with Sandbox(EASY, jobs=1) as box:
        outcome = await box.run(source, stdin=b"mine")
        assert outcome.status == "ok" and outcome.stderr == b""
        assert outcome.stdout.decode().splitlines() == [
            "['__main__']", "['/tmp/solution.py'] mine ['sys']", "(None, None, None) None",
        ]  # fmt: skip
        (call,) = await box.call(
            "import sys\ndef f(): return sorted(n for n in sys.modules if n == 'solution')",
            entry="f", args=[[]],
        )  # fmt: skip
        assert call.value == ["solution"]
