"""Commands that are struck: every descendant is known, may be killed, and is seen to be gone.

The test takes in orphans (PR_SET_CHILD_SUBREAPER), so that whatever a command leaves behind, in
whatever session, namespace or environment, stands below the test afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.run.conftest import environment

PR_SET_CHILD_SUBREAPER = 36
_HEEDED = ("SigIgn", "SigCgt")

STRIKES = [
    "KILL", "KILL", "KILL all", "TERM", "TERM twice", "INT", "INT twice", "INT group",
    "INT group twice", "child", "child", "children",
]  # fmt: skip
"""`group`: as a terminal's Ctrl-C, which reaches every process of the group. `all`: as a machine
that runs out of memory. `child`: one process below the command, a judge, a zygote, a server."""


def take_in_orphans() -> None:
    """Orphans below this process become its own children from now on."""
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def below(pid: int) -> list[int]:
    """Every process below one that still runs, parents first."""
    found, ahead = [], children_of(pid)
    while ahead:
        one = ahead.pop()
        ahead += children_of(one)
        with contextlib.suppress(OSError, IndexError):
            if Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(one)
    return found


def named(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    return "?"


def signalled(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@dataclass
class Struck:
    """How a command ended that was struck."""

    code: int
    out: str
    err: str
    how: str
    hit: list[str] = field(default_factory=list)
    """The command lines of the children that were killed."""
    early: bool = False
    """Whether the interpreter itself was starting: no line of ours had run."""
    bought: bool = False
    """Whether it was a run or a resume."""
    events: int = -1
    """How many ledger events there were before it."""


def start(folder: Path, words: list[str], **env: str) -> subprocess.Popen[str]:
    """`orch WORDS` as the head of a process group, as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words], cwd=folder, env=environment(**env),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def heeds(pid: int) -> bool:
    """Whether a process catches or ignores SIGTERM: the first thing that orch does."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        heeded = [line.split()[1] for line in status.splitlines() if line[:6] in _HEEDED]
        masks = [int(mask, 16) for mask in heeded]
        return any(mask >> (signal.SIGTERM - 1) & 1 for mask in masks)
    return True


def strike(process: subprocess.Popen[str], how: str, rng: random.Random) -> list[str]:
    """Do one thing of STRIKES to a command under way; returns the children that were killed."""
    under = below(process.pid)
    if how in ("child", "children"):
        chosen = under if how == "children" else [rng.choice(under)] if under else []
        names = [named(pid) for pid in chosen]
        for pid in chosen:
            signalled(pid, signal.SIGKILL)
        return names
    name, _, rest = how.partition(" ")
    number = getattr(signal, f"SIG{name}")
    for turn in range(2 if "twice" in rest else 1):
        if turn:
            time.sleep(rng.uniform(0, 0.3))
        if "group" in rest:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        else:
            for pid in [process.pid, *(under if rest == "all" else [])]:
                signalled(pid, number)
    return []


def wait_until_gone(known: set[int], seconds: float, where: object) -> None:
    """Return once nothing is below this process but `known` and what that started."""
    until = time.monotonic() + seconds
    while True:
        spared = known | {one for pid in known for one in below(pid)}
        left = [pid for pid in below(os.getpid()) if pid not in spared]
        for pid in set(children_of(os.getpid())) - spared:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if not left:
            return
        assert time.monotonic() < until, (where, [(pid, named(pid)) for pid in left])
        time.sleep(0.05)
