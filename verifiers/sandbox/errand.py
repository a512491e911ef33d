"""A whole command in a jail: a work tree in, the tree and an output file out.

    made = await run(Errand(["sh", "-c", "make && cp result /agent/desk/output"], tree))

For what is made of programs and takes minutes (agents, a repository's own tests), where a cell for
samples takes one Python program. Inside there are /usr and the like (read-only), the work tree in
/agent/work, a desk with `problem.md` and room for `output`, and no network but one door: a port on
the jail's loopback whose listening socket is handed to the caller. What it stops and what it does
not is said in docs/agents.md; what is read is read when every process of the jail is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verifiers.sandbox.bpf import ALLOW, Check, Rule, assemble
from verifiers.sandbox.errand_jail import DESK, HOME, WORK, left_in
from verifiers.sandbox.kernel import CLONE_NEWUSER, machine
from verifiers.sandbox.limits import NoSandbox, SandboxFault
from verifiers.sandbox.syscalls import NUMBERS

__all__ = ["DESK", "HOME", "WORK", "Errand", "Made", "NoSandbox", "left_in", "pack", "run", "works"]

CODE = Path(__file__).resolve().parents[2]
FIRST_UID, UIDS = 61_000, 4_000
_START_S = 60.0
_DENIED = (
    "mount", "umount2", "pivot_root", "unshare", "setns", "bpf", "perf_event_open", "keyctl",
    "add_key", "request_key", "userfaultfd", "open_by_handle_at", "name_to_handle_at",
    "kexec_load", "init_module", "finit_module", "delete_module",
)  # fmt: skip
_IO_URING, _CLONE3, _NEW_MOUNT_CALLS = (425, 426, 427), 435, (428, 429, 430, 431, 432, 433, 442)
_EPERM, _ENOSYS = 1, 38


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done."""

    command: Sequence[str]
    tree: bytes = b""
    """A tar, unpacked into the work tree; empty: nothing."""
    folders: Mapping[str, bytes] = field(default_factory=dict)
    """Further folders that may be written, each from a tar, by their absolute path."""
    output: str = f"{DESK}/output"
    """The file whose content is read at the end."""
    problem: str = ""
    """What problem.md on the desk says."""
    environment: Mapping[str, str] = field(default_factory=dict)
    shown: Sequence[str] = ()
    """Further paths of this machine that it may read."""
    port: int = 0
    """The door on the jail's 127.0.0.1; 0: none."""
    slot: int = 0
    """Different for errands at the same time: each has a uid of its own where orch is root."""
    time_s: float = 600.0
    memory_mb: int = 4096
    """Of each process (address space)."""
    disk_mb: int = 1024
    processes: int = 512
    output_mb: int = 8
    tree_mb: int = 256


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it."""

    status: int
    """The exit code; 128 and the signal where one ended it."""
    timed_out: bool
    output: bytes | None
    """What was left as the output; None: nothing."""
    tree: bytes
    """The work tree as a tar, without .git."""
    left_out: int
    """Files of the tree that did not fit."""
    wall_s: float


def pack(files: Mapping[str, bytes | str]) -> bytes:
    """A tar of files by their path."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755 if data.startswith(b"#!") else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()


async def works() -> None:
    """Return where errands can be run here; raises NoSandbox with the reason."""
    try:
        made = await run(Errand(["true"], time_s=30))
    except SandboxFault as fault:
        raise NoSandbox(f"no jail of namespaces works here: {fault}") from None
    if made.status:
        raise NoSandbox(f"the jail's own test ended with {made.status}")


