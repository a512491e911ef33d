"""The seccomp filter, evaluated for both architectures by a small BPF machine."""

from __future__ import annotations

import errno
import struct

import pytest

from verifiers.sandbox.bpf import AUDIT_ARCH
from verifiers.sandbox.policy import CellForm, compile_filter, rules, signal_filter
from verifiers.sandbox.syscalls import NUMBERS

MACHINES = ("x86_64", "aarch64")
ALLOW, KILL = "allow", "kill"
DENIED = [
    "ptrace",
    "mount",
    "umount2",
    "unshare",
    "setns",
    "bpf",
    "perf_event_open",
    "keyctl",
    "socket",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "pivot_root",
    "chroot",
    "reboot",
    "kexec_load",
    "init_module",
    "finit_module",
    "shmget",
    "shmat",
    "msgget",
    "semget",
    "mq_open",
    "add_key",
    "request_key",
    "name_to_handle_at",
    "open_by_handle_at",
    "setuid",
    "setgid",
    "setresuid",
    "setresgid",
    "capset",
    "seccomp",
    "landlock_restrict_self",
    "mknod",
    "mknodat",
    "kcmp",
    "splice",
    "tee",
    "vmsplice",
    "quotactl",
    "acct",
    "syslog",
    "swapon",
    "sethostname",
    "settimeofday",
    "clock_settime",
    "sched_setscheduler",
    "sched_setattr",
    "ioprio_set",
    "move_pages",
    "migrate_pages",
    "fanotify_init",
    "execve",
    "execveat",
    "memfd_create",
    "memfd_secret",
    "io_uring_setup",
    "io_uring_enter",
    "userfaultfd",
    "pidfd_getfd",
    "pidfd_send_signal",
    "openat2",
    "clone3",
]
NEEDED = [
    "read",
    "write",
    "close",
    "mmap",
    "munmap",
    "mprotect",
    "brk",
    "futex",
    "rt_sigaction",
    "rt_sigprocmask",
    "openat",
    "newfstatat",
    "fstat",
    "statx",
    "lseek",
    "getrandom",
    "clock_gettime",
    "exit_group",
    "wait4",
    "pipe2",
    "dup3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "eventfd2",
    "getpid",
    "gettid",
    "set_robust_list",
    "rseq",
    "nanosleep",
    "clock_nanosleep",
    "getdents64",
    "unlinkat",
    "mkdirat",
    "renameat2",
    "ftruncate",
    "sched_getaffinity",
    "getrusage",
]


def evaluate(program: bytes, machine_word: int, number: int, *arguments: int) -> str | int:
    """Run a classic BPF program on a seccomp_data; allow, kill, or the errno."""
    words = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("=iIQ6Q", number, machine_word, 0, *(w & (1 << 64) - 1 for w in words))
    code = list(struct.iter_unpack("HBBI", program))
    at = accumulator = 0
    while True:
        operation, true, false, k = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif operation == 0x54:
            accumulator &= k
        elif operation in (0x15, 0x25, 0x35, 0x45):
            holds = {
                0x15: accumulator == k,
                0x25: accumulator > k,
                0x35: accumulator >= k,
                0x45: bool(accumulator & k),
            }[operation]
            at += true if holds else false
        else:
            assert operation == 0x06
            if k == 0x7FFF0000:
                return ALLOW
            if k == 0x80000000:
                return KILL
            assert k & 0xFFFF0000 == 0x00050000
            return k & 0xFFFF


