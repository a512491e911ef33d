"""Cells in containers: Docker, Podman, and gVisor as a runtime of either; one container per cell.

The container is the jail: no network, no capability, a read-only file tree that holds mounts of the
interpreter's libraries and a small writable /tmp, limits on memory and processes, an unprivileged
user. The cell confines itself inside as in every tier. Its image is empty, made here without any
registry; its process calls back over a socket, by which descriptors pass as in other tiers. It ends
when that socket closes, so a container outlives neither its cell nor a killed parent.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import os
import resource
import secrets
import shutil
import socket
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from verifiers.sandbox.bubblewrap import CODE
from verifiers.sandbox.confine import NOBODY, Confinement
from verifiers.sandbox.jail import inside
from verifiers.sandbox.limits import NoSandbox, SandboxFault

DOOR = "/door"
_SHARED_MEMORY = "/dev/shm"
_RUNSC = ("runsc", "gvisor")
_RIGHTS_OF_ZYGOTE = ("SETUID", "SETGID", "KILL", "DAC_OVERRIDE", "FOWNER")
_OWN_MEMORY_MB, _OWN_TASKS = 256, 8
_FILES, _TASKS, _TASKS_OF_GVISOR = 1024, 30_000, 2000

BOOT = (
    "import sys; from _socket import AF_UNIX, SOCK_SEQPACKET, socket; sys.path.append({root!r}); "
    "from verifiers.sandbox.zygote import main; "
    "door = socket(AF_UNIX, SOCK_SEQPACKET); door.connect({door!r}); "
    "main(door.detach())"
)


@lru_cache(maxsize=4)
def engine_of(tier: str) -> list[str]:
    """The engine's command and the options that choose its runtime. NoSandbox where none is."""
    wanted = (tier,) if tier != "gvisor" else ("docker", "podman")
    found = [name for name in wanted if shutil.which(name)]
    reasons = [f"{name} is not installed" for name in wanted if name not in found]
    for name in found:
        answer = _ask([name, "info", "--format", "{{json .}}"])
        if answer.returncode != 0:
            reasons.append(f"`{name} info` says: {_last_line(answer.stderr)}")
        elif tier != "gvisor":
            return [name, "run", *_fitting_runtime(name, answer.stdout)]
        elif runtime := _runsc(name, answer.stdout):
            return runtime
        else:
            reasons.append(f"{name} has no runtime runsc")
    advice = {
        "docker": "start Docker, or use `sandbox` podman",
        "podman": "apt-get install podman",
        "gvisor": "install runsc; for Docker name it in /etc/docker/daemon.json as a runtime "
        'with "runtimeArgs": ["--network=none", "--host-uds=open"]',
    }[tier]
    raise NoSandbox(f"`sandbox` {tier} does not work here ({'; '.join(reasons)}): {advice}")


def _ask(command: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, b"", b"no answer within a minute")


def _last_line(text: bytes) -> str:
    return (text.strip() or b"nothing").rsplit(b"\n", 1)[-1].decode("utf-8", "replace")[:300]


def _fitting_runtime(name: str, info: bytes) -> list[str]:
    """Podman's crun refuses hosts that mount both versions of cgroups; runc takes them."""
    hybrid = Path("/sys/fs/cgroup/unified").is_dir()
    uses_crun = name == "podman" and b'"crun"' in info
    return ["--runtime", "runc"] if hybrid and uses_crun and shutil.which("runc") else []


def _runsc(name: str, info: bytes) -> list[str]:
    """The command that runs a container under gVisor; empty where this engine cannot."""
    if name == "podman":
        path = shutil.which("runsc")
        flags = ["--runtime-flag", "network=none", "--runtime-flag", "host-uds=open"]
        return [name, "--runtime", path, *flags, "run"] if path else []
    try:
        runtimes = json.loads(info).get("Runtimes") or {}
    except (ValueError, AttributeError):
        return []
    known = next((runtime for runtime in _RUNSC if runtime in runtimes), None)
    return [name, "run", "--runtime", known] if known else []


