"""Python commands in little time: one interpreter that has imported orch, and a fork for each.

    python -m tests.fork_server SOCKET

Told over SOCKET (see tests/forks.py), it forks; the child gets the words, environment, folder and
files that it was told of, and runs its module as `python -m` does, to a real end of its
interpreter. Its exit status goes back over a pipe. What a test sees differs from a start of its
own in one thing: modules are imported already. Ends, with all that it started, when the socket
closes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AHEAD = (
    "orchestrator.session.session", "orchestrator.report.compute", "orchestrator.report.document",
    "providers.tiny.serve", "providers.tiny.server", "tests.hostile.server",
)  # fmt: skip
"""Imported before the first fork, beside every command of orch."""


@dataclass
class Order:
    """A command to start: what `python -m MODULE WORDS` would be given."""

    words: list[str]
    """The module first."""
    env: dict[str, str]
    folder: str
    files: list[int]
    """Descriptors in this process, and the numbers that they get in the child."""
    numbers: list[int]
    status: int
    """The pipe that tells the exit status."""
    session: bool


@dataclass
class ForkServer:
    """Forks on demand; `serve` returns an order in a child, and None here at the end."""

    door: socket.socket
    running: dict[int, int] = field(default_factory=dict)
    """The pipes for the exit status of what runs, by pid."""

    def serve(self) -> Order | None:
        awake, awaken = os.pipe()
        os.set_blocking(awaken, False)
        signal.set_wakeup_fd(awaken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # A Ctrl-C at the terminal is for the tests, which end this one by its socket.
        signal.signal(signal.SIGINT, lambda *_: None)
        while True:
            ready, _, _ = select.select([self.door, awake], [], [])
            if awake in ready:
                os.read(awake, 4096)
                self._reap()
            if self.door in ready:
                order = self._next()
                if order is None:
                    for pid in self.running:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    return None
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    for handle in (awake, awaken, self.door.detach(), *self.running.values()):
                        os.close(handle)
                    return order
                self.running[pid] = order.status
                for handle in order.files:
                    os.close(handle)
                self.door.sendall(pid.to_bytes(8, "little"))

    def _next(self) -> Order | None:
        text, files, _, _ = socket.recv_fds(self.door, 8, 8)
        if not text:
            return None
        length = int.from_bytes(text, "little")
        body = bytearray()
        while len(body) < length:
            body += self.door.recv(length - len(body))
        return Order(**json.loads(body), files=files[1:], status=files[0])

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                pipe = self.running.pop(pid)
                with contextlib.suppress(BrokenPipeError):
                    os.write(pipe, status.to_bytes(8, "little"))
                os.close(pipe)


def become(order: Order) -> None:
    """Make this process what was ordered; returns when nothing but its module is left to run."""
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if order.session:
        os.setsid()
    # Away from the numbers that they are to have, and then to those.
    held = [os.dup(handle) for handle in order.files]
    for number in order.numbers:
        while number in held:
            held[held.index(number)] = os.dup(number)
    for handle, number in zip(held, order.numbers, strict=True):
        os.dup2(handle, number)
    for handle in {*held, *order.files, order.status} - set(order.numbers):
        with contextlib.suppress(OSError):
            os.close(handle)
    os.chdir(order.folder)
    ours = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(order.env)
    theirs = order.env.get("PYTHONPATH", "").split(os.pathsep)
    rest = [place for place in sys.path[1:] if place not in ours]
    sys.path[:] = [str(Path.cwd()), *filter(None, theirs), *rest]
    sys.argv = ["", *order.words[1:]]
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        old = getattr(sys, name)
        new = open(  # noqa: SIM115
            number, mode, encoding=old.encoding, errors=old.errors, closefd=False,
            buffering=1 if name == "stderr" or os.isatty(number) else -1,
        )  # fmt: skip
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def main() -> None:
    door = socket.socket(fileno=int(sys.argv[1]))
    from tests.run.forked import all_commands

    all_commands()
    for name in AHEAD:
        import_module(name)
    gc.collect()
    gc.freeze()
    order = ForkServer(door).serve()
    if order is not None:
        become(order)
        sys.modules.pop(order.words[0], None)  # or else runpy warns that it runs a second time
        runpy.run_module(order.words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
