"""How tests start Python commands of ours: as processes of their own, without their imports.

    run_forked(["orchestrator", "report", "r"], cwd=folder, capture_output=True, text=True)
    with Forked(["orchestrator", "run", ...], cwd=folder, stdout=PIPE) as process: ...

As subprocess.run and subprocess.Popen do with [sys.executable, "-m", ...], but from a server that
has imported orch (tests/fork_server.py) and forks, which saves a second of processor time each.
The few tests that are about the start itself use subprocess.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Door:
    """This process's fork server, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        atexit.register(self.close)

    def start(self, order: dict[str, object], files: list[int]) -> int:
        body = json.dumps(order).encode("ascii")
        with self._lock:
            socket.send_fds(self._socket, [len(body).to_bytes(8, "little")], files)
            self._socket.sendall(body)
            answer = self._socket.recv(8, socket.MSG_WAITALL)
        if len(answer) < 8:
            raise RuntimeError("the fork server ended")
        return int.from_bytes(answer, "little")

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def door() -> Door:
    return Door()


class Forked(subprocess.Popen[Any]):
    """A Popen of a module of ours and its words, which a fork server starts."""

    _status = -1

    def __init__(self, words: Sequence[str], **more: Any) -> None:
        super().__init__([os.fspath(word) for word in words], **more)

    def _execute_child(self, args: list[str], *more: Any) -> None:
        # In the order of Popen's own method, the same from Python 3.11 on.
        _, _, _, pass_fds, cwd, env, _, _, _, *rest = more
        ends, (session, *_) = rest[:6], rest[11:]
        child_in, _, _, child_out, _, child_err = ends
        given = {0: child_in, 1: child_out, 2: child_err}
        numbers = {number: handle if handle >= 0 else number for number, handle in given.items()}
        numbers.update({number: number for number in pass_fds})
        self._status, theirs = os.pipe()
        order = {
            "words": args, "env": dict(os.environ if env is None else env),
            "folder": os.fspath(cwd or Path.cwd()), "numbers": list(numbers), "session": session,
        }  # fmt: skip
        try:
            self.pid = door().start(order, [theirs, *numbers.values()])
        finally:
            os.close(theirs)
            self._close_pipe_fds(*ends)  # type: ignore[attr-defined]
        self._child_created = True

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None:
            self._try_wait(os.WNOHANG)
        return self.returncode

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """The pid and the status where it has ended, else zeros; waits where no flag forbids it."""
        if self._status < 0:
            return self.pid, 0
        if wait_flags == os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        told = os.read(self._status, 8)
        os.close(self._status)
        self._status = -1
        status = int.from_bytes(told, "little") if told else 9  # its server was killed
        self.returncode = os.waitstatus_to_exitcode(status)
        return self.pid, status


def run_forked(
    words: Sequence[str], *, input: str | bytes | None = None, capture_output: bool = False,
    timeout: float | None = None, check: bool = False, **more: Any,
) -> subprocess.CompletedProcess[Any]:  # fmt: skip
    """As subprocess.run does with a module of ours and its words."""
    if capture_output:
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        more["stdin"] = subprocess.PIPE
    with Forked(words, **more) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            raise
    if check and process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, out, err)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
