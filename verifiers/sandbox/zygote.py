"""The cell's resident process: confines itself, then forks one sample at a time.

It is blind: an empty environment, no test, no secret, no earlier sample in its memory; it passes
descriptors on and never reads them. It is as weak as the samples it forks, so a fork needs no
further confinement. Everything of a sample is dead and its scratch directory empty before the
next one is taken. It ends when its parent's end of the control socket closes.

    parent --(limits; descriptors)--> zygote --fork--> sample
    parent <--(status, usage, dirty)-- zygote

Two processes belong to a cell: the keeper, which waits for the zygote and sweeps up after its
death, and the zygote, which is PID 1 of the cell's pid namespace where there is one.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import struct
import sys
import time
from _socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket
from collections.abc import Callable, Sequence
from typing import Any

from verifiers.sandbox import asking, child, hugepages, jail, memory, modes, rehearsal, whole  # noqa: F401
from verifiers.sandbox.confine import (
    CONTAINERS,
    Confinement,
    close_the_door,
    give_up_privileges,
    ruleset,
    scope_only,
    set_limits,
)
from verifiers.sandbox.kernel import PR_SET_CHILD_SUBREAPER, Kernel

JOB = struct.Struct("<dIB")
"""CPU seconds; seconds after which the zygote itself kills, should its parent hang; open files."""
REPLY = struct.Struct("<iddddIB")
"""Wait status; wall, user and system seconds; start (monotonic); peak KiB; flags."""
KILLED, DIRTY = 1, 2
KILL = b"K"
_ASK_AGAIN_MS, _MOST_DESCRIPTORS = 2, 250
_FilterMaker = Callable[[], bytes] | None


def main(control_fd: int) -> None:
    """Entry point of the cell's interpreter; never returns."""
    control = socket(fileno=control_fd)
    values = json.loads(control.recv(1 << 20))
    frozen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    plan = Confinement(**frozen)
    try:
        _split(control, plan)
    except OSError as fault:
        control.send(json.dumps({"fault": str(fault)}).encode())
        os._exit(1)
    os._exit(0)


def _split(control: socket, plan: Confinement) -> None:
    """Become keeper and zygote."""
    kernel = Kernel()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir("/")
    abi = min(kernel.landlock_abi(), plan.landlock_at_most)
    jailed = plan.tier == "namespaces"
    if jailed:
        jail.enter_namespaces(kernel, plan)
    elif plan.uid is None and plan.has("scope"):
        kernel.prctl(38, 1)
        scope_only(kernel, abi)
    if os.getpid() == 1 and plan.tier in CONTAINERS:
        _be_zygote(control, kernel, plan, abi)  # orphans come to it, and the engine sweeps up
    kernel.prctl(PR_SET_CHILD_SUBREAPER, 1)
    zygote = os.fork()
    if zygote == 0:
        os.setsid()
        kernel.prctl(PR_SET_CHILD_SUBREAPER, 1)  # not inherited; orphans of samples come to us
        _be_zygote(control, kernel, plan, abi)
    control.send(json.dumps({"zygote": zygote}).encode())
    control.close()
    os.waitpid(zygote, 0)
    if not plan.own_pids():
        _sweep_after_death(plan, abi)


def _be_zygote(control: socket, kernel: Kernel, plan: Confinement, abi: int) -> None:
    """Serve samples until the parent is gone; never returns."""
    try:
        _become_zygote(control, kernel, plan, abi)
    except BaseException as fault:
        control.send(json.dumps({"fault": f"{type(fault).__name__}: {fault}"}).encode())
        os._exit(1)
    os._exit(0)


def _sweep_after_death(plan: Confinement, abi: int) -> None:
    """End what a dead zygote left running, where no pid namespace did so already."""
    if plan.uid is not None:
        sweeper = os.fork()
        if sweeper == 0:
            os.setresuid(plan.uid, plan.uid, plan.uid)
            _kill_all()
            os._exit(0)
    elif abi >= 6 and plan.has("scope"):
        _kill_all()
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


def _kill_all() -> bool:
    """SIGKILL, in one step that no fork can outrun, everything that this process may signal.

    Whether it may be that there was something; what has ended and is not reaped counts too.
    """
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # nothing that may be signalled was left
    return True


