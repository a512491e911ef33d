"""One cell as the parent sees it: starts it, hands it one sample at a time, keeps its limits.

The parent decides when a sample has had enough; the cell only obeys. A cell that dies, or cannot
clean up, is never used again: `usable` turns false and the pool starts another.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from verifiers.sandbox import bubblewrap, engines, zygote
from verifiers.sandbox.confine import CONTAINERS, MEBIBYTE, Confinement
from verifiers.sandbox.jail import inside
from verifiers.sandbox.limits import Limits, Outcome, SandboxFault, Status
from verifiers.sandbox.watch import CellWatch, Free

_BOOT = (
    "import sys; sys.path.append({root!r}); from verifiers.sandbox.zygote import main; main({fd})"
)
_OPTIONS = ("-S", "-s", "-P", "-B", "-X", "utf8", "-X", "int_max_str_digits=0")
_ENGINE_VARIABLES = ("PATH", "HOME", "DOCKER_", "CONTAINER", "XDG_", "TMPDIR")
_OBEDIENCE_S = 15.0
_FIRST_LOOK_S, _LOOK_S, _START_S = 0.03, 0.02, 60.0


def memory_file(content: bytes = b"", name: str = "cell") -> int:
    """A descriptor of a file in memory, at its start."""
    handle = os.memfd_create(name, os.MFD_CLOEXEC)
    view, at = memoryview(content), 0
    while at < len(view):
        at += os.pwrite(handle, view[at:], at)
    return handle


class Cell:
    """A started cell. Not reentrant: one sample at a time."""

    def __init__(self, plan: Confinement, python: str) -> None:
        self.plan = plan
        self.samples = 0
        self.usable = True
        self.scratch = ""
        self._python = python
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._container: engines.Container | None = None
        self._zygote = 0
        self._watch: CellWatch | None = None
        self._handles: list[int] = []
        self._reply: asyncio.Future[bytes] | None = None
        self._killed_for: Status | None = None
        self._killed_at = 0.0
        self._abandoned = False
        self._detail = ""
        self._starved_s = 0.0
        self._written: list[int] = []
        self._free: Free | None = None
        self.facts: dict[str, Any] = {}

    async def _launch(self) -> socket.socket:
        """Start the cell's interpreter, in another program's jail where the tier has one."""
        if self.plan.tier in CONTAINERS:
            return await self._launch_in_container()
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root, python, launcher = str(bubblewrap.CODE.parent), self._python, list[str]()
        if self.plan.tier == "bubblewrap":
            launcher = bubblewrap.command(self.plan, python)
            self.plan = bubblewrap.seen_from_inside(self.plan)
            root, python = inside(root), inside(os.path.realpath(python))
        boot = _BOOT.format(root=root, fd=theirs.fileno())
        with theirs:
            self._process = _start([*launcher, python, *_OPTIONS, "-c", boot], theirs)
        return control

    async def _launch_in_container(self) -> socket.socket:
        self._container = container = engines.Container(self.plan, self._python)
        launcher = await asyncio.to_thread(container.command)
        root, python = inside(str(bubblewrap.CODE.parent)), inside(os.path.realpath(self._python))
        self.plan = engines.seen_from_inside(bubblewrap.seen_from_inside(self.plan))
        boot = engines.BOOT.format(root=root, door=engines.DOOR)
        said = memory_file()
        try:
            self._process = _start([*launcher, python, *_OPTIONS, "-c", boot], stderr=said)
            return await container.accept(self._process, said, _START_S)
        finally:
            os.close(said)

    async def start(self) -> None:
        """Wait until the zygote is confined. SandboxFault says why it could not be."""
        loop = asyncio.get_running_loop()
        try:
            self._control = control = await self._launch()
            control.setblocking(False)
            async with asyncio.timeout(_START_S):
                self._control.send(json.dumps(self.plan._asdict()).encode())
                facts: dict[str, Any] = {}
                while "ready" not in facts:
                    await _readable(loop, control)
                    message, handles, _, _ = socket.recv_fds(control, 1 << 16, 4)
                    self._handles += handles
                    if not message:
                        raise SandboxFault("the cell's interpreter ended before it was ready")
                    facts |= json.loads(message)
                    if "fault" in facts:
                        raise SandboxFault(f"the cell could not be set up: {facts['fault']}")
        except (SandboxFault, OSError, TimeoutError) as fault:
            await self.close()
            if isinstance(fault, SandboxFault):
                raise
            raise SandboxFault(f"the cell did not start: {fault or 'no answer'}") from None
        # In another's pid namespace the keeper does not know the host's number for it.
        self._zygote = 0 if self.plan.jailed_by_others() else facts["zygote"]
        if self._container is not None and self.plan.tier != "gvisor":
            self._zygote = self._container.peer
        self.scratch, self.facts = facts["scratch"], facts
        if self._handles:
            self._watch = CellWatch(
                self._handles[0], facts["ready"], self.plan.tier == "namespaces"
            )
        elif not self.plan.jailed_by_others():
            proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._handles.append(proc)
            self._watch = CellWatch(proc, self._zygote, alone=False)
        loop.add_reader(control.fileno(), self._on_message, control)

    def _on_message(self, control: socket.socket) -> None:
        try:
            message = control.recv(256)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._lose()
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(message)

    def _lose(self) -> None:
        self.usable = False
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())

    async def run(
        self, job: bytes, files: Sequence[int], limits: Limits, written: Sequence[int] = ()
    ) -> Outcome:
        """Run one job; `files` are handed over after job, claims and errors (and stay ours).

        The first two are its standard input and output. `written` are those whose size counts as
        output (default: the second); they must stay open until this returns. Cancelling kills the
        sample.
        """
        own = [memory_file(job), memory_file(), memory_file()]
        self._written = [*own[1:], *(written or files[1:2])]
        try:
            reply = await self._send_and_wait([*own, *files], limits)
            if len(reply) != zygote.REPLY.size:
                self.usable = False
                if self._abandoned and self._killed_for is not None:
                    detail = f"{self._detail}; the cell had to be ended with it"
                    return Outcome(self._killed_for, detail=detail, tier=self.plan.tier)
                told = reply.decode("utf-8", "replace")[:500] or "it ended"
                return Outcome("fault", detail=f"the cell failed: {told}", tier=self.plan.tier)
            stdout, claims = (read_file(h, limits.output_mb) for h in (files[1], own[1]))
            errors = read_file(own[2], 1)
        finally:
            for handle in own:
                os.close(handle)
        return self._outcome(reply, limits, stdout, claims, errors)

    async def _send_and_wait(self, handles: list[int], limits: Limits) -> bytes:
        loop = asyncio.get_running_loop()
        self._killed_for, self._detail, self._starved_s = None, "", 0.0
        self._reply = loop.create_future()
        self.samples += 1
        hard_s = int(limits.patience_s * 2) + 10
        message = zygote.JOB.pack(limits.cpu_s, hard_s, 0)
        assert self._control is not None
        try:
            socket.send_fds(self._control, [message], handles)
        except OSError:
            self._lose()
            return b""
        self._free = Free(self.scratch) if self.plan.scratch_is_shared() else None
        started = time.monotonic()
        timer: list[asyncio.TimerHandle] = []

        def look() -> None:
            timer[0] = loop.call_later(_LOOK_S, look)
            self._look(started, limits)

        timer.append(loop.call_later(_FIRST_LOOK_S, look))
        try:
            return await self._reply
        except asyncio.CancelledError:
            self.kill("fault", "cancelled")
            self.usable = False
            raise
        finally:
            timer[0].cancel()

    def kill(self, status: Status, detail: str) -> None:
        """End the running sample; its outcome gets this status."""
        if self._killed_for is None and self._control is not None:
            self._killed_for, self._detail = status, detail
            self._killed_at = time.monotonic()
            try:
                self._control.send(zygote.KILL)
            except OSError:
                self._lose()

    def _look(self, started: float, limits: Limits) -> None:
        """Compare what the sample uses with its limits."""
        if self._killed_for is not None and time.monotonic() - self._killed_at > _OBEDIENCE_S:
            self._abandon()
        if self._watch is None or self._killed_for is not None or not self.plan.has("watch"):
            if self._killed_for is None and time.monotonic() - started > limits.wall_s:
                self.kill("timeout", f"more than {limits.wall_s:g} s")
            return
        use = self._watch.use()
        memory_mb = self._watch.memory_mb(use.pids, limits.memory_mb)
        elapsed_s = time.monotonic() - started
        if use.cpu_s > limits.cpu_s:
            self.kill("timeout", f"more than {limits.cpu_s:g} s of processor time")
        elif memory_mb > limits.memory_mb:
            self.kill("memory", f"{memory_mb:.0f} MiB, more than {limits.memory_mb}")
        elif use.tasks > limits.processes + 1:
            self.kill(
                "processes", f"{use.tasks} processes and threads, more than {limits.processes}"
            )
        elif self._free is not None and self._too_many_files(use.pids, self._free, limits):
            self.kill("disk", f"more than {limits.disk_mb} MiB of files")
        elif (written := _size_mb(self._written)) > 2 * limits.output_mb:
            self.kill("output", f"{written:.0f} MiB of output, more than {limits.output_mb}")
        elif elapsed_s > limits.wall_s:
            # Time before the fork and after the end is ours: the zygote waits for a processor too.
            own_s = min(elapsed_s, use.age_s)
            self._starved_s = self._watch.starved_s(use.pids)
            if own_s - self._starved_s > limits.wall_s or elapsed_s > limits.patience_s:
                self.kill("timeout", f"more than {limits.wall_s:g} s")

    def _abandon(self) -> None:
        """Give a cell up that does not obey; closing it ends what is in it."""
        self._abandoned = True
        self._lose()
        self._end_zygote()
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(b"")

    def _too_many_files(self, pids: tuple[int, ...], free: Free, limits: Limits) -> bool:
        assert self._watch is not None
        used = _disk_mb(self.scratch) + self._watch.deleted_mb(pids, self.scratch)
        return used > limits.disk_mb or free.beyond(limits.disk_mb)

    def _outcome(
        self, reply: bytes, limits: Limits, stdout: bytes, claims: bytes, errors: bytes
    ) -> Outcome:
        code, wall_s, user_s, system_s, _, peak_kb, flags = zygote.REPLY.unpack(reply)
        if flags & zygote.DIRTY:
            self.usable = False
        exit_code = os.WEXITSTATUS(code) if os.WIFEXITED(code) else None
        number = os.WTERMSIG(code) if os.WIFSIGNALED(code) else None
        cpu_s = user_s + system_s
        status, detail = self._status(exit_code, number, cpu_s, limits, errors, flags)
        status, detail = bounded(status, detail, stdout, limits)
        return Outcome(
            status=status,
            exit_code=exit_code,
            signal=number,
            stdout=stdout,
            stderr=errors,
            wall_s=wall_s,
            cpu_s=cpu_s,
            peak_mb=peak_kb / 1024,
            starved_s=self._starved_s,
            load=os.getloadavg()[0],
            tier=self.plan.tier,
            scratch=bool(self.scratch),
            detail=detail,
            claims=claims,
        )

    def _status(
        self, code: int | None, number: int | None, cpu_s: float, limits: Limits, errors: bytes,
        flags: int,
    ) -> tuple[Status, str]:  # fmt: skip
        if self._killed_for is not None and (number == signal.SIGKILL or flags & zygote.KILLED):
            return self._killed_for, self._detail
        if flags & zygote.KILLED:
            return "timeout", "stopped by the cell after its parent did not"
        if cpu_s > limits.cpu_s or number == signal.SIGXCPU:
            return "timeout", f"more than {limits.cpu_s:g} s of processor time"
        if number == signal.SIGXFSZ:
            return "output", f"a file of more than {limits.output_mb} MiB"
        if number is not None:
            return "crashed", f"ended by {signal.Signals(number).name if number < 32 else number}"
        if code == 0:
            return "ok", ""
        if code == 97 and errors.endswith(b"MemoryError\n"):
            return "memory", "MemoryError"
        last = errors.strip().rsplit(b"\n", 1)[-1].decode("utf-8", "replace")[:300]
        return "error", last or f"exit status {code}"

    async def close(self) -> None:
        """End the cell and everything in it. Safe to call again."""
        if self._reply is not None and not self._reply.done():
            self._reply.cancel()
        if self._control is not None and self._control.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
        for handle in self._handles:
            os.close(handle)
        self._handles.clear()
        self.usable = False
        if self._process is not None and self._process.returncode is None:
            await self._reap(self._process)
        if self._container is not None:
            self._container.close()

    async def _reap(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the keeper, which ends once the zygote has; kill a zygote that does not."""
        if self._container is not None and not await _ended(process.pid, 5.0):
            await self._container.remove()
        for patience_s, end in ((5.0, self._end_zygote), (5.0, process.kill), (30.0, None)):
            if await _ended(process.pid, patience_s):
                process.wait()
                return
            if end is not None:
                end()
        raise SandboxFault(f"process {process.pid} of the sandbox does not end")

    def _end_zygote(self) -> None:
        if self._zygote:
            try:
                os.kill(self._zygote, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it ended meanwhile


def _start(
    command: list[str], control: socket.socket | None = None, stderr: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    # Symbols are bound at the start: each that is not is bound again by every sample.
    environment = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "PATH": os.defpath, "LD_BIND_NOW": "1"}
    if control is None:
        # An engine's client, which needs to know where its engine and its settings are.
        environment = {k: v for k, v in os.environ.items() if k.startswith(_ENGINE_VARIABLES)}
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=[control.fileno()] if control is not None else [],
        start_new_session=True,
        cwd="/",
    )


