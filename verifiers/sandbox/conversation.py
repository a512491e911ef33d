"""The parent's part when two cells talk: both run at once, with a pipe each way between them."""

from __future__ import annotations

import asyncio
import os

from verifiers.sandbox.cell import Cell, memory_file
from verifiers.sandbox.limits import Limits, Outcome


async def converse(
    test_cell: Cell,
    check: bytes,
    longer: Limits,
    candidate_cell: Cell,
    serve: bytes,
    limits: Limits,
) -> tuple[Outcome, Outcome]:
    """Run both sides with a pipe each way between them; neither holds the other's ends."""
    questions, ask = os.pipe2(os.O_CLOEXEC)
    answers, answer = os.pipe2(os.O_CLOEXEC)
    pipes = [questions, answer, answers, ask]
    streams = [memory_file() for _ in range(4)]
    try:
        async with asyncio.TaskGroup() as group:
            candidate = group.create_task(
                candidate_cell.run(serve, [*streams[:2], questions, answer], limits)
            )
            test = group.create_task(test_cell.run(check, [*streams[2:], answers, ask], longer))
            await asyncio.sleep(0)  # both have been handed over now
            while pipes:
                os.close(pipes.pop())
        return test.result(), candidate.result()
    finally:
        for handle in (*pipes, *streams):
            os.close(handle)