def _become_zygote(control: socket, kernel: Kernel, plan: Confinement, abi: int) -> None:
    own_status = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    huge_pages = hugepages.spread_code(kernel)
    processes = None
    jailed = plan.tier == "namespaces"
    if jailed and plan.has("mounts"):
        processes = jail.build_root(kernel, plan)
        plan = plan._replace(
            read=tuple(map(jail.inside, plan.read)),
            names=tuple(map(jail.inside, plan.names)),
            execute=tuple(map(jail.inside, plan.execute)),
            python_path=tuple(map(jail.inside, plan.python_path)),
            scratch=jail.SCRATCH,
        )
    if plan.jailed_by_others() and plan.has("watch"):
        processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if not plan.changes_uid_per_sample():
        give_up_privileges(kernel, plan)
    signals = None
    if not plan.own_pids() and abi < 6:
        signals = _signal_filter_maker(kernel, plan)
    _warm_up(plan)
    kernel.one_malloc_arena()
    base = int(os.pread(own_status, 100, 0).split()[0]) * os.sysconf("SC_PAGE_SIZE")
    os.close(own_status)
    forks = plan.own_pids() or plan.uid is not None or abi >= 6
    nested = -1
    if not jailed and abi >= 6 and plan.has("scope") and plan.has("landlock"):
        nested = ruleset(kernel, plan, abi)
    os.chdir(plan.scratch)
    set_limits(plan, base)
    if not plan.changes_uid_per_sample():
        close_the_door(kernel, plan, abi)
    ready = {
        "ready": os.getpid(),
        "landlock": abi,
        "forks": forks,
        "proc": processes is not None,
        "scratch": plan.scratch,
        "base_mb": base >> 20,
        "huge_pages": huge_pages,
    }
    handles = [processes] if processes is not None else []
    _send(control, json.dumps(ready).encode(), handles)
    for handle in handles:
        os.close(handle)
    held = memory.settle(kernel)
    _Zygote(control, kernel, plan, nested, signals).serve()
    held.clear()


def _signal_filter_maker(kernel: Kernel, plan: Confinement) -> _FilterMaker:
    """Makes, in a sample's process, the filter that keeps its signals in (for old kernels)."""
    from verifiers.sandbox.policy import CellForm, signal_filter

    def make() -> bytes:
        only = os.getpid() if plan.uid is None else None
        never = (os.getppid(), -os.getppid(), -1) if only is None else ()
        form = CellForm(signal_only=only, signal_never=never, forks=only is None)
        return signal_filter(kernel.machine, form)

    return make


def _warm_up(plan: Confinement) -> None:
    """Import and run once what every sample needs, so that no sample pays for it."""
    sys.orig_argv[:] = ["python"]
    os.environ.clear()
    os.environ.update(child.ENVIRONMENT, HOME=plan.scratch, TMPDIR=plan.scratch)
    sys.path[:] = [p for p in sys.path if p != _code_root()] + list(plan.python_path)
    for old, new in zip(plan.moved[::2], plan.moved[1::2], strict=True):
        for paths in (sys.path, *(getattr(m, "__path__", []) for m in list(sys.modules.values()))):
            if isinstance(paths, list):
                paths[:] = [new + p[len(old) :] if _below(p, old) else p for p in paths]
    child.forget_ourselves()
    for name in plan.preload:
        _import_quietly(name)
    for entry in plan.warm:
        module, _, function = entry.partition(":")
        child.resolve(importlib.import_module(module), function)()
    rehearsal.rehearse()


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _import_quietly(name: str) -> None:
    """Import a module; `random` without its handler that reseeds after every fork.

    That handler would cost every sample more than many samples themselves do.
    """
    if name != "random":
        importlib.import_module(name)
        return
    register = os.register_at_fork
    os.register_at_fork = lambda **_: None
    try:
        importlib.import_module(name)
    finally:
        os.register_at_fork = register


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")


def _code_root() -> str:
    here = os.path.abspath(__file__)
    return os.path.dirname(os.path.dirname(os.path.dirname(here)))


def _send(control: socket, message: bytes, handles: Sequence[int]) -> None:
    """Send a message with descriptors. Not by `socket`, whose size every fork would pay for."""
    packed = struct.pack(f"{len(handles)}i", *handles)
    control.sendmsg([message], [(SOL_SOCKET, SCM_RIGHTS, packed)] if handles else [])


def _receive(control: socket) -> tuple[bytes, list[int]]:
    message, more, _, _ = control.recvmsg(64, CMSG_SPACE(4 * _MOST_DESCRIPTORS))
    handles: list[int] = []
    for level, kind, data in more:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            handles += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
    return message, handles


