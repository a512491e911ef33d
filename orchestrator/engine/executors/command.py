"""COMMAND agents: any program, in the cell or in a container, with one door to the gateway.

The command's words may hold {problem} (a file with the task's text), {workdir} (the work tree,
where it starts), {output} (where it may leave an answer) and {model}. Its environment names the
gateway and the attempt's key, and nothing of this machine's. Without an output its answer is the
change that it made to the work tree.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from orchestrator.engine.executors.base import AgentJob, ExecutorFailure, NoExecutor, Output
from orchestrator.engine.executors.patch import NoGit, difference, tar_of, unpack
from providers.gateway.environment import environment
from verifiers.sandbox.errand import DESK, WORK, Errand, Made, NoSandbox, left_in, run, works
from verifiers.sandbox.limits import SandboxFault

PORT = 8123
"""The gateway's port on the loopback of every cell and container."""
OUTPUT_MB = 8
IN_PLACE = f"http://127.0.0.1:{PORT}"
_KILL_AFTER_S = 5.0


def words(
    command: Sequence[str], job: AgentJob, problem: str, workdir: str, output: str
) -> list[str]:
    """The command with its fields filled in."""
    fields = {"problem": problem, "workdir": workdir, "output": output, "model": job.model}
    found = []
    for word in command:
        for name, text in fields.items():
            word = word.replace("{" + name + "}", text)
        found.append(word)
    return found


def output_of(made: Made, job: AgentJob, before: bytes) -> Output:
    """What a jail's command left, as an answer; raises ExecutorFailure where git is missing."""
    notes = []
    if made.left_out:
        notes.append(f"{made.left_out} files of the work tree were too large to be read")
    if made.output is not None:
        if len(made.output) >= OUTPUT_MB * 2**20:
            notes.append(f"the output was cut at {OUTPUT_MB} MiB")
        text = made.output.decode("utf-8", "replace")
    elif before:
        try:
            text = difference(before, made.tree)
        except NoGit as error:
            raise ExecutorFailure(str(error)) from None
    else:
        text = ""
    return Output(text, made.status, made.timed_out, "; ".join(notes))


class CellExecutor:
    """Runs the command in a jail of namespaces of this machine's own programs."""

    name = "cell"

    def __init__(self, command: Sequence[str], paths: Sequence[str]) -> None:
        self._command = command
        self._paths = paths

    async def start(self) -> None:
        try:
            await works()
        except NoSandbox as error:
            raise NoExecutor(
                f"Agents cannot be run in the cell here ({error}); give --agent-image IMAGE to run "
                "them in a container, or --i-trust-this-code to run them with all your rights."
            ) from None

    async def attempt(self, job: AgentJob) -> Output:
        doors: list[socket.socket] = []

        async def open_door(door: socket.socket) -> None:
            doors.append(door)
            await job.gateway.serve(door)

        errand = Errand(
            command=words(self._command, job, f"{DESK}/problem.md", WORK, f"{DESK}/output"),
            tree=job.tree,
            problem=job.problem,
            environment=environment(IN_PLACE, job.key, {}),
            shown=self._paths,
            port=PORT,
            slot=job.slot,
            time_s=job.time_s,
            output_mb=OUTPUT_MB,
        )
        try:
            made = await run(errand, log=job.folder / "output.log", on_door=open_door)
        except SandboxFault as fault:
            raise ExecutorFailure(str(fault)) from None
        finally:
            for door in doors:
                await job.gateway.leave(door)
        return await asyncio.to_thread(output_of, made, job, job.tree)

    async def aclose(self) -> None:
        """Every jail ends with its attempt."""


class TrustedExecutor:
    """Runs the command with all rights of whoever runs orch: only where a person said so."""

    name = "trusted"

    def __init__(self, command: Sequence[str], bound: Collection[str] = ()) -> None:
        """`bound`: the variables whose keys a person bound to hosts."""
        self._command = command
        self._bound = bound

    async def start(self) -> None:
        """Nothing is needed."""

    async def attempt(self, job: AgentJob) -> Output:
        place = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="orch-agent-"))
        try:
            return await self._in(place, job)
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def _in(self, place: Path, job: AgentJob) -> Output:
        workdir, output, problem = place / "work", place / "output", place / "problem.md"
        await asyncio.to_thread(unpack, job.tree, workdir)
        problem.write_text(job.problem, encoding="utf-8")
        command = words(self._command, job, str(problem), str(workdir), str(output))
        env = environment(job.url, job.key, os.environ, self._bound)
        with (job.folder / "output.log").open("ab") as log:
            try:
                agent = await asyncio.create_subprocess_exec(
                    *command, cwd=workdir, env=env, stdin=asyncio.subprocess.DEVNULL,
                    stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise ExecutorFailure(f"{command[0]} cannot be run: {error.strerror}") from None
        timed_out = False
        try:
            async with asyncio.timeout(job.time_s):
                await agent.wait()
        except TimeoutError:
            timed_out = True
        finally:
            await _end(agent)
        code = agent.returncode or 0
        tree, left_out = await asyncio.to_thread(tar_of, workdir)
        made = Made(
            status=128 - code if code < 0 else code,
            timed_out=timed_out,
            output=await asyncio.to_thread(left_in, output, OUTPUT_MB),
            tree=tree,
            left_out=left_out,
            wall_s=0.0,
        )
        return await asyncio.to_thread(output_of, made, job, job.tree)

    async def aclose(self) -> None:
        """Every agent ends with its attempt."""


async def _end(agent: asyncio.subprocess.Process) -> None:
    """End a process group, politely first; what the agent left running goes with it."""
    if agent.returncode is None:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            os.killpg(agent.pid, signal.SIGTERM)
            async with asyncio.timeout(_KILL_AFTER_S):
                await agent.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(agent.pid, signal.SIGKILL)
    await agent.wait()