def asked(machine: str, form: CellForm, name: str, *arguments: int) -> str | int:
    program = compile_filter(machine, form)
    return evaluate(program, AUDIT_ARCH[machine], NUMBERS[machine][name], *arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_dangerous_calls_are_refused(machine: str) -> None:
    for name in DENIED:
        if name in NUMBERS[machine]:
            assert asked(machine, CellForm(), name) in (errno.EPERM, errno.ENOSYS), name


@pytest.mark.parametrize("machine", MACHINES)
def test_ordinary_calls_are_allowed(machine: str) -> None:
    for name in NEEDED:
        assert asked(machine, CellForm(), name) == ALLOW, name


@pytest.mark.parametrize("machine", MACHINES)
def test_another_calling_convention_kills(machine: str) -> None:
    program = compile_filter(machine, CellForm())
    other = AUDIT_ARCH["aarch64" if machine == "x86_64" else "x86_64"]
    for word in (other, 0x40000003, 0x40000028, 0):
        assert evaluate(program, word, 1) == KILL


def test_x32_calls_kill() -> None:
    program = compile_filter("x86_64", CellForm())
    assert evaluate(program, AUDIT_ARCH["x86_64"], 0x40000000 + 39) == KILL


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("clone", (0x3D0F00,), ALLOW),  # a thread
        ("clone", (0x1200011,), ALLOW),  # a fork
        ("clone", (0x10000000 | 17,), errno.EPERM),
        ("clone", (0x20000 | 17,), errno.EPERM),
        ("clone", (0x8000 | 17,), errno.EPERM),
        ("fcntl", (1, 3), ALLOW),
        ("fcntl", (1, 8), errno.EPERM),  # F_SETOWN
        ("fcntl", (1, 10), errno.EPERM),  # F_SETSIG
        ("fcntl", (1, 15), errno.EPERM),  # F_SETOWN_EX
        ("fcntl", (1, (1 << 32) | 8), errno.EPERM),
        ("socketpair", (1, 1, 0), ALLOW),
        ("socketpair", (1, 1 | 0o2004000, 0), ALLOW),
        ("socketpair", (1, 2, 0), errno.EPERM),  # datagrams can be aimed
        ("socketpair", (1, 5, 0), errno.EPERM),
        ("socketpair", (2, 1, 0), errno.EPERM),
        ("sendto", (3, 0, 1, 0, 0, 0), ALLOW),
        ("sendto", (3, 0, 1, 0, 0x7FFF0000, 16), errno.EPERM),
        ("sendto", (3, 0, 1, 0, 0x7FFF << 32, 16), errno.EPERM),
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (1, 7), errno.EPERM),
        ("setpriority", (0, 0, 19), ALLOW),
        ("setpriority", (0, 7, 19), errno.EPERM),
        ("setpriority", (2, 0, 19), errno.EPERM),
        ("sched_setaffinity", (1,), errno.EPERM),
        ("prctl", (15,), ALLOW),
        ("prctl", (22,), errno.EINVAL),
        ("prctl", (36,), errno.EINVAL),
        ("ioctl", (1, 0x5401), ALLOW),
        ("ioctl", (1, 0x5412), errno.ENOTTY),  # TIOCSTI
        ("openat", (3, 0, 0o101, 0o644), ALLOW),
        ("openat", (3, 0, 0o101, 0o4755), errno.EPERM),
        ("fchmod", (3, 0o755), ALLOW),
        ("fchmod", (3, 0o2755), errno.EPERM),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0x0040000,), errno.EPERM),
        ("sync", (), 0),
    ],
)
def test_arguments(machine: str, name: str, arguments: tuple[int, ...], answer: str | int) -> None:
    assert asked(machine, CellForm(), name, *arguments) == answer


@pytest.mark.parametrize("machine", MACHINES)
def test_on_the_host_s_files_no_call_changes_metadata(machine: str) -> None:
    form = CellForm(host_files=True)
    for name in ("fchmod", "fchmodat", "fchown", "fchownat", "utimensat", "setxattr", "fsetxattr"):
        assert asked(machine, form, name) == 0, name
    assert asked(machine, form, "truncate") == errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_without_scopes_signals_stay_at_home(machine: str) -> None:
    alone = signal_filter(machine, CellForm(signal_only=77))
    beside = signal_filter(machine, CellForm(signal_never=(12, -1)))
    word, numbers = AUDIT_ARCH[machine], NUMBERS[machine]
    assert evaluate(alone, word, numbers["kill"], 77) == ALLOW
    assert evaluate(alone, word, numbers["kill"], 0) == ALLOW
    for pid in (1, 78, -1, -77):
        assert evaluate(alone, word, numbers["kill"], pid) == errno.EPERM
        assert evaluate(alone, word, numbers["tgkill"], pid, pid) == errno.EPERM
    assert evaluate(beside, word, numbers["kill"], 13) == ALLOW
    for pid in (12, -1):
        assert evaluate(beside, word, numbers["kill"], pid) == errno.EPERM
    assert evaluate(beside, word, numbers["prctl"], 1) == errno.EPERM
    assert evaluate(beside, word, numbers["read"]) == ALLOW
    assert evaluate(beside, word, numbers["clone"], 17) == ALLOW
    forkless = signal_filter(machine, CellForm(signal_only=77, forks=False))
    assert evaluate(forkless, word, numbers["clone"], 17) == errno.EPERM
    assert evaluate(forkless, word, numbers["clone"], 0x3D0F00) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_without_forks_only_threads_are_made(machine: str) -> None:
    form = CellForm(forks=False)
    assert asked(machine, form, "clone", 0x3D0F00) == ALLOW
    assert asked(machine, form, "clone", 17) == errno.EPERM
    assert asked(machine, CellForm(programs=True), "execve") == ALLOW


def test_every_rule_names_a_call_of_some_architecture() -> None:
    known = set(NUMBERS["x86_64"]) | set(NUMBERS["aarch64"])
    assert set(rules(CellForm(nests=True, forks=False))) <= known


def test_both_tables_agree_where_the_numbers_are_common() -> None:
    """From 424 on every architecture uses the same numbers."""
    for name, number in NUMBERS["x86_64"].items():
        if number >= 424 and name in NUMBERS["aarch64"]:
            assert NUMBERS["aarch64"][name] == number, name
    assert NUMBERS["aarch64"]["openat"] == 56 and NUMBERS["x86_64"]["openat"] == 257
