"""COMMAND agents in containers of podman or docker, with one door to the gateway.

The container has a loopback and nothing else (`--network none`); the gateway's listening socket is
made inside its network namespace and accepts there, so that no other address can be reached and
the image needs no program for it. That takes root, as joining a namespace does. The command waits
for a file that says the door is open. What it may write is the work tree, the desk and its home, on
one file system in memory, and a few places in memory that every program expects: it cannot fill
this machine's disk. Every container carries this run's label, and so does that file system's place,
by which a later start finds and removes what a dead one left.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator.engine.executors.base import AgentJob, ExecutorFailure, NoExecutor, Output
from orchestrator.engine.executors.command import (
    IN_PLACE,
    OUTPUT_MB,
    PORT,
    output_of,
    words,
)
from orchestrator.engine.executors.patch import tar_of, unpack
from providers.gateway.environment import environment
from verifiers.sandbox.errand import DESK, HOME, WORK, Made, left_in
from verifiers.sandbox.limits import NoSandbox

ENGINES = ("podman", "docker")
LABEL = "orch.run"
MEMORY, PIDS = "4g", 512
DISK, LOG = "1g", "16m"
_PLACES = {"work": WORK, "desk": DESK, "home": HOME}
_LOGS = {"podman": "k8s-file", "docker": "json-file"}
"""The log drivers that keep what they are told to."""
_SCRATCH = ("/tmp", "/var/tmp", "/run")
_START_S = 120.0
_WAIT = f'until [ -e {DESK}/.open ]; do sleep 0.02; done; exec "$@"'
_IN_NAMESPACE = """
import os, socket, sys
from ctypes import CDLL
handle = os.open(f"/proc/{sys.argv[1]}/ns/net", os.O_RDONLY)
if CDLL(None, use_errno=True).setns(handle, 0x40000000):
    sys.exit("setns was refused")
door = socket.socket()
door.bind(("127.0.0.1", int(sys.argv[2])))
door.listen(128)
socket.send_fds(socket.socket(fileno=int(sys.argv[3])), [b"door"], [door.fileno()])
"""


def label_of(directory: Path) -> str:
    """The value of a run's label: the same for every session in its directory."""
    return hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:24]


