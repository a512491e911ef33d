"""The inside of an errand: a whole command in a jail of namespaces, run by a small first process.

Started by errand.py in an interpreter of its own, with one socket. It makes the namespaces (its
own users where it is not root, mounts, processes, network), opens the one door of the network
where it is asked for, and becomes two processes: the keeper, and PID 1 of the jail. PID 1 builds
the file tree, unpacks the work tree, starts the command as an unprivileged user without any
capability, and kills whatever is left when the command ends, when its time is over or when the
other side of the socket closes. Only then does it read what was made. It dies with its starter.

Unlike a sample's cell this shows /usr and lets programs be started: agents are made of programs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
import stat
import struct
import tarfile
import time
from typing import Any

from verifiers.sandbox import kernel as k

WORK, DESK, HOME = "/agent/work", "/agent/desk", "/agent/home"
SHOWN = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt")
_ETC = ("ld.so.cache", "alternatives", "ssl", "ca-certificates", "localtime", "mime.types")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_TEXTS = {
    "passwd": "root:x:0:0::/:/bin/sh\nagent:x:{uid}:{uid}::/agent/home:/bin/sh\n",
    "group": "root:x:0:\nagent:x:{uid}:\n",
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_PDEATHSIG, _SIOCSIFFLAGS, _IFF_UP = 1, 0x8914, 1
_LOOK_S = 0.02
_MIB = 1 << 20


def main(control_fd: int) -> None:
    """Entry point of the jail's interpreter; never returns."""
    control = socket.socket(fileno=control_fd)
    message, handles, _, _ = socket.recv_fds(control, 1 << 24, 16)
    plan = json.loads(message)
    try:
        _keeper(control, plan, handles)
    except OSError as fault:
        _say(control, {"fault": str(fault)})
        os._exit(1)
    os._exit(0)


def _say(control: socket.socket, words: dict[str, Any], handles: tuple[int, ...] = ()) -> None:
    with contextlib.suppress(OSError):
        socket.send_fds(control, [json.dumps(words).encode()], list(handles))