class _Zygote:
    def __init__(
        self, control: socket, kernel: Kernel, plan: Confinement, nested: int, signals: _FilterMaker
    ) -> None:
        self.control, self.kernel, self.plan, self.nested = control, kernel, plan, nested
        self.signals = signals
        self.kill_all = plan.kill_reaches_only_the_cell(scoped=nested >= 0)
        self.scratch_mode = os.stat(plan.scratch).st_mode
        self.poller = select.poll()
        self.poller.register(control.fileno(), select.POLLIN)

    def serve(self) -> None:
        """Take jobs until the parent is gone."""
        while True:
            message, handles = _receive(self.control)
            if not message:
                return
            if len(message) != JOB.size:
                continue  # a kill that crossed the end of its sample
            cpu_s, hard_s, _count = JOB.unpack(message)
            self.control.send(self.one(handles, cpu_s, hard_s))

    def one(self, handles: list[int], cpu_s: float, hard_s: int) -> bytes:
        """Run one sample to its end and sweep; returns the reply."""
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._become_sample(handles, cpu_s)
        for handle in handles:
            os.close(handle)
        killed = self._wait(pid, hard_s)
        _, status, usage = os.wait4(pid, 0)
        wall_s = time.monotonic() - started
        user_s, system_s, peak = usage.ru_utime, usage.ru_stime, usage.ru_maxrss
        more_user_s, more_system_s, more_peak = self._sweep()
        flags = (KILLED if killed else 0) | (0 if self._scratch_is_clean() else DIRTY)
        return REPLY.pack(
            status, wall_s, user_s + more_user_s, system_s + more_system_s, started,
            max(peak, more_peak), flags,
        )  # fmt: skip

    def _become_sample(self, handles: list[int], cpu_s: float) -> None:
        try:
            self.control.close()
            os.setsid()
            if self.nested >= 0:
                self.kernel.landlock_enter(self.nested)
                os.close(self.nested)
            if self.signals is not None:
                self.kernel.prctl(1, signal.SIGKILL)
                self.kernel.seccomp(self.signals())
            if self.plan.changes_uid_per_sample():
                give_up_privileges(self.kernel, self.plan)
                close_the_door(self.kernel, self.plan, 0)
            self.kernel.prctl(4, 1)  # its memory use may be read by the parent
            child.main(handles, cpu_s if self.plan.has("cpu") else 0.0, self.plan)
        finally:
            os._exit(125)

    def _wait(self, pid: int, hard_s: int) -> bool:
        """Until the sample ends, or is killed: on the parent's word, at its death, or too late."""
        try:
            ended = os.pidfd_open(pid)
        except OSError:
            ended = -1  # gVisor has none: it is asked again and again
        if ended >= 0:
            self.poller.register(ended, select.POLLIN)
        killed = False
        deadline = time.monotonic() + hard_s
        try:
            while True:
                left_ms = max(0.0, deadline - time.monotonic()) * 1000
                patience_ms = None if killed else left_ms
                if ended < 0:
                    patience_ms = _ASK_AGAIN_MS
                ready = [handle for handle, _ in self.poller.poll(patience_ms)]
                if ended in ready or (ended < 0 and _has_ended(pid)):
                    return killed
                if not ready and ended < 0 and time.monotonic() < deadline:
                    continue
                if self.control.fileno() in ready and not self.control.recv(64):
                    self._kill(pid)
                    os._exit(0)
                killed = True
                self._kill(pid)
        finally:
            if ended >= 0:
                self.poller.unregister(ended)
                os.close(ended)

    def _kill(self, pid: int) -> None:
        if self.kill_all:
            _kill_all()
        else:
            os.kill(pid, signal.SIGKILL)

    def _sweep(self) -> tuple[float, float, int]:
        """End and reap every other process of the sample; their user, system seconds and peak."""
        user_s = system_s = 0.0
        peak = 0
        # gVisor's kill of everything can be outrun by a fork.
        again = self.plan.changes_uid_per_sample()
        if self.kill_all and not _kill_all() and self.plan.own_pids() and not again:
            return user_s, system_s, peak
        while True:
            try:
                pid, _, usage = os.wait4(-1, os.WNOHANG if again else 0)
            except ChildProcessError:
                return user_s, system_s, peak
            if pid == 0:
                time.sleep(_ASK_AGAIN_MS / 1000)
                self._kill(-1)
                continue
            user_s += usage.ru_utime
            system_s += usage.ru_stime
            peak = max(peak, usage.ru_maxrss)

    def _scratch_is_clean(self) -> bool:
        scratch = self.plan.scratch
        try:
            if os.listdir(scratch):
                child.empty_directory(scratch)
            return os.stat(scratch).st_mode == self.scratch_mode
        except OSError:
            return False  # the parent replaces a cell that cannot clean up
