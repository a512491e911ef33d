"""Linux system calls that Python's standard library does not offer, through ctypes.

Every function either does what it says or raises OSError with the kernel's errno. Nothing here
decides anything; `policy`, `jail` and `confine` do. Works on x86_64 and aarch64.
"""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
AT_FDCWD, AT_RECURSIVE, AT_EMPTY_PATH = -100, 0x8000, 0x1000

PR_SET_DUMPABLE, PR_CAPBSET_DROP = 4, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
SECCOMP_SET_MODE_FILTER = 1
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MADV_HUGEPAGE = 14
_PRIVATE_ANONYMOUS, _MAY_MOVE_TO = 0x22, 3

LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1

_NUMBERS = {
    "x86_64": {
        "pivot_root": 155,
        "seccomp": 317,
        "execveat": 322,
        "capset": 126,
        "mmap": 9,
        "mprotect": 10,
        "munmap": 11,
        "mremap": 25,
        "madvise": 28,
    },
    "aarch64": {
        "pivot_root": 41,
        "seccomp": 277,
        "execveat": 281,
        "capset": 91,
        "mmap": 222,
        "mprotect": 226,
        "munmap": 215,
        "mremap": 216,
        "madvise": 233,
    },
}
_COMMON = {
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}


def machine() -> str:
    """The architecture by the kernel's name; OSError where this cell has no tables for it."""
    name = {"amd64": "x86_64", "arm64": "aarch64"}.get(os.uname().machine, os.uname().machine)
    if name not in _NUMBERS:
        raise OSError(f"no system-call table for {name}: only x86_64 and aarch64 are known")
    return name


class Kernel:
    """One handle on libc; made once per process, so that importing this module does nothing."""

    def __init__(self) -> None:
        self.machine = machine()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._numbers = {**_COMMON, **_NUMBERS[self.machine]}
        self._libc.syscall.restype = ctypes.c_long
        self._syscall = self._libc.syscall

    def call(self, name: str, *args: int | bytes | None) -> int:
        """The named system call; integers are passed as 64-bit words."""
        words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
        result = int(self._syscall(ctypes.c_long(self._numbers[name]), *words))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return result

    def _libc_call(self, name: str, *args: int | bytes | None) -> int:
        words = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in args]
        result = int(getattr(self._libc, name)(*words))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return result

    def unshare(self, flags: int) -> None:
        self._libc_call("unshare", flags)

    def mount(
        self, source: str, target: str, kind: str | None, flags: int, data: str | None = None
    ) -> None:
        try:
            self._libc_call(
                "mount",
                source.encode(),
                target.encode(),
                kind.encode() if kind else None,
                flags,
                data.encode() if data else None,
            )
        except OSError as fault:
            raise OSError(fault.errno, f"mount of {source} on {target}: {fault.strerror}") from None

    def umount_detached(self, target: str) -> None:
        self._libc_call("umount2", target.encode(), MNT_DETACH)

    def pivot_root(self, new: str, old: str) -> None:
        self.call("pivot_root", new.encode(), old.encode())

    def seal_mount(self, target: str) -> None:
        """Make a mount and all below it read-only, without set-uid programs and devices."""
        attributes = struct.pack(
            "QQQQ", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0, 0, 0
        )
        try:
            self.call(
                "mount_setattr",
                AT_FDCWD,
                target.encode(),
                AT_RECURSIVE,
                attributes,
                len(attributes),
            )
        except OSError:
            # Before 5.12 only the top mount can be sealed, and its locked flags must be repeated.
            held = os.statvfs(target).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
            flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | held
            self.mount("none", target, None, flags)

    def prctl(self, option: int, value: int = 0, third: int = 0) -> None:
        self._libc_call("prctl", option, value, third, 0, 0)

    def drop_capabilities(self) -> None:
        """Give up every capability, for good once no_new_privs is set."""
        for number in range(64):
            try:
                self.prctl(PR_CAPBSET_DROP, number)
            except OSError:
                break  # past the last capability, or without CAP_SETPCAP (then nothing to drop)
        try:
            self.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
        except OSError:
            pass  # kernels before 4.3 have no ambient set
        header = struct.pack("Ii", 0x20080522, 0)
        self.call("capset", header, struct.pack("6I", 0, 0, 0, 0, 0, 0))

    def one_malloc_arena(self) -> None:
        """Keep threads from reserving 64 MiB of address space each (M_ARENA_MAX is -8)."""
        if hasattr(self._libc, "mallopt"):
            self._libc.mallopt(-8, 1)

    def trim_heap(self) -> None:
        """Give the pages of freed memory back."""
        if hasattr(self._libc, "malloc_trim"):
            self._libc.malloc_trim(0)

    def map_memory(self, size: int) -> int:
        """The address of `size` bytes of fresh memory."""
        return self.call("mmap", None, size, PROT_READ | PROT_WRITE, _PRIVATE_ANONYMOUS, -1, 0)

    def advise(self, address: int, size: int, advice: int) -> None:
        self.call("madvise", address, size, advice)

    def protect(self, address: int, size: int, protection: int) -> None:
        self.call("mprotect", address, size, protection)

    def move(self, address: int, size: int, target: int) -> None:
        """Put memory in the place of what is mapped at `target`, in one step."""
        self.call("mremap", address, size, size, _MAY_MOVE_TO, target)

    def unmap(self, address: int, size: int) -> None:
        self.call("munmap", address, size)

    def seccomp(self, program: bytes) -> None:
        """Install a classic BPF filter; no_new_privs must be set."""
        buffer = ctypes.create_string_buffer(program, len(program))
        header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
        self.call("seccomp", SECCOMP_SET_MODE_FILTER, 0, header)

    def landlock_abi(self) -> int:
        """The kernel's Landlock version; 0 where there is none or it is switched off."""
        try:
            return self.call("landlock_create_ruleset", None, 0, LANDLOCK_CREATE_RULESET_VERSION)
        except OSError:
            return 0

    def landlock_ruleset(self, filesystem: int, network: int, scoped: int, abi: int) -> int:
        """A new ruleset's descriptor, handling the given rights as far as `abi` knows them."""
        size = 8 if abi < 4 else 16 if abi < 6 else 24
        attributes = struct.pack("QQQ", filesystem, network, scoped)[:size]
        return self.call("landlock_create_ruleset", attributes, size, 0)

    def landlock_allow(self, ruleset: int, path: str, rights: int) -> None:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights, handle)
            self.call("landlock_add_rule", ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        finally:
            os.close(handle)

    def landlock_enter(self, ruleset: int) -> None:
        self.call("landlock_restrict_self", ruleset, 0)

    def execute_descriptor(self, handle: int, argv: list[str], environment: list[str]) -> None:
        """Replace this process by the program behind a descriptor; returns only by raising."""
        arguments = (ctypes.c_char_p * (len(argv) + 1))(*[a.encode() for a in argv], None)
        variables = (ctypes.c_char_p * (len(environment) + 1))(
            *[v.encode() for v in environment], None
        )
        self._syscall(
            ctypes.c_long(self._numbers["execveat"]),
            ctypes.c_long(handle),
            b"",
            arguments,
            variables,
            ctypes.c_long(AT_EMPTY_PATH),
        )
        number = ctypes.get_errno()
        raise OSError(number, f"execveat: {os.strerror(number)}")
