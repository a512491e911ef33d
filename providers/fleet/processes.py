"""Processes by pid, from /proc: who belongs to a guarded command, and how all of it is ended.

A family is whoever descends from a process, shares its session, or carries its mark in the
environment: what was left alone by a killed parent, or took a session of its own, is found by the
mark. One that writes a title over the beginning of its environment, as vLLM's engines do, has no
mark to be read: it is known by its session. A process is named by pid and start time, so that a pid
given out anew is never signalled.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
MARK = "ORCH_HOLD"
"""The variable whose value marks every process of one guarded command."""
LOOK_EVERY_S = 0.05


class Process(NamedTuple):
    """One process that is no zombie."""

    pid: int
    started: int
    """Clock ticks since the machine started."""
    parent: int
    session: int
    stopped: bool
    """By a signal or a debugger."""


def find(pid: int) -> Process | None:
    """The process with this pid; None if there is none, or only a zombie."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (OSError, ValueError):
        return None
    # The name in brackets may hold anything, brackets and spaces too.
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in "ZX":
        return None
    return Process(pid, int(fields[19]), int(fields[1]), int(fields[3]), fields[0] in "Tt")


def alive(pid: int, started: int) -> bool:
    """Whether that very process is there."""
    process = find(pid)
    return process is not None and process.started == started


def everyone() -> dict[int, Process]:
    """Every process of this machine."""
    found = (find(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdecimal())
    return {process.pid: process for process in found if process is not None}


def boot_id() -> str:
    """Which start of the machine this is: pids and start times mean nothing after the next."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def marked(mark: str, session: int = 0) -> list[Process]:
    """Every process that carries `mark`, as far as this user may look.

    `session`: the one that the marked command began; whoever is in it and wrote over its
    environment's beginning belongs to it too.
    """
    wanted = f"{MARK}={mark}".encode()
    found = []
    for process in everyone().values():
        try:
            environment = (PROC / str(process.pid) / "environ").read_bytes()
        except OSError:
            continue
        entries = environment.split(b"\0")
        # What the process set for itself may still stand behind a title.
        wiped = b"=" not in entries[0]
        if wanted in entries or (session and wiped and process.session == session):
            found.append(process)
    return found


def family(mark: str, root: int) -> list[Process]:
    """All that belongs to the command that was started as `root` under `mark`, without us.

    For a guard: its own children count too, since orphans come back to it.
    """
    table, me = everyone(), os.getpid()
    members = {process.pid for process in marked(mark)}
    for process in table.values():
        if process.session == root or process.parent == me:
            members.add(process.pid)
    grown = True
    while grown:
        more = {
            process.pid
            for process in table.values()
            if process.parent in members and process.pid not in members
        }
        members |= more
        grown = bool(more)
    return [table[pid] for pid in sorted(members - {me}) if pid in table]


def tell(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to each that is still the process it was."""
    for process in processes:
        if alive(process.pid, process.started):
            try:
                os.kill(process.pid, number)
            except (ProcessLookupError, PermissionError):
                continue


def end(
    members: Callable[[], list[Process]],
    grace_s: float,
    *,
    reap: Callable[[], None] = lambda: None,
    kill_for_s: float = 5.0,
) -> bool:
    """TERM all, wait up to `grace_s`, then KILL until none is left; whether all are gone.

    `members` is asked again each time: a process may start another while it is being ended.
    `reap` waits for children of ours. A process in the kernel's hands may outlast `kill_for_s`.
    """
    first = members()
    tell(first, signal.SIGTERM)
    # A stopped process cannot heed it otherwise.
    tell(first, signal.SIGCONT)
    if _gone(members, reap, time.monotonic() + grace_s):
        return True
    until = time.monotonic() + kill_for_s
    while time.monotonic() < until:
        tell(members(), signal.SIGKILL)
        if _gone(members, reap, time.monotonic() + LOOK_EVERY_S):
            return True
    return False


def _gone(members: Callable[[], list[Process]], reap: Callable[[], None], until: float) -> bool:
    while True:
        reap()
        if not members():
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_EVERY_S)
