"""Agents of Harbor's: forty of them, installed and run by it in containers, metered by us.

One runner (harbor_runner.py) in an interpreter that has Harbor serves all attempts of an arm; it
cancels all of them when this process ends, and one that is silent for too long is ended and counts
as failed, upon which the engine revokes the keys. Harbor verifies nothing here: the work tree
comes back, and its change is judged like any other.

An agent inside a container finds the gateway on its own loopback, through a socket that is made in
the container's network namespace as soon as it is there. Harbor's containers have the network that
their task asks for: unlike the cell, they may reach other hosts (docs/agents.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from orchestrator.engine.executors.base import AgentJob, ExecutorFailure, NoExecutor, Output
from orchestrator.engine.executors.command import PORT
from orchestrator.engine.executors.container import door_in, find_engine, label_of
from orchestrator.engine.executors.harbor_traces import containers, end_marked, sweep
from orchestrator.engine.executors.patch import MOST_BYTES, NoGit, difference, tar_of
from orchestrator.plan.agents import AgentSetting
from orchestrator.tasks.harbor_python import NoHarbor, check_agent, find_python
from providers.fleet.processes import MARK
from providers.gateway.environment import environment, keyless

ON_THIS_MACHINE = frozenset({"terminus-2", "dspy-rlm", "computer-1"})
"""Agents of Harbor's that run beside it and not inside the container."""
SETTINGS = {
    "MSWEA_COST_TRACKING": "ignore_errors",
    "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": "1",
}
"""What agents are told beside the gateway: dollars are counted here, and so are retries."""
PHASES = ("agent", "verifier")
"""Of a trial: those in which what goes wrong is the attempt's own."""
RUNNER = Path(__file__).with_name("harbor_runner.py")
_ASKING_S = 60.0
_LOADING_S = 300.0
_SILENT_S = 90.0
_CLEANING_S = 20.0
_LOOK_S = 0.3
_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"


def workdir_of(source: Path) -> str:
    """Where a task's work tree lies in its container: the Dockerfile's last WORKDIR."""
    dockerfile = source / "environment" / "Dockerfile"
    if not dockerfile.is_file():
        return "/app"
    found = re.findall(r"^\s*WORKDIR\s+(\S+)", dockerfile.read_text(encoding="utf-8"), re.M)
    return found[-1] if found else "/app"


