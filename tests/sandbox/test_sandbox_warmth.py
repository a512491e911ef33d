"""What makes a fork cheap: code on huge pages, and paths gone over before any sample."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from verifiers.sandbox import Limits, Sandbox, rehearsal

ROOT = Path(__file__).resolve().parents[2]
EASY = Limits(wall_s=20, cpu_s=20)
HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")

SPREAD = """
import ctypes, json, sys
sys.path.insert(0, {root!r})
from verifiers.sandbox import hugepages
from verifiers.sandbox.kernel import MADV_HUGEPAGE, Kernel
kernel = Kernel()
if {forbidden}:
    kernel.prctl(41, 1)  # no transparent huge pages for this process

def a_huge_page_is_to_be_had():
    before, room = hugepages._huge_kb(), hugepages._aligned_room(kernel)
    kernel.advise(room, hugepages.SIZE, MADV_HUGEPAGE)
    ctypes.memset(room, 1, hugepages.SIZE)
    had = hugepages._huge_kb() > before
    kernel.unmap(room, hugepages.SIZE)
    return had

places = list(hugepages._windows(*hugepages._code_span()))
hoped = len(places) if kernel.machine == "x86_64" and a_huge_page_is_to_be_had() else 0
moved = hugepages.spread_code(kernel)
of_files = [start for start, end, _ in hugepages._file_mappings()
            if any(start <= place < end for place in places[:moved])]
assert not of_files, of_files
import decimal, re, sqlite3
assert re.sub(r"(\\w)(\\d+)", r"\\2\\1", "a12 b3") == "12a 3b"
assert decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3")
assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
written = [line for line in open("/proc/self/maps") if line.split()[1].startswith("rwx")]
print(json.dumps([moved, hoped, len(written)]))
"""


def spread(forbidden: bool) -> list[int]:
    code = SPREAD.format(root=str(ROOT), forbidden=forbidden)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[int] = json.loads(done.stdout)
    return found


def test_an_interpreter_goes_on_from_huge_pages() -> None:
    moved, hoped, writable = spread(forbidden=False)
    assert moved == hoped and writable == 0


def test_code_stays_where_it_is_without_huge_pages() -> None:
    assert spread(forbidden=True) == [0, 0, 0]


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


async def test_what_is_rehearsed_runs_as_it_is_meant_to() -> None:
    async with Sandbox(EASY, jobs=1) as box:
        whole = await box.run(rehearsal._PROGRAM, stdin=b"3\n4 5\n")
        assert (whole.status, whole.stdout) == ("ok", b"4 5\n5 {1: [2]} 3 3\n3 4\n")
        assert (await box.run(rehearsal._SUM, stdin=b"3 4\n")).stdout == b"7\n"
        failing = await box.run(rehearsal._FAILING)
        assert failing.status == "error" and failing.detail == "ValueError: 1"
        (call,) = await box.call(rehearsal._FUNCTION, entry="f", args=[[1, "x"]])
        assert call.value[:2] == [1, "x"]