class ContainerExecutor:
    """Runs the command in a container of an image, one for each attempt."""

    name = "container"

    def __init__(
        self, command: Sequence[str], image: str, paths: Sequence[str], directory: Path
    ) -> None:
        self._command = command
        self._image = image
        self._paths = paths
        self._label = label_of(directory)
        self._engine = ""
        self._options: list[str] = []

    async def start(self) -> None:
        if os.getuid() != 0:
            raise NoExecutor(
                "Agents in containers need root here, to open the one door of their network; run "
                "them in the cell (leave --agent-image out), or run orch as root."
            )
        self._engine, self._options = await asyncio.to_thread(find_engine)
        await self._reap()
        found = await self._ask("image", "inspect", self._image)
        if found.returncode and (await self._ask("pull", self._image)).returncode:
            raise NoExecutor(
                f"{self._engine} has no image {self._image} and cannot pull it; build it, or give "
                "another --agent-image."
            )

    async def attempt(self, job: AgentJob) -> Output:
        name = f"orch-{self._label[:12]}-{job.attempt}-{secrets.token_hex(3)}"
        place = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=self._places))
        doors: list[socket.socket] = []
        try:
            await asyncio.to_thread(_in_memory, place)
            await asyncio.to_thread(_furnish, place, job)
            return await self._in(name, place, job, doors)
        finally:
            for door in doors:
                await job.gateway.leave(door)
            await self._remove(name)
            await asyncio.to_thread(_clear_away, place)

    async def _in(
        self, name: str, place: Path, job: AgentJob, doors: list[socket.socket]
    ) -> Output:
        command = words(self._command, job, f"{DESK}/problem.md", WORK, f"{DESK}/output")
        # The key goes by a file, not by the command line, where others on this machine read it.
        secret = place / "environment"
        own = environment(IN_PLACE, job.key, {"HOME": HOME})
        secret.write_text("".join(f"{n}={t}\n" for n, t in own.items()))
        secret.chmod(0o600)
        started = await self._ask(
            "run", *self._options, "--detach", "--name", name, "--label", f"{LABEL}={self._label}",
            "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--pids-limit", str(PIDS), "--memory", MEMORY, "--env-file", str(secret),
            # Podman's own default gives `rm` ten seconds of patience.
            "--stop-timeout", "0", "--log-driver", _LOGS[self._engine],
            "--log-opt", f"max-size={LOG}", "--read-only",
            *(f"--tmpfs={path}:rw,exec,nosuid,nodev,size={DISK}" for path in _SCRATCH),
            *(f"--volume={place / name}:{inside}" for name, inside in _PLACES.items()),
            *(word for path in self._paths for word in ("--volume", f"{path}:{path}:ro")),
            "--workdir", WORK, "--entrypoint", "/bin/sh", self._image, "-c", _WAIT, "sh", *command,
        )  # fmt: skip
        secret.unlink()
        if started.returncode:
            raise ExecutorFailure(f"{self._engine} did not start a container: {_last(started)}")
        try:
            door = await asyncio.to_thread(door_in, self._engine, name)
        except OSError as error:
            raise ExecutorFailure(f"the container's door could not be opened: {error}") from None
        doors.append(door)
        await job.gateway.serve(door)
        (place / "desk" / ".open").touch()
        code, timed_out = await self._wait(name, job.time_s)
        with (job.folder / "output.log").open("ab") as log:
            await self._ask("logs", name, into=log.fileno())
        await self._remove(name)
        output = place / "desk" / "output"
        tree, left_out = await asyncio.to_thread(tar_of, place / "work")
        made = Made(
            status=code,
            timed_out=timed_out,
            output=await asyncio.to_thread(left_in, output, OUTPUT_MB),
            tree=tree,
            left_out=left_out,
            wall_s=0.0,
        )
        return await asyncio.to_thread(output_of, made, job, job.tree)

    async def aclose(self) -> None:
        if self._engine:
            await self._reap()

    async def _wait(self, name: str, time_s: float) -> tuple[int, bool]:
        waiter = await asyncio.create_subprocess_exec(
            self._engine, "wait", name, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(time_s):
                said, _ = await waiter.communicate()
        except TimeoutError:
            return 137, True
        finally:
            if waiter.returncode is None:
                waiter.kill()
                await waiter.wait()
        text = said.decode().strip()
        return (int(text) if text.lstrip("-").isdecimal() else 1), False

    async def _reap(self) -> None:
        """Remove every container and every place that carries this run's label."""
        found = await self._ask(
            "ps", "--all", "--quiet", "--filter", f"label={LABEL}={self._label}"
        )
        for name in found.stdout.decode().split():
            await self._remove(name)
        for place in await asyncio.to_thread(_left, self._places):
            await asyncio.to_thread(_clear_away, place)

    @property
    def _places(self) -> str:
        return f"orch-agent-{self._label[:12]}-"

    async def _remove(self, name: str) -> None:
        await self._ask("rm", "--force", "--volumes", name)

    async def _ask(
        self, *arguments: str, into: int | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        out = subprocess.PIPE if into is None else into
        process = await asyncio.create_subprocess_exec(
            self._engine, *arguments, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.PIPE if into is None else into,
        )  # fmt: skip
        said, told = await process.communicate()
        return subprocess.CompletedProcess(
            arguments, process.returncode or 0, said or b"", told or b""
        )


def door_in(engine: str, name: str) -> socket.socket:
    """A listening socket on the container's own loopback; raises OSError."""
    inspected = subprocess.run(
        [engine, "inspect", "--format", "{{.State.Pid}}", name],
        capture_output=True, text=True, timeout=_START_S, check=False,
    )  # fmt: skip
    pid = inspected.stdout.strip()
    if not pid.isdecimal() or pid == "0":
        raise OSError("the container ended at once")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _IN_NAMESPACE, pid, str(PORT),
             str(theirs.fileno())],
            pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=_START_S,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise OSError(done.stderr.strip()[-200:] or "no socket came back")
        _, handles, _, _ = socket.recv_fds(ours, 16, 1)
    return socket.socket(fileno=handles[0])


def find_engine() -> tuple[str, list[str]]:
    """The container engine that answers, and the options that this machine needs."""
    from verifiers.sandbox.engines import engine_of

    reasons = []
    for name in ENGINES:
        try:
            return name, engine_of(name)[2:]
        except NoSandbox as error:
            reasons.append(str(error))
    raise NoExecutor(f"No container engine works here: {'; '.join(reasons)}.")


def _in_memory(place: Path) -> None:
    """A file system of DISK at most; raises ExecutorFailure."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0755,nosuid,nodev", "orch", str(place)],
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ExecutorFailure(f"no file system in memory could be mounted: {_last(done)}")


def _left(prefix: str) -> list[Path]:
    """Places of attempts that are there."""
    return list(Path(tempfile.gettempdir()).glob(f"{prefix}*"))


def _clear_away(place: Path) -> None:
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)
    shutil.rmtree(place, ignore_errors=True)


def _furnish(place: Path, job: AgentJob) -> None:
    """The work tree, the desk and a home, which the container's user may write whoever it is."""
    unpack(job.tree, place / "work")
    (place / "desk").mkdir()
    (place / "home").mkdir()
    (place / "desk" / "problem.md").write_text(job.problem, encoding="utf-8")
    for path in (place / "work", *(place / "work").rglob("*"), place / "desk", place / "home"):
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() or os.access(path, os.X_OK) else 0o666)


def _last(done: subprocess.CompletedProcess[bytes]) -> str:
    return (
        (done.stderr.strip() or b"no reason").rsplit(b"\n", 1)[-1].decode("utf-8", "replace")[:300]
    )
