"""What others end is no fault of a sample: it is run once more, from its beginning."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from verifiers.program import ProgramVerifier
from verifiers.sandbox import Sandbox

SLOW = (
    "import sys, time\nnumber = int(input())\nprint('doubled:', flush=True)\n"
    "time.sleep(0.8)\nprint(number * 2)\n"
)
TESTS = {"kind": "stdio", "cases": [{"input": "21\n", "output": "doubled:\n42\n"}]}


def youngest(pid: int) -> int:
    """The process furthest below one; its last child's last child."""
    children = [
        int(one)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for one in path.read_text().split()
    ]
    return youngest(max(children)) if children else pid


async def killed_once(work: asyncio.Task[object], after_s: float) -> None:
    await asyncio.sleep(after_s)
    with contextlib.suppress(ProcessLookupError):
        os.kill(youngest(os.getpid()), signal.SIGKILL)
    await work


@pytest.mark.parametrize("after_s", [0.3, 0.6])
async def test_a_program_that_somebody_kills_is_run_from_its_beginning(after_s: float) -> None:
    async with Sandbox(jobs=1) as box:
        verifier = ProgramVerifier(box)
        text = f"```python\n{SLOW}```"
        assert (await verifier.verify(text, {"tests": TESTS})).kind == "passed"
        work = asyncio.create_task(verifier.verify(text, {"tests": TESTS}))
        await killed_once(work, after_s)
        assert work.result().kind == "passed", work.result()


async def test_a_program_that_kills_itself_is_wrong(tmp_path: Path) -> None:
    async with Sandbox(jobs=1) as box:
        verdict = await ProgramVerifier(box).verify(
            "```python\nimport os\nprint(42)\nos.kill(os.getpid(), 9)\n```", {"tests": TESTS}
        )
    assert (verdict.kind, "SIGKILL" in verdict.detail) == ("crashed", True)
