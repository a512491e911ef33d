"""Which system calls a cell may make, by name, for both architectures.

An allow-list: what is not named is refused with EPERM (old calls) or ENOSYS (new ones, so that
libraries take their fallback). Arguments are checked where a harmless call has a harmful form.
`CellForm` says what differs: on the host's file system (no mount namespace) the calls that change
metadata pretend to succeed, since Landlock does not cover them.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from verifiers.sandbox.bpf import Check, Rule, assemble
from verifiers.sandbox.syscalls import NUMBERS

_NAMESPACES_AND_PTRACE = 0x7E020000 | 0x8000 | 0x2000  # CLONE_NEW*, CLONE_PARENT, CLONE_PTRACE
_CLONE_THREAD = 0x10000
_SET_DEATH_SIGNAL = 1
_SPECIAL_MODE = 0o6000  # set-uid and set-gid bits

PLAIN = [
    "read",
    "write",
    "pread64",
    "pwrite64",
    "readv",
    "writev",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "lseek",
    "close",
    "close_range",
    "fstat",
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getdents",
    "getdents64",
    "getcwd",
    "chdir",
    "fchdir",
    "dup",
    "dup2",
    "dup3",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "eventfd",
    "eventfd2",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    "signalfd",
    "signalfd4",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "flock",
    "fadvise64",
    "sendfile",
    "copy_file_range",
    "statfs",
    "fstatfs",
    "umask",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "madvise",
    "msync",
    "mincore",
    "brk",
    "mlock",
    "munlock",
    "mlock2",
    "mlockall",
    "munlockall",
    "membarrier",
    "rseq",
    "set_robust_list",
    "get_robust_list",
    "futex",
    "futex_waitv",
    "set_tid_address",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sigaltstack",
    "pause",
    "restart_syscall",
    "exit",
    "exit_group",
    "wait4",
    "waitid",
    "fork",
    "vfork",
    "getpid",
    "getppid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getgroups",
    "getresuid",
    "getresgid",
    "getpgid",
    "getpgrp",
    "getsid",
    "setsid",
    "setpgid",
    "getrlimit",
    "setrlimit",
    "getrusage",
    "times",
    "sysinfo",
    "uname",
    "getcpu",
    "getpriority",
    "sched_yield",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_rr_get_interval",
    "sched_getattr",
    "capget",
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "alarm",
    "getitimer",
    "setitimer",
    "timer_create",
    "timer_settime",
    "timer_gettime",
    "timer_getoverrun",
    "timer_delete",
    "getrandom",
    "recvfrom",
    "recvmsg",
    "shutdown",
    "getsockopt",
    "getsockname",
    "getpeername",
    "arch_prctl",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "pidfd_open",
]

MISSING = [
    "clone3",
    "openat2",
    "memfd_create",
    "memfd_secret",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "pidfd_getfd",
    "pidfd_send_signal",
    "process_madvise",
    "process_mrelease",
    "inotify_init",
    "inotify_init1",
    "fchmodat2",
]

METADATA = [
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "utime",
    "utimes",
    "futimesat",
    "utimensat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
]

_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1024 + 6, 1032, 1031, 1034)  # no owner, no signal
_IOCTL = (0x541B, 0x5421, 0x5401, 0x5451, 0x5450, 0x5413, 0x5460)
_PRCTL = (1, 15, 16, 3, 4, 7, 21, 23, 27, 30, 39, 2, 0x53564D41)  # names, queries, dumpable


class CellForm(NamedTuple):
    """What kind of cell the filter is for."""

    host_files: bool = False
    """The host's own file tree is in view (Landlock tier): no call may change metadata."""
    programs: bool = False
    """Executing programs is allowed (tools, compiled samples)."""
    forks: bool = True
    """Processes may be made; threads always may."""
    nests: bool = False
    """A process may tighten its own Landlock domain or filter (cells without a pid namespace)."""
    signal_only: int | None = None
    """Signals may be sent only to this pid (where Landlock cannot scope them)."""
    signal_never: tuple[int, ...] = ()
    """Pids (and group numbers) that no signal may be sent to, where Landlock cannot scope them."""


def _among(argument: int, *values: int, number: int = errno.EPERM) -> Check:
    return Check("among", argument, values, number)


def _signals(form: CellForm) -> dict[str, Rule]:
    if form.signal_only is None and form.signal_never:
        never = tuple(pid & 0xFFFFFFFF for pid in form.signal_never)
        checks: tuple[Check, ...] = (Check("not_among", 0, never),)
        kill_checks = checks
    elif form.signal_only is None:
        checks = kill_checks = ()
    else:
        checks = (_among(0, form.signal_only),)
        kill_checks = (_among(0, form.signal_only, 0),)
    return {
        "kill": Rule(kill_checks),
        "tgkill": Rule(checks),
        "tkill": Rule(checks),
        "rt_sigqueueinfo": Rule(checks),
        "rt_tgsigqueueinfo": Rule(checks),
    }


