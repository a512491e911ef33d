"""What a cell's process does to itself before it meets untrusted code: limits, Landlock, seccomp.

Runs inside the cell's own process, after `jail` where there is one. Order matters: the ruleset
needs open files, the filter forbids most of what comes before it. A layer whose name is missing
from `Confinement.layers` is skipped; only tests that prove a layer's worth leave one out.
"""

from __future__ import annotations

import os
import resource
from typing import NamedTuple

from verifiers.sandbox.kernel import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, Kernel

LAYERS = (
    "mounts", "pids", "network", "uid", "landlock", "scope", "seccomp",
    "memory", "processes", "files", "descriptors", "cpu", "watch", "dumpable",
)  # fmt: skip

CONTAINERS = ("docker", "podman", "gvisor")
_JAILED_BY_OTHERS = ("bubblewrap", *CONTAINERS)

NOBODY = 65534
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_FIFO = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 10
REFER, TRUNCATE = 1 << 13, 1 << 14
_ALL_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL_RIGHTS_5 = (1 << 16) - 1
_SCRATCH = (
    READ_FILE | READ_DIR | WRITE_FILE | REMOVE_DIR | REMOVE_FILE
    | MAKE_DIR | MAKE_REG | MAKE_FIFO | REFER | TRUNCATE
)  # fmt: skip
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
_TCP, _SCOPE_SOCKETS, _SCOPE_SIGNALS = 3, 1, 2

READABLE_DEVICES = ("/dev/zero", "/dev/urandom", "/dev/random")
MEBIBYTE = 1 << 20


class Confinement(NamedTuple):
    """How one cell confines itself; made by the parent, sent as JSON."""

    tier: str
    """One of `tiers.TIERS`."""
    layers: tuple[str, ...]
    uid: int | None
    """The unprivileged uid to become; None keeps the caller's."""
    bind: tuple[str, ...]
    """Directories and links that a jail shows."""
    hide: tuple[str, ...]
    """Directories below those that a jail covers with empty ones."""
    extra: tuple[str, ...]
    """Further files and directories that a jail shows, possibly below the covered ones."""
    read: tuple[str, ...]
    """Files and directories that Landlock lets be read."""
    names: tuple[str, ...]
    """Directories whose names may be listed, for Python's import system."""
    execute: tuple[str, ...]
    """Files and directories from which programs may be executed."""
    scratch: str
    """The writable directory: a mount in the jail, or a directory of the host."""
    moved: tuple[str, ...]
    """Pairs, flat: a directory of the standard library and where its copy is."""
    python_path: tuple[str, ...]
    preload: tuple[str, ...]
    warm: tuple[str, ...]
    """Trusted functions, "module:function", called once beforehand without arguments."""
    memory_mb: int
    output_mb: int
    disk_mb: int
    processes: int
    landlock_at_most: int
    """Use no more of Landlock than this version; lower than the kernel's only in tests."""
    process_allowance: int
    """Tasks that the kernel counts against the same uid without being the sample's."""
    filter: str
    """The system-call filter, in hexadecimal; the parent makes it, and no cell carries tables."""

    def has(self, layer: str) -> bool:
        return layer in self.layers

    def kill_reaches_only_the_cell(self, scoped: bool) -> bool:
        """Whether kill(-1) by the zygote can hit nothing but its own samples.

        Nothing else is worth more care here: without one of these it would end the whole session
        of the user. `scoped`: the zygote is in a Landlock domain that scopes signals.
        """
        return self.own_pids() or (self.uid is not None and self.has("uid")) or scoped

    def jailed_by_others(self) -> bool:
        """Whether another program built the jail in which the cell's first process starts."""
        return self.tier in _JAILED_BY_OTHERS

    def changes_uid_per_sample(self) -> bool:
        """Whether samples are of another uid than the zygote, and confine themselves.

        gVisor shows its /proc to samples and keeps no memory of the same uid closed.
        """
        return self.tier == "gvisor"

    def own_pids(self) -> bool:
        """Whether the cell has a pid namespace of its own."""
        return self.jailed_by_others() or (self.tier == "namespaces" and self.has("pids"))

    def own_files(self) -> bool:
        """Whether the cell has a file tree of its own."""
        return self.jailed_by_others() or (self.tier == "namespaces" and self.has("mounts"))

    def scratch_is_shared(self) -> bool:
        """Whether the scratch directory is one of the host's, so that its size must be watched."""
        return not self.own_files()


