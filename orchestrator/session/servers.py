"""The servers that a session starts itself: the bundled model's, and fleets that are launched.

Each is watched while the run goes on and ended with it, or as soon as no arm needs it; one whose
money ends while it is still starting is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from budgets.meter import Meter
from orchestrator.engine.counters import RunState
from orchestrator.errors import OrchError, RunFault
from orchestrator.plan.prepare import Prepared, open_provider
from orchestrator.session.fleets import Fleets
from orchestrator.session.metering import Meters, grace_s, while_paid

if TYPE_CHECKING:
    from providers.tiny.child import Child

NOWHERE = "http://127.0.0.1:9/v1"
"""The address of a server that is not started: nothing is ever sent there."""


class Servers:
    """What a session started, by the meters that count it."""

    def __init__(
        self, prepared: Prepared, directory: Path, meters: Meters, state: RunState
    ) -> None:
        self._prepared = prepared
        self._directory = directory
        self._meters = meters
        self._child: Child | None = None
        self._watching: asyncio.Task[None] | None = None
        self._fleets = Fleets(prepared, directory, meters, state)

    @property
    def bundled_url(self) -> str:
        """The base URL of the bundled model's server, "" where none runs."""
        return self._child.base_url if self._child else ""

    async def start(
        self, stack: contextlib.AsyncExitStack, say: Callable[[str], None] | None
    ) -> None:
        """Start what the arms need; `say` hears how launches get on. Raises RunFault."""
        await self._start_bundled(stack)
        stack.push_async_callback(self._fleets.stop)
        telling = asyncio.create_task(self._fleets.tell_start(say)) if say else None
        try:
            starting = asyncio.create_task(self._fleets.start())
            await while_paid(starting, list(self._meters.running.values()))
        finally:
            if telling is not None:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    async def _start_bundled(self, stack: contextlib.AsyncExitStack) -> None:
        """Start the bundled model's server where an arm needs it, and open its provider."""
        prepared, meters = self._prepared, self._meters
        places = [arm.endpoint for arm in prepared.arms]
        users = [n for n, place in enumerate(places) if place.bundled and place.launch is None]
        bundled = [prepared.arms[number] for number in users]
        if not bundled:
            return
        if set(users) <= set(meters.unpaid):
            for arm in bundled:
                arm.provider = open_provider(arm, prepared.study, NOWHERE)
            return
        from providers.tiny.child import ServerStartError, start_server

        try:
            starting = start_server(log=self._directory / "logs" / "server.log")
            paid = list(meters.running.values())
            self._child = await while_paid(asyncio.create_task(starting), paid)
        except ServerStartError as error:
            raise RunFault(f"{error}.") from None
        stack.push_async_callback(self._child.stop)
        for arm in bundled:
            # Closed with the arm.
            arm.provider = open_provider(arm, prepared.study, self._child.base_url)

    def watch(self, stop: Callable[[OrchError], None]) -> None:
        """Tell `stop` where a server ends by itself; what was bought is kept."""
        if self._child is not None:
            self._watching = asyncio.create_task(_watch(self._child, stop))
        self._fleets.watch(stop)

    async def let_go(self, meter: Meter) -> None:
        """The server of one meter is needed no more, though the run goes on."""
        endpoint = next(place for place, one in self._meters.running.items() if one is meter)
        if endpoint.bundled and not self._meters.bundled_beside(meter):
            await self._stop_bundled()
        await self._fleets.let_go(endpoint)
        meter.stop()

    async def stop(self) -> None:
        """End all of them, and their meters."""
        await self._stop_bundled()
        await self._fleets.stop()
        self._meters.stop()

    async def stop_watching(self) -> None:
        """From now on a server that ends by itself is nobody's fault."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _stop_bundled(self) -> None:
        await self.stop_watching()
        if self._child is not None:
            await self._child.stop(grace_s(self._meters))


async def _watch(child: Child, stop: Callable[[OrchError], None]) -> None:
    code = await child.process.wait()
    stop(
        RunFault(f"The bundled model's server ended by itself with exit code {code}; use --resume.")
    )
