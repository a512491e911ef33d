"""orch judge: Judge samples from a file, without any run.

One JSON verdict a line, in input order. A line that cannot be understood gets the verdict
`invalid`, which says what is wrong with it, and never ends the command; exit code 1 says that there
were some. Lines are read as they are needed: a few per job are held at a time, however long the
file.
"""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from orchestrator.cli.flags import with_flags

if TYPE_CHECKING:
    from verifiers.judge import Judge

_AHEAD, _CHUNK = 4, 1 << 16
LONGEST_LINE = 256 << 20
"""Bytes; what is longer is no sample, and is not held."""


def _print_schema(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        import verifiers

        click.echo((Path(verifiers.__file__).parent / "judge.schema.json").read_text(), nl=False)
        context.exit()


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--jobs",
    type=click.IntRange(1, 512),
    envvar="ORCH_JOBS",
    help="Samples at once.  [default: one per core and one more]",
)
@click.option(
    "--wall-s", type=click.FloatRange(0, 86_400, min_open=True), default=3.0, show_default=True,
    help="Seconds a case may take; time without a processor does not count.",
)  # fmt: skip
@click.option(
    "--cpu-s", type=click.FloatRange(0, 86_400, min_open=True),
    help="Processor seconds of a case, over all its processes.  [default: 4/3 of --wall-s]",
)  # fmt: skip
@click.option(
    "--memory-mb", type=click.IntRange(16), default=512, show_default=True,
    help="Memory of a sample, over all its processes.",
)  # fmt: skip
@click.option(
    "--output-mb", type=click.IntRange(1), default=16, show_default=True,
    help="What a case may write to its output.",
)  # fmt: skip
@click.option(
    "--disk-mb", type=click.IntRange(1), default=16, show_default=True,
    help="What a sample may write to files.",
)  # fmt: skip
@click.option(
    "--processes", type=click.IntRange(1), default=64, show_default=True,
    help="Processes and threads of a sample.",
)  # fmt: skip
@click.option(
    "--sandbox", metavar="NAME", envvar="ORCH_SANDBOX",
    help="The sandbox tier.  [default: the strongest that works]",
)  # fmt: skip
@click.option(
    "--run-all", is_flag=True, help="Run every case instead of stopping at the first failure."
)
@click.option(
    "--i-trust-this-code", is_flag=True,
    help="Allow --sandbox none, which protects nothing.",
)  # fmt: skip
@click.option(
    "--schema", is_flag=True, is_eager=True, expose_value=False, callback=_print_schema,
    help="Print the JSON Schema of a line and of its verdict, and leave.",
)  # fmt: skip
def judge(
    file: IO[bytes], jobs: int | None, wall_s: float, cpu_s: float | None, memory_mb: int,
    output_mb: int, disk_mb: int, processes: int, sandbox: str | None, run_all: bool,
    i_trust_this_code: bool,
) -> None:  # fmt: skip
    """Judge the samples in FILE (JSONL; - for standard input).

    A line is {"id", "code", "tests"}, a program, or {"id", "text", "tests"}, a model's output.
    Tests are of kind calls, stdio, assert, or (of texts) answer: see docs/judge.md. Writes {"id",
    "verdict", "detail", "tier", "wall_s", "cpu_s"} for each, with "forgeable" and "answer" where
    there is something to say.

    Exit codes: 0; 1 where a line was invalid; 2 where nothing can be judged here.
    """
    from verifiers.judge import Judge
    from verifiers.sandbox.limits import LONGEST_S, Limits, SandboxFault

    try:
        limits = Limits(
            wall_s=wall_s, cpu_s=cpu_s or min(wall_s * 4 / 3, LONGEST_S), memory_mb=memory_mb,
            output_mb=output_mb, disk_mb=disk_mb, processes=processes,
        )  # fmt: skip
    except ValueError as fault:  # NaN lies in every range
        raise click.UsageError(f"{fault}.") from None
    _refuse_device(file)
    held = Judge(limits, jobs=jobs, tier=sandbox, trust=i_trust_this_code, run_all=run_all)
    try:
        invalid = asyncio.run(_judge_all(file, held))
    except SandboxFault as fault:
        raise click.UsageError(with_flags(str(fault))) from None
    if invalid:
        click.echo(f"{invalid} {'line was' if invalid == 1 else 'lines were'} invalid.", err=True)
        raise click.exceptions.Exit(1)


