"""Watches a fleet's servers beside their requests: how full, whether tokens move, who came back.

Each server is looked at twice a second: its /metrics, and its /health where it is put aside. One
whose tokens do not move although it works on something hangs, whatever its /health says; one that
tells nothing hangs when nothing comes back for much longer than ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from budgets.fullness import ServerLoad
from providers.errors import ProviderError
from providers.fleet.provider import FleetProvider
from providers.fleet.server import FleetServer
from providers.probe import Probe

LOOK_S = 0.5
DEAF_S = 15.0
"""A server that has not even told its state for so long hangs."""
HANG_S = 60.0
"""Tokens that have not moved for so long do not move: longer than any compilation on the way."""
SILENT_S = 600.0
"""Where no tokens are told."""


@dataclass(slots=True)
class _Moves:
    """When a server's tokens last moved."""

    tokens: float = -1.0
    at: float = 0.0
    reached_at: float = 0.0
    """When it last answered anything about itself."""


class FleetWatch:
    """Looks at every server until cancelled."""

    def __init__(
        self,
        fleet: FleetProvider,
        probe: Callable[[FleetServer], Probe],
        *,
        hang_s: float = HANG_S,
        deaf_s: float = DEAF_S,
        every_s: float = LOOK_S,
        also: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`also` is awaited each time round: a file of servers is read again there."""
        self._fleet = fleet
        self._probe = probe
        self._hang_s = hang_s
        self._deaf_s = deaf_s
        self._every_s = every_s
        self._also = also
        self._moves: dict[FleetServer, _Moves] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        looking: dict[FleetServer, asyncio.Task[None]] = {}
        try:
            while True:
                for server in self._fleet.servers:
                    task = looking.get(server)
                    if task is None or task.done():
                        looking[server] = asyncio.create_task(self.look(server))
                if self._also is not None:
                    await self._also()
                await asyncio.sleep(self._every_s)
        finally:
            for task in looking.values():
                task.cancel()
            await asyncio.gather(*looking.values(), return_exceptions=True)

    async def look(self, server: FleetServer) -> None:
        """Look at one server once."""
        now = self._fleet.clock()
        probe = self._probe(server)
        if server.health.to_look_at(now):
            healthy = not await probe.ill()
            server.health.looked(self._fleet.clock(), healthy)
            if healthy:
                self._fleet.changed.set()
        moves = self._moves.setdefault(server, _Moves(at=now, reached_at=now))
        load = None
        if server.health.well or server.flights:
            with contextlib.suppress(ProviderError):
                load = await probe.load()
                moves.reached_at = self._fleet.clock()
        else:
            moves.reached_at = now
        if load is not None:
            server.told(load)
            self._fleet.changed.set()
        self._look_for_hang(server, load, moves)

    def _look_for_hang(self, server: FleetServer, load: ServerLoad | None, moves: _Moves) -> None:
        now = self._fleet.clock()
        tokens = None if load is None else load.generated_tokens
        if tokens is not None and tokens != moves.tokens:
            moves.tokens, moves.at = tokens, now
        begun = min((flight.sent_at for flight in server.flights), default=now)
        since = max(moves.at if moves.tokens >= 0 else server.last_answer, begun)
        patience = self._hang_s if moves.tokens >= 0 else max(SILENT_S, self._hang_s)
        if not server.flights:
            return
        if now - since > patience:
            moves.at = now
            self._fleet.cut(server, f"hangs: no token in {now - since:.0f} s with work to do")
        elif now - max(moves.reached_at, begun) > min(self._deaf_s, self._hang_s):
            moves.reached_at = now
            self._fleet.cut(server, "hangs: it does not answer any more")
