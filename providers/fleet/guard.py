"""A guard: the parent of a server, and the one that ends all of it.

    orch hold --lease 60 -- vllm serve MODEL ...

It ends the command and every process that came of it (TERM, wait, KILL of each by pid) as soon as
who started it is gone, when no heartbeat came for the lease, when it is told to (SIGTERM, Ctrl-C),
and when the command itself has ended and left something behind. Orphans come back to it, so none
is lost. If the guard is killed, the command gets SIGTERM, and the book (holds.py) and the mark in
the environment let others find the rest.

A heartbeat is a byte through a pipe whose other end the starter holds (its end tells at once that
the starter died), a change of a file's time of modification (which also works from another
machine), or by default that the parent process is there and not stopped.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from providers.fleet import processes
from providers.fleet.holds import Hold, without_secrets

LEASE_S = 60.0
GRACE_S = 8.0
LOOK_S = 0.25
LEASE_RAN_OUT = 124
"""The exit code where no heartbeat came for the lease, as of timeout(1)."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class Heart(Protocol):
    """Tells whether who started the guard is well."""

    descriptor: int | None
    """Readable when there may be news."""

    def beat(self) -> bool | None:
        """True: it is well now. None: no news. False: it is gone for good."""
        ...


class Lifeline:
    """Bytes through a pipe; its end is the end."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor: int | None = descriptor
        os.set_blocking(descriptor, False)

    def beat(self) -> bool | None:
        assert self.descriptor is not None
        try:
            return bool(os.read(self.descriptor, 4096))
        except BlockingIOError:
            return None


class File:
    """A file whose time of modification changes; it need not be there yet."""

    descriptor: int | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._changed()

    def _changed(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0

    def beat(self) -> bool | None:
        changed = self._changed()
        if changed == self._seen:
            return None
        self._seen = changed
        return True


class Parent:
    """The process that started this one."""

    descriptor: int | None = None

    def __init__(self) -> None:
        self._pid = os.getppid()

    def beat(self) -> bool | None:
        if os.getppid() != self._pid:
            return False
        process = processes.find(self._pid)
        return None if process is not None and process.stopped else True


@dataclass(frozen=True, slots=True)
class Order:
    """What a guard is asked to do."""

    command: Sequence[str]
    lease_s: float = LEASE_S
    grace_s: float = GRACE_S
    """How long the command may take to end by itself once it is told to."""
    run: str = ""
    url: str = ""
    model: str = ""
    gpus: int = 1
    id: str = ""
    """Empty: one is made up."""

    @property
    def drain_s(self) -> float:
        """The longest from the last heartbeat until nothing is left."""
        return self.lease_s + self.grace_s + 2 * LOOK_S + 1.0


class Guard:
    """Runs one order from start to a confirmed end, in this process's main thread."""

    def __init__(self, order: Order, heart: Heart) -> None:
        self._order = order
        self._heart = heart
        self._told: list[int] = []
        self._wake, self._waker = os.pipe()
        self._root = 0
        self._code: int | None = None

    def run(self) -> int:
        """Hold until something ends it; returns the exit code. Raises OSError: cannot start."""
        self._listen()
        hold = self._start()
        why = self._watch()
        hold.why = why
        gone = processes.end(
            lambda: processes.family(hold.id, hold.pid), self._order.grace_s, reap=self._reap
        )
        if gone:
            hold.ended_at = time.time()
        else:
            hold.why += "; some of its processes could not be ended"
        hold.exit_code = self._code
        # The directory may be gone by now; the processes are ended all the same.
        with contextlib.suppress(OSError):
            hold.write()
        if why == _SILENT:
            return LEASE_RAN_OUT
        code = self._code or 0
        return code if code >= 0 else 128 - code

    def _listen(self) -> None:
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda got, _: self._told.append(got))
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _start(self) -> Hold:
        order = self._order
        identifier = order.id or new_id()
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        hold = Hold(
            identifier, without_secrets(list(order.command)), order.lease_s, order.grace_s,
            os.getpid(), _started(os.getpid()), 0, processes.boot_id(), time.time(),
            run=order.run, url=order.url, model=order.model, gpus=order.gpus,
        )  # fmt: skip
        # Before the command runs: what cannot be written down would be held in secret.
        hold.write()
        process = subprocess.Popen(
            list(order.command),
            env={**os.environ, processes.MARK: identifier},
            start_new_session=True,
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
        )
        # Waited for by pid below, so that orphans are reaped by the same call.
        process.returncode = 0
        hold.pid = self._root = process.pid
        hold.write()
        return hold

    def _watch(self) -> str:
        """Wait until it has to end; returns why, as the rest of a sentence."""
        last = time.monotonic()
        waited = [self._wake, *([] if self._heart.descriptor is None else [self._heart.descriptor])]
        while True:
            self._reap()
            if self._code is not None:
                return "ended by itself"
            if self._told:
                return f"told to end by {signal.Signals(self._told[0]).name}"
            news = self._heart.beat()
            if news is False:
                return "who started it is gone"
            if news:
                last = time.monotonic()
            elif time.monotonic() - last >= self._order.lease_s:
                return _SILENT
            ready, _, _ = select.select(waited, [], [], min(LOOK_S, self._order.lease_s / 4))
            if self._wake in ready:
                os.read(self._wake, 4096)

    def _reap(self) -> None:
        """Wait for whatever of ours has ended; the command's own exit code is kept."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._root:
                self._code = os.waitstatus_to_exitcode(status)


_SILENT = "no heartbeat came for the lease"


def new_id() -> str:
    """A name for a hold, and a mark that no other process carries."""
    return time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(4)


def _started(pid: int) -> int:
    process = processes.find(pid)
    return 0 if process is None else process.started


def main() -> None:
    """What `heartbeat.start_guard` runs: an Order as JSON, then the lifeline's descriptor."""
    import json

    order = Order(**json.loads(sys.argv[1]))
    try:
        code = Guard(order, Lifeline(int(sys.argv[2]))).run()
    except OSError as error:
        sys.stderr.write(f"orch hold: {order.command[0]} cannot be started: {error}\n")
        code = 127
    sys.exit(code)