class Container:
    """One cell's container; `close` removes it whatever state it is in."""

    def __init__(self, plan: Confinement, python: str) -> None:
        self.plan, self.python = plan, python
        self.name = f"orch-cell-{os.getpid()}-{secrets.token_hex(6)}"
        self.peer = 0
        """The pid of the cell's first process, as the host sees it."""
        self._engine = engine_of(plan.tier)
        self._place = Path(tempfile.mkdtemp(prefix="orch-door-"))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        self._listener.bind(str(self._place / "door"))
        # Only this user may enter the directory; the container is given the socket by itself.
        (self._place / "door").chmod(0o666)
        self._listener.listen(1)

    def command(self) -> list[str]:
        """The engine's command line, to be followed by the interpreter's. SandboxFault says why
        the image could not be made."""
        links = _links(self.plan)
        if self.plan.tier != "gvisor":
            links["/tmp"] = _SHARED_MEMORY
        image = _image(self._engine[0], links)
        return [*self._engine, *self._options(), *self._mounts(set(links)), image]

    def _options(self) -> list[str]:
        plan, uid = self.plan, NOBODY if self.plan.uid is None else self.plan.uid
        memory = f"{2 * plan.memory_mb + plan.disk_mb + _OWN_MEMORY_MB}m"
        words = ["--rm", "--name", self.name, "--network", "none", "--read-only"]
        words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        # What the host counts under gVisor is the threads of its kernel.
        own = _OWN_TASKS if plan.tier != "gvisor" else _TASKS_OF_GVISOR
        words += ["--pids-limit", str(plan.processes + own)]
        words += ["--memory", memory, "--memory-swap", memory]
        words += [f"--ulimit=nofile={_FILES}:{_FILES}", f"--ulimit=nproc={_tasks()}:{_tasks()}"]
        if plan.tier == "gvisor":
            words += ["--ipc", "none"]
            words += ["--tmpfs", f"/tmp:rw,nosuid,nodev,mode=1777,size={plan.disk_mb}m"]
            # Rights over gVisor's own kernel, with which the zygote makes samples another user's.
            words += [f"--cap-add={name}" for name in _RIGHTS_OF_ZYGOTE]
            uid = 0
        else:
            words += ["--shm-size", f"{plan.disk_mb}m"]
        words += ["--user", f"{uid}:{uid}", "--workdir", "/"]
        words += ["--hostname", "cell", "--log-driver", "none", "--pull", "never"]
        words += ["--env", "PYTHONHASHSEED=0", "--env", "LANG=C.UTF-8"]
        if self._engine[0] == "podman":
            # Else Podman puts writable directories of its own beside ours.
            words += ["--read-only-tmpfs=false", "--no-hosts"]
        return words

    def _mounts(self, links: set[str]) -> list[str]:
        plan = self.plan
        executable = os.path.realpath(self.python)
        shown = [p for p in (*plan.bind, *plan.execute) if p not in links and os.path.exists(p)]
        shown = _topmost(shown)
        extra = [p for p in (*plan.extra, str(CODE), executable) if os.path.exists(p)]
        extra = [p for p in _topmost(extra) if not _covered(p, shown, plan.hide)]
        words = ["--mount", f"type=bind,source={self._place / 'door'},target={DOOR}"]
        for path in dict.fromkeys((*shown, *extra)):
            words += ["--mount", _fields("type=bind", f"source={path}", f"target={inside(path)}",
                                         "readonly")]  # fmt: skip
        empty = "rw,nosuid,nodev,noexec,size=1m,mode=0755"
        empty += ",notmpcopyup" if self._engine[0] == "podman" else ""
        for path in plan.hide:
            if path not in extra:
                words += ["--tmpfs", f"{inside(path)}:{empty}"]
        return words

    async def accept(
        self, process: subprocess.Popen[bytes], said: int, patience_s: float
    ) -> socket.socket:
        """The cell's call. SandboxFault, with what the engine wrote to `said`, where none comes."""
        loop = asyncio.get_running_loop()
        end = loop.time() + patience_s
        while loop.time() < end:
            try:
                control, _ = self._listener.accept()
            except BlockingIOError:
                if process.poll() is not None:
                    break
                await asyncio.sleep(0.02)
                continue
            control.setblocking(False)
            size = struct.calcsize("3i")
            peer = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            self.peer = struct.unpack("3i", peer)[0]
            return control
        told = _last_line(os.pread(said, 10_000, 0))
        raise SandboxFault(f"the container did not start: {self._engine[0]} says {told}")

    async def remove(self) -> None:
        """End the container by force, if it is still there."""
        engine = await asyncio.create_subprocess_exec(
            self._engine[0], "rm", "-f", self.name,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        await engine.wait()

    def close(self) -> None:
        """Close the socket and remove its directory. Safe to call again."""
        self._listener.close()
        shutil.rmtree(self._place, ignore_errors=True)


def _tasks() -> int:
    """A limit that an engine without CAP_SYS_RESOURCE may set too; its own default may not be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    return _TASKS if hard == resource.RLIM_INFINITY else min(hard, _TASKS)


def seen_from_inside(plan: Confinement) -> Confinement:
    """The plan with its scratch directory as it is in a container.

    /tmp points to the directory of shared memory, so that semaphores and files share one size;
    gVisor puts a directory of its own there.
    """
    return plan._replace(scratch="/tmp" if plan.tier == "gvisor" else _SHARED_MEMORY)


def _topmost(paths: Sequence[str]) -> list[str]:
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path == other or path.startswith(other.rstrip("/") + "/") for other in kept):
            kept.append(path)
    return kept


def _covered(path: str, shown: Sequence[str], hide: Sequence[str]) -> bool:
    """Whether a mount shows `path` already, with nothing put over it."""

    def below(top: str) -> bool:
        return path == top or path.startswith(top.rstrip("/") + "/")

    # What lies under /tmp is shown elsewhere, each by itself.
    return any(map(below, shown)) and not any(map(below, hide)) and inside(path) == path


def _fields(*fields: str) -> str:
    """The fields of --mount, quoted as CSV where a path needs it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def _links(plan: Confinement) -> dict[str, str]:
    paths = dict.fromkeys((*plan.bind, *plan.execute))
    return {path: os.readlink(path) for path in paths if os.path.islink(path)}


def _image(engine: str, links: dict[str, str]) -> str:
    """The name of an image that holds empty directories and these links, made if need be."""
    archive = _archive(links)
    name = f"localhost/orch-cell:{hashlib.sha256(archive).hexdigest()[:16]}"
    if _ask([engine, "image", "inspect", name]).returncode != 0:
        made = _ask([engine, "import", "-", name], archive)
        if made.returncode != 0:
            raise SandboxFault(f"{engine} cannot make an image: {_last_line(made.stderr)}")
    return name


def _archive(links: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name in ("dev", "etc", "proc", "sys", "usr", "shared", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            if f"/{name}" not in links:
                tar.addfile(entry)
        for path, target in sorted(links.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return made.getvalue()