def compose_for(engine: str, python: str) -> bool:
    """Whether an engine has the compose that Harbor starts containers with."""
    if engine == "podman" and (
        Path(python).with_name("podman-compose").exists() or shutil.which("podman-compose")
    ):
        return True
    try:
        done = subprocess.run(
            [engine, "compose", "version"], capture_output=True, check=False, timeout=_ASKING_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class HarborExecutor:
    """One runner for all attempts of an arm."""

    name = "harbor"

    def __init__(self, setting: AgentSetting, directory: Path, arm: int) -> None:
        self._setting = setting
        self._prefix = f"orch-{label_of(directory)[:12]}-arm{arm}-"
        self._mark = f"{label_of(directory)}-arm{arm}"
        self._log = directory / "logs" / "harbor.log"
        self._engine = self._python = ""
        self._runner: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ready = asyncio.Event()
        self._starting = asyncio.Lock()
        self._alive = False

    async def start(self) -> None:
        if os.getuid() != 0:
            raise NoExecutor(
                "Harbor's agents need root here, to open the gateway's door in their containers; "
                "use an agent of your own in the cell, or run orch as root."
            )
        self._engine, _ = await asyncio.to_thread(find_engine)
        try:
            self._python = await asyncio.to_thread(find_python, self._setting.harbor_python)
            await asyncio.to_thread(check_agent, self._setting.harbor, self._python)
        except NoHarbor as error:
            raise NoExecutor(str(error)) from None
        if not await asyncio.to_thread(compose_for, self._engine, self._python):
            raise NoExecutor(
                f"Harbor starts containers by `{self._engine} compose`, which does not work here: "
                f"{self._python} -m pip install podman-compose, or install Docker's compose plugin."
            )
        await self._sweep()

    async def attempt(self, job: AgentJob) -> Output:
        if job.source is None:
            raise ExecutorFailure("the task has no folder that Harbor could run")
        await self._running()
        name = f"{self._prefix}{job.attempt}-{secrets.token_hex(3)}"
        doors: list[socket.socket] = []
        opening = asyncio.create_task(self._open_door(name, job, doors))
        try:
            told = await self._ask(name, job)
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            for door in doors:
                await job.gateway.leave(door)
        return await asyncio.to_thread(self._output, told, job)

    async def aclose(self) -> None:
        runner = self._runner
        if runner is not None and runner.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                runner.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLEANING_S):
                    await runner.wait()
            await self._end_runner()
        if self._engine:
            await self._sweep()

    async def _sweep(self) -> None:
        """Take away what this arm's trials left here, in this session or an earlier one."""
        await asyncio.to_thread(sweep, self._engine, self._prefix, self._mark)

    # The runner.

    async def _running(self) -> None:
        """Return once a runner is there; raises ExecutorFailure."""
        async with self._starting:
            if self._alive:
                return
            if self._reading is not None:
                # The last runner's traces are swept away first, or the next one's would go too.
                await self._reading
            self._ready.clear()
            bin_of = str(Path(self._python).parent)
            with self._log.open("ab") as log:
                self._runner = await asyncio.create_subprocess_exec(
                    self._python, "-P", str(RUNNER), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=log, limit=2**22, start_new_session=True,
                    env={**keyless(os.environ, self._setting.bound), MARK: self._mark,
                         "PATH": f"{bin_of}:{os.environ.get('PATH', '')}"},
                )  # fmt: skip
            self._reading = asyncio.create_task(self._read(self._runner))
            try:
                async with asyncio.timeout(_LOADING_S):
                    await self._ready.wait()
            except TimeoutError:
                await self._end_runner()
                raise ExecutorFailure("Harbor did not start in time; see logs/harbor.log") from None
            if not self._alive:
                raise ExecutorFailure("Harbor could not be started; see logs/harbor.log")

    async def _read(self, runner: asyncio.subprocess.Process) -> None:
        """Hear the runner until it ends or falls silent; then nobody waits on."""
        assert runner.stdout is not None
        patience_s = _LOADING_S
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    line = await runner.stdout.readline()
            except TimeoutError:
                break
            if not line:
                break
            told = json.loads(line)
            if "ready" in told:
                patience_s = _SILENT_S
                self._alive = True
                self._ready.set()
            waiter = self._waiting.pop(told.get("id", 0), None)
            if waiter is not None and not waiter.done():
                waiter.set_result(told)
        self._alive = False
        self._ready.set()
        await asyncio.to_thread(end_marked, self._mark)
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(ExecutorFailure("Harbor's runner ended or fell silent"))
        self._waiting.clear()
        await self._sweep()

    async def _end_runner(self) -> None:
        if self._runner is not None and self._runner.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._runner.kill()
            await self._runner.wait()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _ask(self, name: str, job: AgentJob) -> dict[str, Any]:
        """Run one trial; raises ExecutorFailure. Cancelling cancels it there."""
        setting, runner = self._setting, self._runner
        if runner is None or not self._alive:
            raise ExecutorFailure("Harbor's runner has ended")
        assert job.source is not None
        inside = setting.harbor not in ON_THIS_MACHINE
        base = f"http://127.0.0.1:{PORT}" if inside else job.url
        mounts = [
            {"type": "bind", "source": path, "target": path, "read_only": True}
            for path in setting.paths
        ]
        programs = ":".join(f"{path}/bin" for path in setting.paths)
        words = {
            "op": "run", "id": job.attempt, "task": str(job.source), "name": name,
            "agent": setting.harbor, "model": f"{setting.protocol}/{job.model}",
            "base_url": base + ("/v1" if setting.protocol == "openai" else ""), "key": job.key,
            "time_s": job.time_s, "trials": str(job.folder.absolute()),
            "workdir": workdir_of(job.source) if job.tree else "", "verify": job.rewarded,
            "environment": self._engine,
            "kwargs": dict(setting.harbor_arguments), "mounts": mounts, "programs": programs,
            "usual": environment(base, job.key, {}),
            # For its setup; the image's own path is known once it runs.
            "env": SETTINGS | (
                {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin"} if programs else {}
            ),
        }  # fmt: skip
        waiter: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[job.attempt] = waiter
        try:
            self._tell(words)
            return await waiter
        except asyncio.CancelledError:
            self._tell({"op": "cancel", "id": job.attempt})
            raise
        except (ConnectionError, BrokenPipeError):
            raise ExecutorFailure("Harbor's runner has ended") from None

    def _tell(self, words: dict[str, Any]) -> None:
        if self._runner is not None and self._runner.stdin is not None:
            self._runner.stdin.write(json.dumps(words).encode() + b"\n")

    # Containers.

    async def _open_door(self, name: str, job: AgentJob, doors: list[socket.socket]) -> None:
        """Open the gateway's door in the trial's container once it is there."""
        selected = (f"label={_PROJECT}={name}__env", f"label={_SERVICE}=main")
        while True:
            found = await asyncio.to_thread(containers, self._engine, *selected)
            if found:
                try:
                    door = await asyncio.to_thread(door_in, self._engine, found[0])
                except OSError:
                    await asyncio.sleep(_LOOK_S)
                    continue
                doors.append(door)
                await job.gateway.serve(door)
                return
            await asyncio.sleep(_LOOK_S)

    def _output(self, told: dict[str, Any], job: AgentJob) -> Output:
        exception, message = told["exception"], told["message"]
        # What an agent meets at work is its own, a refused call too, and what its work did to the
        # tests is for the judge; all else is the engine's.
        if exception and told["phase"] not in PHASES:
            raise ExecutorFailure(f"Harbor: {exception}: {message}")
        text = ""
        if job.rewarded:
            report = {name: told[name] for name in ("trial", "rewards", "fresh")}
            if told["phase"] == "verifier":
                report["failure"] = exception
            text = json.dumps(report) if told["rewards"] or report.get("failure") else ""
        elif told["tree"]:
            tree = Path(told["tree"])
            try:
                left, left_out = tar_of(tree)
                text = difference(job.tree, left)
            except NoGit as error:
                raise ExecutorFailure(str(error)) from None
            if left_out:
                message = f"{left_out} files of the work tree were too large to be read; {message}"
            shutil.rmtree(tree, ignore_errors=True)
        elif told["patch"]:
            text = Path(told["patch"]).read_text(encoding="utf-8", errors="replace")[:MOST_BYTES]
        elif not job.tree and not exception:
            raise ExecutorFailure("Harbor brought back no patch; see the trial's trial.log")
        return Output(
            text, int(told["phase"] == "agent"), exception == "AgentTimeoutError", message[:500]
        )