def set_limits(plan: Confinement, base_bytes: int) -> None:
    """The kernel's per-process limits; `base_bytes` is the address space already in use."""

    def limit(kind: int, value: int, may_be_raised: bool = False) -> None:
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        try:
            resource.setrlimit(kind, (value, hard if may_be_raised else value))
        except ValueError:
            if plan.tier != "gvisor":  # its kernel lacks some kinds, and bounds the whole instead
                raise

    memory = plan.memory_mb * MEBIBYTE
    if plan.has("memory"):
        # Address space is not memory: big thread stacks are reserved and never touched. What is
        # touched beyond memory_mb is seen by the parent's watch, and this bounds its overshoot.
        limit(resource.RLIMIT_AS, base_bytes + memory + memory // 2 + 64 * MEBIBYTE)
    if plan.has("processes"):
        limit(resource.RLIMIT_NPROC, plan.processes + plan.process_allowance)
    if plan.has("files"):
        limit(resource.RLIMIT_FSIZE, max(plan.output_mb, plan.disk_mb) * MEBIBYTE)
    if plan.has("descriptors"):
        limit(resource.RLIMIT_NOFILE, 256)
    # One, not zero: that also keeps the kernel from starting the host's crash handler.
    limit(resource.RLIMIT_CORE, 1)
    limit(resource.RLIMIT_MEMLOCK, 0)
    limit(resource.RLIMIT_MSGQUEUE, 0)
    # Programs for contests raise it; a stack is address space like any other.
    limit(resource.RLIMIT_STACK, 8 * MEBIBYTE, may_be_raised=True)


def _rights(path: str, rights: int) -> int:
    return rights if os.path.isdir(path) else rights & _FILE_RIGHTS


def ruleset(kernel: Kernel, plan: Confinement, abi: int) -> int:
    """A Landlock ruleset for this plan; the caller enters and closes it."""
    handled = _ALL_RIGHTS.get(abi, _ALL_RIGHTS_5)
    network = _TCP if abi >= 4 else 0
    scoped = _SCOPE_SOCKETS | _SCOPE_SIGNALS if abi >= 6 and plan.has("scope") else 0
    handle = kernel.landlock_ruleset(handled, network, scoped, abi)
    wanted = [(path, READ_FILE | READ_DIR) for path in plan.read]
    wanted += [(path, READ_DIR) for path in plan.names]
    wanted += [(path, EXECUTE | READ_FILE | READ_DIR) for path in plan.execute]
    wanted += [(path, READ_FILE) for path in READABLE_DEVICES]
    wanted += [("/dev/null", READ_FILE | WRITE_FILE)]
    scratch = _SCRATCH | (1 << 12 if plan.own_files() else 0)  # symlinks in a jail only
    wanted += [(plan.scratch, scratch | (EXECUTE if plan.execute else 0))]
    for path, rights in wanted:
        if os.path.exists(path):
            kernel.landlock_allow(handle, path, _rights(path, rights) & handled)
    return handle


def scope_only(kernel: Kernel, abi: int) -> None:
    """Enter a domain whose members cannot signal anything outside it, and nothing more."""
    if abi >= 6:
        handle = kernel.landlock_ruleset(0, 0, _SCOPE_SIGNALS, abi)
        kernel.landlock_enter(handle)
        os.close(handle)


def give_up_privileges(kernel: Kernel, plan: Confinement) -> None:
    """Become the slot's uid where there is one, and drop every capability."""
    uid = NOBODY if plan.uid is None and plan.changes_uid_per_sample() else plan.uid
    if uid is not None and plan.has("uid") and os.getuid() != uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    kernel.prctl(PR_SET_NO_NEW_PRIVS, 1)
    if plan.has("uid"):
        kernel.drop_capabilities()
    kernel.prctl(PR_SET_DUMPABLE, 0 if plan.has("dumpable") else 1)


def close_the_door(kernel: Kernel, plan: Confinement, abi: int) -> None:
    """Landlock, then the system-call filter: from here on the process is as weak as a sample."""
    if abi and plan.has("landlock"):
        handle = ruleset(kernel, plan, abi)
        kernel.landlock_enter(handle)
        os.close(handle)
    if plan.has("seccomp"):
        kernel.seccomp(bytes.fromhex(plan.filter))
