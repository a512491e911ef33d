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
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from providers.run_module import command_of

COMMAND = command_of("providers.tiny.__main__")

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
    _lifeline: IO[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self.process.returncode is None

    async def stop(self, grace_s: float = 5.0) -> int:
        """End the server and wait for it; returns its exit code. May be called twice."""
        try:
            if self.running:
                self.process.terminate()
                await asyncio.wait_for(self.process.wait(), grace_s)
        except TimeoutError:
            self.process.kill()
        finally:
            # Ends the child even where this call is cancelled.
            self._lifeline.close()
        return await self.process.wait()


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
    with log.open("a+b") if log is not None else tempfile.TemporaryFile() as errors:
        process, lifeline = await _spawn(arguments, errors)
        listening: dict[str, str] = {}
        try:
            listening = await asyncio.wait_for(_first_line(process), ready_timeout_s)
            if not listening:
                # It is leaving by itself; a signal now would reap it and lose its exit code.
                await asyncio.wait_for(process.wait(), ready_timeout_s)
        except TimeoutError:
            raise _failure(f"did not listen within {ready_timeout_s:g} s", errors) from None
        finally:
            # Cancelled or late, no child is left behind.
            if not listening:
                await _end(process, lifeline)
        if not listening:
            raise _failure(f"ended with exit code {process.returncode}", errors)
    return Child(listening["base_url"], listening["model"], process, lifeline)


async def _spawn(arguments: list[str], errors: IO[bytes]) -> tuple[Process, IO[bytes]]:
    """The child process, and the write end of the pipe that it lives as long as."""
    read_end, write_end = os.pipe()
    lifeline = os.fdopen(write_end, "wb", buffering=0)
    try:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            *("--parent-fd", str(read_end)),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=errors,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
            pass_fds=(read_end,),
            start_new_session=True,
        )
    except BaseException:
        # Not started, or cancelled while it was: it ends when this is closed.
        lifeline.close()
        raise
    finally:
        os.close(read_end)
    return process, lifeline


async def _first_line(process: Process) -> dict[str, str]:
    """What the server says once it listens; empty if it ended without a word."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    return dict(json.loads(line)) if line else {}


async def _end(process: Process, lifeline: IO[bytes]) -> None:
    """Kill a child that did not come up."""
    if process.returncode is None:
        process.kill()
    lifeline.close()
    await process.wait()


def _failure(what: str, errors: IO[bytes]) -> ServerStartError:
    """The error for a server that did not come up, with the end of what it wrote."""
    errors.seek(0)
    written = errors.read().decode(errors="replace").strip()[-2000:]
    return ServerStartError(
        f"the bundled model's server {what}" + (f": {written}" if written else "")
    )
