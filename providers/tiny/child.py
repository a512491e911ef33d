"""The bundled server as a child process.

    child = await start_server()
    ...  # requests to child.base_url, for child.model
    await child.stop()

The child binds a free loopback port by itself and says which. It ends when `stop` is called, and
however this process ends, kill -9 included: it holds the read end of a pipe whose write end is
here. It lives in a session of its own, so that Ctrl-C at the terminal reaches this process alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]

# Runs the very package that this file belongs to, whatever the working directory holds.
BOOT = (
    "import sys; root = sys.argv.pop(1); root in sys.path or sys.path.insert(0, root); "
    "from providers.tiny.__main__ import main; main()"
)

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
"""The environment that the child gets; keys and tokens stay here."""


class ServerStartError(Exception):
    """The server did not come up; says what it wrote."""


@dataclass(slots=True)
class Child:
    """A running server."""

    base_url: str
    """Such as http://127.0.0.1:41234/v1."""
    model: str
    """The id of the model that it serves."""
    process: Process
    _lifeline: int = field(repr=False)
    _stopped: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self.process.returncode is None

    async def stop(self, grace_s: float = 5.0) -> int:
        """End the server and wait for it; returns its exit code. May be called twice."""
        if self.running:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), grace_s)
            except TimeoutError:
                self.process.kill()
        code = await self.process.wait()
        if not self._stopped:
            self._stopped = True
            os.close(self._lifeline)
        return code


async def start_server(
    *,
    bill: Path | None = None,
    log: Path | None = None,
    model_directory: Path | None = None,
    ready_timeout_s: float = 60.0,
) -> Child:
    """Start the server and wait until it answers.

    `bill` is its own record of every request, `log` gets what it writes to stderr. Raises
    ServerStartError if it ends, or does not listen within `ready_timeout_s`.
    """
    arguments = ["--port", "0"]
    if bill is not None:
        arguments += ["--bill", str(bill)]
    if model_directory is not None:
        arguments += ["--model", str(model_directory)]
    # The file stays with the child; here it is only read again if the child does not come up.
    errors: IO[bytes] = log.open("a+b") if log is not None else tempfile.TemporaryFile()
    with errors:
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                BOOT,
                str(ROOT),
                *arguments,
                "--parent-fd",
                str(read_end),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=PIPE,
                stderr=errors,
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
                pass_fds=(read_end,),
                start_new_session=True,
            )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        try:
            listening = await asyncio.wait_for(_first_line(process), ready_timeout_s)
        except BaseException as error:
            # Whatever happens here, cancellation included, no child may be left behind.
            await _end(process, write_end)
            if isinstance(error, TimeoutError):
                raise _failure(f"did not listen within {ready_timeout_s:g} s", errors) from None
            raise
        if not listening:
            await _end(process, write_end)
            raise _failure(f"ended with exit code {process.returncode}", errors)
    return Child(listening["base_url"], listening["model"], process, write_end)


async def _first_line(process: Process) -> dict[str, str]:
    """What the server says once it listens; empty if it ended without a word."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    return dict(json.loads(line)) if line else {}


async def _end(process: Process, lifeline: int) -> None:
    """Kill a child that did not come up."""
    if process.returncode is None:
        try:
            process.send_signal(signal.SIGKILL)
        except ProcessLookupError:
            pass  # It ended by itself in this very moment.
    await process.wait()
    os.close(lifeline)


def _failure(what: str, errors: IO[bytes]) -> ServerStartError:
    """The error for a server that did not come up, with the end of what it wrote."""
    errors.seek(0)
    written = errors.read().decode(errors="replace").strip()[-2000:]
    return ServerStartError(
        f"the bundled model's server {what}" + (f": {written}" if written else "")
    )