def _keeper(control: socket.socket, plan: dict[str, Any], handles: list[int]) -> None:
    kernel = k.Kernel()
    kernel.prctl(_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    flags = k.CLONE_NEWIPC | k.CLONE_NEWUTS | k.CLONE_NEWNS | k.CLONE_NEWPID | k.CLONE_NEWNET
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        kernel.unshare(flags)
    else:
        kernel.unshare(flags | k.CLONE_NEWUSER)
        rows = (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"))
        for name, row in rows:
            with open(f"/proc/self/{name}", "w") as file:
                file.write(row)
        plan["uid"] = uid
    _raise_loopback()
    if plan["port"]:
        door = socket.socket()
        door.bind(("127.0.0.1", plan["port"]))
        door.listen(128)
        _say(control, {"door": True}, (door.fileno(),))
        door.close()
    first = os.fork()
    if first == 0:
        try:
            kernel.prctl(_PDEATHSIG, signal.SIGKILL)
            _first(control, kernel, plan, handles)
        except BaseException as fault:
            _say(control, {"fault": f"{type(fault).__name__}: {fault}"})
            os._exit(1)
        os._exit(0)
    control.close()
    os.waitpid(first, 0)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", _IFF_UP)
        fcntl.ioctl(any_socket.fileno(), _SIOCSIFFLAGS, request)


def _first(
    control: socket.socket, kernel: k.Kernel, plan: dict[str, Any], handles: list[int]
) -> None:
    """PID 1 of the jail."""
    made, log, *archives = handles
    _build(kernel, plan)
    for folder, archive in zip(plan["folders"], archives, strict=True):
        with os.fdopen(archive, "rb") as file, tarfile.open(fileobj=file) as tar:
            tar.extractall(folder, filter="data")
    _hand_over(plan["uid"], plan["folders"])
    _say(control, {"ready": True})
    started = time.monotonic()
    command = os.fork()
    if command == 0:
        _become(kernel, plan, log)
    status, why = _watch(control, command, started + plan["time_s"])
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    wall_s = time.monotonic() - started
    output = left_in(plan["output"], plan["output_mb"])
    with os.fdopen(made, "wb") as result:
        left_out = _pack(result, plan["tree_mb"] * _MIB)
        result.write(output or b"")
    _say(control, {
        "status": status, "why": why, "wall_s": wall_s, "left_out": left_out,
        "output_bytes": None if output is None else len(output),
    })  # fmt: skip


def _build(kernel: k.Kernel, plan: dict[str, Any]) -> None:
    stage, uid = plan["stage"], plan["uid"]
    flags = k.MS_NOSUID | k.MS_NODEV
    kernel.mount("none", "/", None, k.MS_REC | k.MS_PRIVATE)
    kernel.mount("none", stage, "tmpfs", flags, "mode=0755,size=4m")
    for path in SHOWN:
        _show(kernel, stage, path)
    os.makedirs(f"{stage}/etc", exist_ok=True)
    for name in _ETC:
        _show(kernel, stage, f"/etc/{name}")
    for name, text in _TEXTS.items():
        with open(f"{stage}/etc/{name}", "w") as file:
            file.write(text.format(uid=uid))
    for name in _DEVICES:
        _show(kernel, stage, f"/dev/{name}", sealed=False)
    for name in ("proc", ".old"):
        os.makedirs(f"{stage}/{name}", exist_ok=True)
    writable = (*plan["folders"], "/tmp", "/dev/shm", HOME)
    sizes = {**dict.fromkeys(writable, plan["disk_mb"]), DESK: 2 * plan["output_mb"] + 16}
    for path, size_mb in sizes.items():
        os.makedirs(stage + path, exist_ok=True)
        kernel.mount(
            "none", stage + path, "tmpfs", flags, f"mode=0755,size={size_mb * _MIB},nr_inodes=200k"
        )
    for path in plan["shown"]:  # also below /tmp
        _show(kernel, stage, path)
    kernel.mount("none", f"{stage}/proc", "proc", flags | k.MS_NOEXEC)
    with open(f"{stage}{DESK}/problem.md", "w", encoding="utf-8") as file:
        file.write(plan["problem"])
    os.chdir(stage)
    kernel.pivot_root(".", ".old")
    os.chdir("/")
    kernel.umount_detached("/.old")
    os.rmdir("/.old")
    kernel.mount("none", "/", None, k.MS_REMOUNT | k.MS_RDONLY | flags)
    os.environ.clear()


def _show(kernel: k.Kernel, stage: str, path: str, *, sealed: bool = True) -> None:
    """A path of the host's, read-only, at the same place."""
    target = stage + path
    if os.path.lexists(target) or not os.path.lexists(path):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.makedirs(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(path, target, None, k.MS_BIND | k.MS_REC)
    if sealed:
        kernel.seal_mount(target)


def _hand_over(uid: int, folders: list[str]) -> None:
    """Give what may be written to the command's user."""
    for top in (*folders, "/tmp", HOME, DESK, "/dev/shm"):
        os.chown(top, uid, uid)
    os.chown(f"{DESK}/problem.md", uid, uid)
    for top in folders:
        for place, inner, files in os.walk(top):
            for name in (*inner, *files):
                os.chown(f"{place}/{name}", uid, uid, follow_symlinks=False)


def _become(kernel: k.Kernel, plan: dict[str, Any], log: int) -> None:
    """The command itself; never returns."""
    try:
        os.setsid()
        empty = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((empty, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.closerange(3, 1 << 16)
        _limit(plan)
        uid = plan["uid"]
        if os.getuid() != uid:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        kernel.prctl(k.PR_SET_NO_NEW_PRIVS, 1)
        kernel.drop_capabilities()
        if plan["filter"]:
            kernel.seccomp(bytes.fromhex(plan["filter"]))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(WORK)
        os.execvpe(plan["command"][0], plan["command"], plan["environment"])
    except BaseException as fault:
        os.write(2, f"{plan['command'][0]}: {fault}\n".encode())
    os._exit(127)


def _limit(plan: dict[str, Any]) -> None:
    memory, size = plan["memory_mb"] * _MIB, plan["disk_mb"] * _MIB
    for kind, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NPROC, plan["processes"]),
        (resource.RLIMIT_FSIZE, size),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 4096),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _watch(control: socket.socket, command: int, deadline: float) -> tuple[int, str]:
    """Wait status of the command, and why it was ended; "" where it ended by itself."""
    while True:
        # Orphans of the command come to PID 1 as well.
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == command:
                    return status, ""
                if pid == 0:
                    break
        if time.monotonic() > deadline:
            return 0, "timeout"
        if select.select([control], [], [], _LOOK_S)[0]:
            return 0, "ended"


def left_in(path: str | os.PathLike[str], most_mb: int) -> bytes | None:
    """What a command left there, up to so much; None where that is no plain file.

    Whoever wrote it may have made its name a link, a pipe, or a folder.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(most_mb * _MIB)


def _pack(file: Any, most: int) -> int:
    """Write the work tree as a tar, without `.git`; returns how many files did not fit."""
    total = left_out = 0
    with tarfile.open(fileobj=file, mode="w") as tar:
        for place, folders, names in os.walk(WORK):
            folders[:] = [name for name in folders if name != ".git"]
            for name in names:
                path = f"{place}/{name}"
                found = os.lstat(path)
                if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
                    continue
                if total + found.st_size > most:
                    left_out += 1
                    continue
                total += found.st_size
                with contextlib.suppress(OSError):
                    tar.add(path, path[len(WORK) + 1 :], recursive=False)
    return left_out
