"""Real attacks on a started sandbox, each with a check of what it did outside.

The core runs whenever a tier is chosen, in one sample; `orch doctor --attack` runs each alone
and shows it. What the attacks say is not believed: what they did is looked at from here.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from verifiers.sandbox.limits import Outcome

_COMMON = "import os, socket, ctypes, signal, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n"

ATTACKS: dict[str, str] = {
    "read a file of the host": "print(open({secret!r}).read())",
    "list a directory of the host": "print(os.listdir({directory!r}))",
    "read account hashes": "print(open('/etc/shadow').read(), 'root:' )",
    "write a file of the host": "open({directory!r} + '/written', 'w').write('x')",
    "truncate a file of the host": "os.truncate({victim!r}, 0)",
    "delete a file of the host": "os.unlink({victim!r})",
    "change a file's mode on the host": "os.chmod({victim!r}, 0o4777)",
    "link to a file of the host": "os.link({secret!r}, os.environ['HOME'] + '/l')\n"
    "print(open(os.environ['HOME'] + '/l').read())",
    "read the judge's environment": "print(open('/proc/{pid}/environ').read())",
    "read the judge's memory": "print(open('/proc/{pid}/mem', 'rb').read(1))",
    "connect to a TCP port": "socket.create_connection(('127.0.0.1', {port}), 1).send(b'x')",
    "connect to an abstract socket": "s = socket.socket(socket.AF_UNIX)\n"
    "s.connect('\\0' + {abstract!r})\ns.send(b'x')",
    "send a datagram to a unix socket": "a, b = socket.socketpair(1, socket.SOCK_DGRAM)\n"
    "a.sendto(b'x', {datagram!r})",
    "signal the judge": "os.kill({pid}, signal.SIGURG)",
    "trace the judge": "assert libc.ptrace(16, {pid}, 0, 0) == 0\nprint('escaped')",
    "make a user namespace": "assert libc.unshare(0x10000000) == 0\nprint('escaped')",
    "mount a file system": "assert libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) == 0\n"
    "print('escaped')",
    "become root": "os.setuid(0)\nprint('escaped' if os.getuid() == 0 else '')",
    "run a program of the host": "os.execv('/bin/echo', ['echo', 'escaped'])",
    "use io_uring": "assert libc.syscall(425, 8, ctypes.create_string_buffer(256)) >= 0\n"
    "print('escaped')",
    "keep memory in a memfd": "os.memfd_create('x')\nprint('escaped')",
    "use inherited descriptors": "for fd in range(3, 256):\n"
    "    try:\n        os.write(fd, b'x')\n    except OSError: pass\n",
}


class Runs(Protocol):
    """A started sandbox, as far as it is attacked."""

    async def run(self, source: str | bytes) -> Outcome:
        """Run a Python program once."""
        ...


@dataclass(slots=True)
class Report:
    """What came of the attacks: the names of those that reached something outside."""

    leaks: list[str] = field(default_factory=list)
    tried: int = 0


class Bait:
    """Things outside the cell that an attack would find, and ways to see whether one did."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.word = secrets.token_hex(16)
        self.secret, self.victim = place / "secret", place / "victim"
        self.secret.write_text(self.word)
        self.victim.write_text("whole")
        self.secret.chmod(0o644)
        self.victim.chmod(0o666)
        place.chmod(0o777)
        self.abstract = f"orch-{self.word}"
        self.sockets = [socket.socket(), *(socket.socket(socket.AF_UNIX) for _ in range(1))]
        self.sockets[0].bind(("127.0.0.1", 0))
        self.sockets[1].bind("\0" + self.abstract)
        for listener in self.sockets:
            listener.listen()
            listener.setblocking(False)
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagram.bind(str(place / "datagram"))
        (place / "datagram").chmod(0o777)
        self.datagram.setblocking(False)

    def source(self, attack: str) -> str:
        """The attack aimed at this bait."""
        return _COMMON + attack.format(
            secret=str(self.secret),
            victim=str(self.victim),
            directory=str(self.place),
            pid=os.getpid(),
            port=self.sockets[0].getsockname()[1],
            abstract=self.abstract,
            datagram=str(self.place / "datagram"),
        )

    def touched(self) -> str:
        """What was reached, or ""."""
        if not self.victim.exists() or self.victim.read_text() != "whole":
            return "a file of the host was changed"
        if self.victim.stat().st_mode & 0o7777 != 0o666:
            return "the mode of a file of the host was changed"
        if (self.place / "written").exists():
            return "a file was written on the host"
        for listener in self.sockets:
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
                return "a socket of the host was reached"
        with contextlib.suppress(BlockingIOError):
            self.datagram.recv(10)
            return "a datagram reached the host"
        return ""

    def close(self) -> None:
        for held in (*self.sockets, self.datagram):
            held.close()


@contextlib.contextmanager
def bait() -> Iterator[Bait]:
    """A bait in a temporary directory that any user may enter, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="orch-bait-") as name:
        held = Bait(Path(name))
        try:
            yield held
        finally:
            held.close()


def _shown(stdout: bytes, trap: Bait) -> bool:
    return trap.word.encode() in stdout or b"escaped" in stdout or b"root:" in stdout


async def core(box: Runs) -> Report:
    """All attacks in one sample, as quickly as that goes."""
    report = Report(tried=len(ATTACKS))
    with bait() as trap:
        steps = [trap.source(text) for text in ATTACKS.values()]
        # The program that would replace the process comes last, since nothing follows it.
        steps.sort(key=lambda step: "execv" in step)
        body = f"for step in {steps!r}:\n    try: exec(step)\n    except Exception: pass\n"
        outcome = await box.run(body + "print('done', flush=True)\n" + "pass\n")
        if outcome.status == "fault":
            report.leaks.append(f"the cell failed: {outcome.detail}")
        elif _shown(outcome.stdout, trap):
            report.leaks.append("something of the host was read or run")
        elif b"done" not in outcome.stdout:
            report.leaks.append(f"the attacks did not run: {outcome.status} {outcome.detail}")
        if touched := trap.touched():
            report.leaks.append(touched)
    return report


async def each(box: Runs) -> dict[str, str]:
    """Every attack by name with what it reached; "" where it was contained."""
    found = {}
    for name, text in ATTACKS.items():
        with bait() as trap:
            outcome = await box.run(trap.source(text))
            reached = trap.touched()
            if _shown(outcome.stdout, trap):
                reached = "something of the host was read or run"
            found[name] = reached or (outcome.detail if outcome.status == "fault" else "")
    return found
