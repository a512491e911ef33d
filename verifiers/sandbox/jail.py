"""A jail of namespaces, built by the cell's own process before it confines itself.

As root the namespaces are made with root's own rights and the process becomes the slot's uid
later; as a plain user they belong to a user namespace in which it keeps its uid. Inside there are
the interpreter's libraries (read-only), four device files, and one small writable tmpfs on /tmp:
no /proc, no /etc, no home, no network, no other process.
"""

from __future__ import annotations

import os

from verifiers.sandbox import kernel as k
from verifiers.sandbox.confine import MEBIBYTE, READABLE_DEVICES, Confinement

SCRATCH = "/tmp"
_STAGE = "/tmp"  # hidden by the new root while it is built, inside our own mount namespace only


def enter_namespaces(kernel: k.Kernel, plan: Confinement) -> None:
    """Unshare everything that the plan's layers name; a later fork enters the pid namespace."""
    flags = k.CLONE_NEWIPC | k.CLONE_NEWUTS | k.CLONE_NEWCGROUP
    flags |= k.CLONE_NEWNS if plan.has("mounts") else 0
    flags |= k.CLONE_NEWPID if plan.has("pids") else 0
    flags |= k.CLONE_NEWNET if plan.has("network") else 0
    uid, gid = os.getuid(), os.getgid()
    if plan.uid is not None:
        kernel.unshare(flags)
        return
    kernel.unshare(flags | k.CLONE_NEWUSER)
    rows = (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"))
    for name, row in rows:
        with open(f"/proc/self/{name}", "w") as file:
            file.write(row)


def _replicate(source: str, root: str) -> list[str]:
    """Make the empty counterpart of `source` under `root`; returns the path to bind, if any."""
    if os.path.islink(source):
        target = root + source
        if not os.path.lexists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(os.readlink(source), target)
        return []
    target = root + source
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    return [source]


def _topmost(paths: list[str]) -> list[str]:
    """Without the paths that lie below another of them."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path == other or path.startswith(other.rstrip("/") + "/") for other in kept):
            kept.append(path)
    return kept


def _bind(kernel: k.Kernel, paths: tuple[str, ...]) -> None:
    for source in _topmost([p for p in paths if os.path.lexists(p)]):
        if not _hidden(source):
            for path in _replicate(source, _STAGE):
                kernel.mount(path, _STAGE + path, None, k.MS_BIND | k.MS_REC)
                kernel.seal_mount(_STAGE + path)


def _bind_all(kernel: k.Kernel, plan: Confinement) -> None:
    _bind(kernel, (*plan.bind, *plan.execute))
    for path in plan.hide:
        if os.path.isdir(_STAGE + path):
            kernel.mount(
                "none", _STAGE + path, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=0755,size=1m"
            )
    _bind(kernel, plan.extra)
    for device in ("/dev/null", *READABLE_DEVICES):
        if os.path.exists(device):
            _replicate(device, _STAGE)
            kernel.mount(device, _STAGE + device, None, k.MS_BIND)


def _hidden(path: str) -> bool:
    return path == _STAGE or path.startswith(_STAGE + "/")


def inside(path: str) -> str:
    """Where a host path appears in the jail: what lies under /tmp moves, since /tmp is scratch."""
    return "/shared" + path if _hidden(path) else path


def _bind_hidden(kernel: k.Kernel, handles: dict[str, int]) -> None:
    """Bind the paths below /tmp itself, through descriptors opened before it was hidden."""
    for path, handle in handles.items():
        source, target = f"/proc/self/fd/{handle}", _STAGE + inside(path)
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        kernel.mount(source, target, None, k.MS_BIND | k.MS_REC)
        kernel.seal_mount(target)
        os.close(handle)


def build_root(kernel: k.Kernel, plan: Confinement) -> int | None:
    """Put the jail's file tree in place of the host's, as PID 1 of its namespaces.

    Returns a descriptor of the jail's own /proc (which only the parent will hold: it shows the
    jail's processes and no others), or None where that cannot be mounted.
    """
    kernel.mount("none", "/", None, k.MS_REC | k.MS_PRIVATE)
    under = _topmost(
        [os.path.realpath(p) for p in (*plan.bind, *plan.extra, *plan.execute) if _hidden(p)]
    )
    handles = {p: os.open(p, os.O_PATH | os.O_CLOEXEC) for p in under if os.path.lexists(p)}
    root_flags = k.MS_NOSUID | k.MS_NODEV
    kernel.mount("none", _STAGE, "tmpfs", root_flags, "mode=0755,size=1m,nr_inodes=8192")
    for name in ("proc", "tmp", "dev", ".old"):
        os.makedirs(f"{_STAGE}/{name}", exist_ok=True)
    _bind_all(kernel, plan)
    _bind_hidden(kernel, handles)
    size = f"mode=0700,size={plan.disk_mb * MEBIBYTE},nr_inodes={256 * plan.disk_mb}"
    if plan.uid is not None:
        size += f",uid={plan.uid},gid={plan.uid}"
    kernel.mount("none", _STAGE + "/tmp", "tmpfs", root_flags, size)
    os.symlink("/tmp", _STAGE + "/dev/shm")  # semaphores of multiprocessing
    processes = _open_proc(kernel)
    os.chdir(_STAGE)
    kernel.pivot_root(".", ".old")
    os.chdir("/")
    kernel.umount_detached("/.old")
    os.rmdir("/.old")
    kernel.mount("none", "/", None, k.MS_REMOUNT | k.MS_RDONLY | root_flags)
    return processes


def _open_proc(kernel: k.Kernel) -> int | None:
    try:
        kernel.mount("none", _STAGE + "/proc", "proc", k.MS_NOSUID | k.MS_NODEV | k.MS_NOEXEC)
    except OSError:
        return None  # containers that mask parts of /proc refuse a fresh one
    handle = os.open(_STAGE + "/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    kernel.umount_detached(_STAGE + "/proc")
    return handle