async def _readable(loop: asyncio.AbstractEventLoop, control: socket.socket) -> None:
    ready = loop.create_future()
    loop.add_reader(control.fileno(), lambda: _resolve(ready))
    try:
        await ready
    finally:
        loop.remove_reader(control.fileno())


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _ended(pid: int, patience_s: float) -> bool:
    loop = asyncio.get_running_loop()
    handle = os.pidfd_open(pid)
    ended = loop.create_future()
    loop.add_reader(handle, lambda: _resolve(ended))
    try:
        async with asyncio.timeout(patience_s):
            await ended
            return True
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def read_file(handle: int, limit_mb: float) -> bytes:
    """What a memory file holds, up to the limit."""
    size = min(os.fstat(handle).st_size, int(limit_mb * MEBIBYTE))
    return os.pread(handle, size, 0) if size else b""


def bounded(status: Status, detail: str, stdout: bytes, limits: Limits) -> tuple[Status, str]:
    """Status and detail of a sample that may have ended well, but for what it wrote."""
    if len(stdout) >= limits.output_mb << 20 and status in ("ok", "error"):
        return "output", f"{limits.output_mb} MiB of output"
    return status, detail


def _size_mb(handles: Sequence[int]) -> float:
    """What memory files hold."""
    return sum(os.fstat(handle).st_blocks for handle in handles) * 512 / MEBIBYTE


def _disk_mb(directory: str) -> float:
    """Size of what lies below a scratch directory, by blocks; infinite past ten thousand files."""
    total, seen, wanted = 0, 0, [directory]
    while wanted:
        try:
            with os.scandir(wanted.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    seen += 1
                    if entry.is_dir(follow_symlinks=False):
                        wanted.append(entry.path)
                    if seen > 10_000:
                        return float("inf")
        except OSError:
            continue  # gone between two looks
    return total / MEBIBYTE
