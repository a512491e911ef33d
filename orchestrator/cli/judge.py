"""orch judge: judges samples from a file, without any run. One JSON verdict a line, in input order.

A line that cannot be understood gets a verdict of its own and never ends the command. Lines are
read as they are needed: a few per job are held at a time, however long the file.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from verifiers.program import ProgramVerifier

_AHEAD, _CHUNK = 4, 1 << 16


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--jobs",
    type=click.IntRange(1, 512),
    help="Samples at once.  [default: one per core and one more]",
)
@click.option(
    "--wall-s", type=click.FloatRange(0, min_open=True), default=3.0, show_default=True,
    help="Seconds a case may take; time without a processor does not count.",
)  # fmt: skip
@click.option(
    "--memory-mb", type=click.IntRange(16), default=512, show_default=True,
    help="Memory of a sample, over all its processes.",
)  # fmt: skip
@click.option(
    "--sandbox", metavar="NAME", help="The sandbox tier.  [default: the strongest that works]"
)
@click.option(
    "--run-all", is_flag=True, help="Run every case instead of stopping at the first failure."
)
@click.option(
    "--i-trust-this-code", is_flag=True,
    help="Allow --sandbox none, which protects nothing.",
)  # fmt: skip
def judge(
    file: IO[bytes],
    jobs: int | None,
    wall_s: float,
    memory_mb: int,
    sandbox: str | None,
    run_all: bool,
    i_trust_this_code: bool,
) -> None:
    """Judge the samples in FILE (JSONL; - for standard input).

    A line is {"id", "code", "tests"} with tests of kind calls, stdio or assert; "language" may be
    "cpp". Writes {"id", "verdict", "detail", "tier", "wall_s", "cpu_s"} for each.
    """
    from verifiers.program import ProgramVerifier
    from verifiers.sandbox.limits import Limits, SandboxFault

    limits = Limits(wall_s=wall_s, cpu_s=wall_s * 4 / 3, memory_mb=memory_mb)
    verifier = ProgramVerifier(
        limits=limits, jobs=jobs, tier=sandbox, trust=i_trust_this_code, run_all=run_all
    )
    try:
        asyncio.run(_judge_all(file, verifier))
    except SandboxFault as fault:
        raise click.ClickException(str(fault)) from None


async def _judge_all(file: IO[bytes], verifier: ProgramVerifier) -> None:
    await verifier.sandbox.start()
    waiting: deque[asyncio.Task[dict[str, Any]]] = deque()
    lines = _numbered(file)
    coming: asyncio.Task[tuple[int, bytes] | None] | None = _ask_for(lines)
    try:
        while coming is not None or waiting:
            has_room = len(waiting) < _AHEAD * verifier.sandbox.jobs
            first: list[asyncio.Task[Any]] = [waiting[0]] if waiting else []
            first += [coming] if coming is not None and has_room else []
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            while waiting and waiting[0].done():
                _write(waiting.popleft().result())
            if coming is not None and coming.done() and has_room:
                found = coming.result()
                if found is not None:
                    waiting.append(asyncio.create_task(_judge_line(*found, verifier)))
                coming = _ask_for(lines) if found is not None else None
    finally:
        for task in (*waiting, *([coming] if coming is not None else [])):
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await verifier.aclose()


def _ask_for(
    lines: AsyncIterator[tuple[int, bytes]],
) -> asyncio.Task[tuple[int, bytes] | None]:
    async def ask() -> tuple[int, bytes] | None:
        return await anext(lines, None)

    return asyncio.create_task(ask())


async def _numbered(file: IO[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """The lines that hold something, by their number from 1."""
    number = 0
    mode = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty()):
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line
        return
    # What comes through a pipe is waited for, and what is known meanwhile is written.
    async for line in _from_pipe(file):
        number += 1
        if line.strip():
            yield number, line


async def _from_pipe(file: IO[bytes]) -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader(limit=_CHUNK)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), file
    )
    held: list[bytes] = []
    while chunk := await reader.read(_CHUNK):
        first, *more = chunk.split(b"\n")
        held.append(first)
        for piece in more:
            yield b"".join(held)
            held = [piece]
    yield b"".join(held)


def _write(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


async def _judge_line(number: int, line: bytes, verifier: ProgramVerifier) -> dict[str, Any]:
    from verifiers.program import BadTests
    from verifiers.verdict import Verdict

    name: Any = None
    try:
        sample = parse_line(line)
        name = sample.get("id")
        verdict = await verifier.judge(
            _text(sample, "code"), sample.get("tests") or {}, sample.get("language", "python")
        )
    except (BadTests, BadLine) as fault:
        verdict = Verdict("infra_error", f"line {number}: {fault}", tier=verifier.sandbox.tier)
    return {
        "id": _shown(name),
        "verdict": verdict.kind,
        "detail": verdict.detail,
        "tier": verdict.tier,
        "wall_s": verdict.wall_s,
        "cpu_s": verdict.cpu_s,
    }


def _shown(name: Any) -> Any:
    """The id as it can be written: text, or a number of ordinary size."""
    if isinstance(name, int) and abs(name) >> 512:
        return None
    return name if isinstance(name, str | int | float | None) else json.dumps(name)[:200]


class BadLine(ValueError):
    """A line that holds no sample; says why."""


def parse_line(line: bytes) -> dict[str, Any]:
    """The object on a line; BadLine where there is none. Integers may have any number of digits."""
    try:
        sample = json.loads(line, parse_int=_integer)
    except (ValueError, RecursionError) as fault:
        raise BadLine(f"not JSON: {str(fault)[:200]}") from None
    if not isinstance(sample, dict):
        raise BadLine("a line must be an object with id, code and tests")
    return sample


def _integer(digits: str) -> int:
    """int(), in pieces short enough for its limit on digits."""
    piece = 4000
    if len(digits) <= piece:
        return int(digits)
    sign, digits = (-1, digits[1:]) if digits[0] == "-" else (1, digits)
    value = 0
    for start in range(0, len(digits), piece):
        part = digits[start : start + piece]
        value = value * 10 ** len(part) + int(part)
    return sign * value


def _text(sample: dict[str, Any], name: str) -> str:
    value = sample.get(name)
    if not isinstance(value, str):
        raise BadLine(f"`{name}` must be text")
    return value


if __name__ == "__main__":
    judge()