def _files(form: CellForm) -> dict[str, Rule]:
    rules = {
        "open": Rule((Check("without", 2, (_SPECIAL_MODE,)),)),
        "creat": Rule((Check("without", 1, (_SPECIAL_MODE,)),)),
        "openat": Rule((Check("without", 3, (_SPECIAL_MODE,)),)),
        "mkdir": Rule((Check("without", 1, (_SPECIAL_MODE,)),)),
        "mkdirat": Rule((Check("without", 2, (_SPECIAL_MODE,)),)),
        "sync": Rule(errno=0),
        "syncfs": Rule(errno=0),
        "truncate": Rule(errno=errno.EPERM) if form.host_files else Rule(),
    }
    if form.host_files:
        return rules | {name: Rule(errno=0) for name in METADATA}
    rules |= {name: Rule() for name in METADATA if "xattr" not in name}
    for name, argument in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2)):
        rules[name] = Rule((Check("without", argument, (_SPECIAL_MODE,)),))
    return rules


def _processes(form: CellForm) -> dict[str, Rule]:
    clone = [Check("without", 0, (_NAMESPACES_AND_PTRACE,))]
    if not form.forks:
        clone.append(Check("with_", 0, (_CLONE_THREAD,)))
    refused = Rule(errno=errno.EPERM)
    rules = {
        "clone": Rule(tuple(clone)),
        "execve": Rule() if form.programs else refused,
        "execveat": Rule() if form.programs else refused,
        "prlimit64": Rule((_among(0, 0),)),
        "setpriority": Rule((_among(0, 0), _among(1, 0))),
        "sched_setaffinity": Rule((_among(0, 0),)),
        "prctl": Rule((_among(0, *_PRCTL, number=errno.EINVAL),)),
        "personality": Rule((_among(0, 0xFFFFFFFF, 0),)),
    }
    if form.nests:
        rules["landlock_restrict_self"] = Rule()
        rules["seccomp"] = Rule((_among(0, 1), _among(1, 0)))
    if not form.forks:
        rules |= {"fork": refused, "vfork": refused}
    return rules


def _channels() -> dict[str, Rule]:
    # Only unix stream pairs: a datagram socket could be aimed at a host socket by address.
    stream = tuple(1 | flags for flags in (0, 0o4000, 0o2000000, 0o2004000))
    return {
        "socketpair": Rule((_among(0, 1), _among(1, *stream))),
        "sendto": Rule((Check("null", 4),)),
        "sendmsg": Rule(),
        # No larger buffers (7, 8): unread data counts for the container, and no process is asked.
        "setsockopt": Rule((_among(1, 1), _among(2, 2, 9, 20, 21))),
        "fcntl": Rule((_among(1, *_FCNTL),)),
        "ioctl": Rule((_among(1, *_IOCTL, number=errno.ENOTTY),)),
    }


def rules(form: CellForm) -> dict[str, Rule]:
    """Every named rule of a form, before numbers are looked up."""
    table = {name: Rule() for name in PLAIN}
    table |= {name: Rule(errno=errno.ENOSYS) for name in MISSING}
    return table | _signals(form) | _files(form) | _processes(form) | _channels()


def compile_filter(machine: str, form: CellForm) -> bytes:
    """The seccomp filter of a form for one architecture ("x86_64" or "aarch64")."""
    numbers = NUMBERS[machine]
    known = {numbers[name]: rule for name, rule in rules(form).items() if name in numbers}
    return assemble(machine, known, {0: errno.EPERM, 424: errno.ENOSYS})


def signal_filter(machine: str, form: CellForm) -> bytes:
    """A short filter on top of the long one, for one sample: signals, and forks if forbidden.

    The zygote cannot have it: it forks, and its samples' pids are not known beforehand.
    """
    numbers = NUMBERS[machine]
    named = {numbers[n]: r for n, r in _signals(form).items() if n in numbers and r.checks}
    if not form.forks:
        names = ("clone", "fork", "vfork")
        named |= {numbers[n]: r for n, r in _processes(form).items() if n in names and n in numbers}
    named[numbers["prctl"]] = Rule((Check("not_among", 0, (_SET_DEATH_SIGNAL,)),))
    return assemble(machine, named, {}) + _ALLOW_ALL


_ALLOW_ALL = b"\x06\x00\x00\x00\x00\x00\xff\x7f"