async def run(
    errand: Errand,
    *,
    log: Path | None = None,
    on_door: Callable[[socket.socket], Any] | None = None,
) -> Made:
    """Run a command to its end; raises SandboxFault where the jail failed.

    `log` gets what it prints. `on_door` is given the listening socket of the jail's door before
    the command starts (it may be awaitable). Cancelling ends everything in the jail.
    """
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.setblocking(False)
    stage = tempfile.mkdtemp(prefix="orch-jail-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, stage, ignore_errors=True)
        stack.callback(control.close)
        made = stack.enter_context(tempfile.TemporaryFile())
        archives = []
        for content in (errand.tree, *errand.folders.values()):
            archives.append(stack.enter_context(tempfile.TemporaryFile()))
            archives[-1].write(content or pack({}))
            archives[-1].seek(0)
        printed = stack.enter_context((log or Path(os.devnull)).open("ab"))
        with theirs:
            process = _start(theirs)
        stack.callback(_end, process)
        handles = [file.fileno() for file in (made, printed, *archives)]
        socket.send_fds(control, [json.dumps(_plan(errand, stage)).encode()], handles)
        told = await _talk(control, on_door, errand.time_s)
        made.seek(0)
        return _made(told, made.read())


def _start(theirs: socket.socket) -> subprocess.Popen[bytes]:
    boot = (
        f"import sys; sys.path.append({str(CODE)!r}); "
        f"from verifiers.sandbox.errand_jail import main; main({theirs.fileno()})"
    )
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", boot],
        env={}, pass_fds=[theirs.fileno()], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _end(process: subprocess.Popen[bytes]) -> None:
    """The keeper dies, PID 1 with it, and with that everything in the jail."""
    process.kill()
    process.wait()


def _plan(errand: Errand, stage: str) -> dict[str, Any]:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": HOME, "LANG": "C.UTF-8", "USER": "agent",
        **errand.environment,
    }  # fmt: skip
    return {
        "command": list(errand.command), "environment": environment, "problem": errand.problem,
        "shown": [str(Path(path).absolute()) for path in errand.shown], "stage": stage,
        "folders": [WORK, *errand.folders], "output": errand.output,
        "port": errand.port, "uid": FIRST_UID + errand.slot % UIDS, "time_s": errand.time_s,
        "memory_mb": errand.memory_mb, "disk_mb": errand.disk_mb, "tree_mb": errand.tree_mb,
        "processes": errand.processes, "output_mb": errand.output_mb, "filter": _filter(),
    }  # fmt: skip


def _filter() -> str:
    """System calls that no agent needs and that reach far into the kernel, refused."""
    name = machine()
    numbers = NUMBERS[name]
    rules = {numbers[call]: Rule(errno=_EPERM) for call in _DENIED if call in numbers}
    rules |= {number: Rule(errno=_EPERM) for number in (*_IO_URING, *_NEW_MOUNT_CALLS)}
    rules[_CLONE3] = Rule(errno=_ENOSYS)
    rules[numbers["clone"]] = Rule((Check("without", 0, (CLONE_NEWUSER,)),))
    allow = b"\x06\x00\x00\x00" + ALLOW.to_bytes(4, "little")
    return (assemble(name, rules, {}) + allow).hex()


async def _talk(
    control: socket.socket, on_door: Callable[[socket.socket], Any] | None, time_s: float
) -> dict[str, Any]:
    """What PID 1 says at the end; raises SandboxFault."""
    loop = asyncio.get_running_loop()
    patience_s = _START_S
    while True:
        try:
            async with asyncio.timeout(patience_s):
                await _readable(loop, control)
        except TimeoutError:
            raise SandboxFault("the jail did not answer in time") from None
        message, handles, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not message:
            raise SandboxFault("the jail ended before its command did")
        told: dict[str, Any] = json.loads(message)
        if "fault" in told:
            raise SandboxFault(f"the jail could not be set up: {told['fault']}")
        if "door" in told:
            door = socket.socket(fileno=handles[0])
            if on_door is None:
                door.close()
            elif asyncio.iscoroutine(answer := on_door(door)):
                await answer
        elif "ready" in told:
            patience_s = time_s + _START_S
        else:
            return told


async def _readable(loop: asyncio.AbstractEventLoop, control: socket.socket) -> None:
    ready = asyncio.Event()
    loop.add_reader(control.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(control.fileno())


def _made(told: dict[str, Any], data: bytes) -> Made:
    status = told["status"]
    code = os.waitstatus_to_exitcode(status) if not told["why"] else 137
    size = told["output_bytes"]
    output = None if size is None else data[len(data) - size :]
    return Made(
        status=128 - code if code < 0 else code,
        timed_out=told["why"] == "timeout",
        output=output,
        tree=data if size is None else data[: len(data) - size],
        left_out=told["left_out"],
        wall_s=told["wall_s"],
    )
