"""Runs the server as a process: threads, signals, the parent, and the line that says where.

Once the server listens, one JSON line goes to stdout: `{"event": "listening", "base_url", "host",
"port", "model", "pid"}`. SIGTERM and SIGINT end it; open requests get a moment to finish. With
`parent_fd`, the read end of a pipe that the parent holds the other end of, the process ends at
once when the parent is gone, however it went.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import select
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from providers.tiny.server import Settings

PARENT_CHECK_S = 0.5
"""How often the parent's process id is looked at, should something else hold the pipe open."""


def run(
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    bill: Path | None = None,
    model_directory: Path | None = None,
    model_name: str | None = None,
    parent_fd: int | None = None,
) -> None:
    """Serve until told to stop; exits with 2 and one sentence where it cannot start."""
    if parent_fd is not None:
        watch_parent(parent_fd)
    # More threads than one cost more than they bring for matrices this small, and the client
    # needs a core of its own. Must be set before numpy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from providers.tiny.server import Settings
    from providers.tiny.weights import ModelFileError

    settings = Settings(host=host, port=port, bill=bill)
    if model_directory is not None:
        settings = replace(
            settings, model_directory=model_directory, model_name=model_directory.resolve().name
        )
    if model_name is not None:
        settings = replace(settings, model_name=model_name)
    try:
        sys.exit(asyncio.run(_serve(settings)))
    except (OSError, ModelFileError) as error:
        hint = ""
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            hint = "; choose another --port, or 0 for a free one"
        sys.stderr.write(f"cannot serve: {error}{hint}\n")
        sys.exit(2)


async def _serve(settings: Settings) -> int:
    """Serve until a signal (0) or until the engine ends by itself (1)."""
    from providers.tiny.server import TinyServer

    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    engine_ended = asyncio.Event()

    def on_engine_end() -> None:
        engine_ended.set()
        told_to_stop.set()

    server = TinyServer(settings, on_engine_end)
    port = await server.start()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    listening = {
        "event": "listening",
        "base_url": f"http://{host}:{port}/v1",
        "host": settings.host,
        "port": port,
        "model": settings.model_name,
        "pid": os.getpid(),
    }
    sys.stdout.write(json.dumps(listening) + "\n")
    sys.stdout.flush()
    await told_to_stop.wait()
    failed = engine_ended.is_set()
    await server.stop()
    return 1 if failed else 0


def watch_parent(parent_fd: int) -> None:
    """End this process as soon as the pipe closes or the parent process is another."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            readable, _, _ = select.select([parent_fd], [], [], PARENT_CHECK_S)
            if readable and not os.read(parent_fd, 1):
                break
        # Not sys.exit: this is not the main thread, and nothing is worth a moment's delay.
        os._exit(0)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