async def _judge_all(file: IO[bytes], judge: Judge) -> int:
    """Judge every line; how many were invalid."""
    await judge.start()
    invalid = 0
    waiting: deque[asyncio.Task[dict[str, Any]]] = deque()
    lines = _numbered(file)
    coming: asyncio.Task[tuple[int, bytes] | None] | None = _ask_for(lines)
    try:
        while coming is not None or waiting:
            has_room = len(waiting) < _AHEAD * judge.programs.sandbox.jobs
            first: list[asyncio.Task[Any]] = [waiting[0]] if waiting else []
            first += [coming] if coming is not None and has_room else []
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            while waiting and waiting[0].done():
                record = waiting.popleft().result()
                invalid += record["verdict"] == "invalid"
                _write(record)
            if coming is not None and coming.done() and has_room:
                found = coming.result()
                if found is not None:
                    waiting.append(asyncio.create_task(_judge_line(*found, judge)))
                coming = _ask_for(lines) if found is not None else None
    finally:
        for task in (*waiting, *([coming] if coming is not None else [])):
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await judge.aclose()
    return invalid


def _ask_for(
    lines: AsyncIterator[tuple[int, bytes]],
) -> asyncio.Task[tuple[int, bytes] | None]:
    async def ask() -> tuple[int, bytes] | None:
        return await anext(lines, None)

    return asyncio.create_task(ask())


def _refuse_device(file: IO[bytes]) -> None:
    """Raises UsageError for /dev/zero and its like, which have no end; /dev/null is empty."""
    status = os.fstat(file.fileno())
    device = stat.S_ISBLK(status.st_mode) or (stat.S_ISCHR(status.st_mode) and not file.isatty())
    if device and status.st_rdev != Path(os.devnull).stat().st_rdev:
        raise click.UsageError(f"{file.name} is a device; give a file of samples, or a pipe.")


async def _numbered(file: IO[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """The lines that hold something, by their number from 1; too long ones are cut."""
    number = 0
    mode = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty()):
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if line.strip():
                yield number, line
            while line and not line.endswith(b"\n"):
                line = file.readline(_CHUNK)
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
    held, size = list[bytes](), 0
    while chunk := await reader.read(_CHUNK):
        first, *more = chunk.split(b"\n")
        if size <= LONGEST_LINE:
            held.append(first)
            size += len(first)
        for piece in more:
            yield b"".join(held)
            held, size = [piece], len(piece)
    yield b"".join(held)


def _write(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


async def _judge_line(number: int, line: bytes, judge: Judge) -> dict[str, Any]:
    from verifiers.answer import MissingPackage
    from verifiers.program import BadTests
    from verifiers.verdict import Verdict

    name: Any = None
    kind: str | None = None
    try:
        sample = parse_line(line)
        name = sample.get("id")
        verdict = await judge.judge(sample)
    except (BadTests, BadLine) as fault:
        kind, verdict = "invalid", Verdict("infra_error", f"line {number}: {fault}")
    except MissingPackage as missing:
        verdict = Verdict("infra_error", str(missing))
    record = {
        "id": _shown(name),
        "verdict": kind or verdict.kind,
        "detail": verdict.detail,
        "tier": verdict.tier,
        "wall_s": verdict.wall_s,
        "cpu_s": verdict.cpu_s,
    }
    if verdict.forgeable:
        record["forgeable"] = True
    if verdict.answer is not None:
        record["answer"] = verdict.answer
    return record


def _shown(name: Any) -> Any:
    """The id as it can be written: text, or a number of ordinary size."""
    if isinstance(name, int) and abs(name) >> 512:
        return None
    return name if isinstance(name, str | int | float | None) else json.dumps(name)[:200]


class BadLine(ValueError):
    """A line that holds no sample; says why."""


def parse_line(line: bytes) -> dict[str, Any]:
    """The object on a line; BadLine where there is none. Integers may have any number of digits."""
    from orchestrator.tasks.lines import whole_number

    if len(line) > LONGEST_LINE:
        raise BadLine(f"longer than {LONGEST_LINE >> 20} MiB")
    try:
        sample = json.loads(line, parse_int=whole_number)
    except (ValueError, RecursionError) as fault:
        raise BadLine(f"not JSON: {str(fault)[:200]}") from None
    if not isinstance(sample, dict):
        raise BadLine("a line must be an object with id, code or text, and tests")
    return sample
