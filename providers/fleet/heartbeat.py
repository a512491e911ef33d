"""The starter's end of a guard: start it, and keep it told that this process is well.

One thread of its own writes to every guard, so that a busy event loop ends no server, while a
process that is stopped or dead does. The pipes are never inherited by anything else that this
process starts, so that their end is this process's end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO

from providers.fleet import holds, processes
from providers.fleet.guard import Order
from providers.run_module import command_of

BEATS_PER_LEASE = 20


class _Beats:
    """The thread; it ends with the process, and needs no stopping."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipes: dict[int, float] = {}
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, descriptor: int, every_s: float) -> None:
        with self._lock:
            self._pipes[descriptor] = every_s
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="heartbeats", daemon=True)
                self._thread.start()
        self._news.set()

    def close(self, descriptor: int) -> None:
        """Close the pipe: the guard ends its server. May be called twice."""
        with self._lock:
            if self._pipes.pop(descriptor, None) is not None:
                os.close(descriptor)

    def _beat(self) -> None:
        while True:
            with self._lock:
                every_s = min(self._pipes.values(), default=3600.0)
                for descriptor in self._pipes:
                    # A full pipe has enough beats in it; a broken one has no guard.
                    with contextlib.suppress(OSError):
                        os.write(descriptor, b".")
            self._news.wait(every_s)
            self._news.clear()


_beats = _Beats()


@dataclass(slots=True)
class Guarded:
    """A command under a guard of ours."""

    order: Order
    process: Process
    """The guard."""
    _lifeline: int

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    async def wait(self) -> int:
        """Return the guard's exit code once all of the command has ended."""
        code = await self.process.wait()
        _beats.close(self._lifeline)
        if holds.left_of(self.order.id):
            # Somebody killed the guard: its work is done here.
            await asyncio.to_thread(
                processes.end, lambda: holds.left_of(self.order.id), self.order.grace_s
            )
        return code

    async def stop(self) -> int:
        """End the command and wait until nothing of it is left. May be called twice."""
        # Ends it even where this call is cancelled.
        _beats.close(self._lifeline)
        return await self.wait()

    @property
    def ended_at(self) -> float | None:
        """Unix time at which its guard saw the last of it gone; None: not known."""
        return next((h.ended_at for h in holds.holds() if h.id == self.order.id), None)


async def start_guard(order: Order, environment: Mapping[str, str], log: IO[bytes]) -> Guarded:
    """Start a command under a guard; what it writes goes to `log`. `order.id` must be set."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        process = await asyncio.create_subprocess_exec(
            *command_of("providers.fleet.guard"),
            *(json.dumps(asdict(order)), str(read_end)),
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environment),
            pass_fds=(read_end,),
            start_new_session=True,
        )
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    _beats.add(write_end, order.lease_s / BEATS_PER_LEASE)
    return Guarded(order, process, write_end)
