"""FleetLimiter: lets a request through when some server of a fleet has room for it.

It has the ways of budgets.Limiter that an engine uses. What each server may have in flight is for
that server's own limiter, which the fleet keeps; here it is only waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from budgets.concurrency import Change
from budgets.limiter import LOOK_AGAIN_S, CannotClear, Limiter, Permit
from providers.fleet.provider import FleetProvider


class FleetLimiter:
    """Admission to a fleet; see the module's contract."""

    def __init__(self, fleet: FleetProvider, *, patience_s: float = 600.0) -> None:
        """`patience_s`: how long all servers may be down."""
        self.fleet = fleet
        self._patience_s = patience_s
        self._down_since: float | None = None
        self._limited_by = ""
        self.in_flight = 0
        self.sequences = 0
        self.waited_s: dict[str, float] = {}

    @property
    def limiters(self) -> list[tuple[str, Limiter]]:
        """Each server's name and limiter."""
        return [(server.name, server.limiter) for server in self.fleet.every_server]

    @property
    def concurrency(self) -> int:
        """How many sequences may be in flight over all servers that are well."""
        return sum(server.limiter.concurrency for server in self.fleet.open_servers())

    @property
    def places(self) -> float:
        """Sequences that all servers that are well work on at once, as far as is known."""
        return sum(
            server.fullness.places or server.limiter.concurrency
            for server in self.fleet.open_servers()
        )

    @property
    def history(self) -> list[Change]:
        return []

    @property
    def limits(self) -> dict[str, float]:
        return {}

    def limited_by(self) -> str:
        """What limits the speed now, in plain words; empty: nothing here does."""
        return self._limited_by

    async def admit(self, input_tokens: int, output_tokens: int, sequences: int = 1) -> Permit:
        """Return when some server has room for a request of this size; raises CannotClear."""
        clock = self.fleet.clock
        while True:
            self.fleet.changed.clear()
            wait_s, why = self._wait(sequences)
            self._limited_by = why
            if not wait_s:
                break
            began = clock()
            await self._sleep(wait_s)
            self.waited_s[why] = self.waited_s.get(why, 0.0) + clock() - began
        self.in_flight += 1
        self.sequences += sequences
        return Permit(float(input_tokens), float(output_tokens), float(output_tokens), sequences)

    def done(self, *, permit: Permit | None = None, **_: Any) -> None:
        """A request admitted earlier is over; its server's limiter knows how it went."""
        self.in_flight -= 1
        self.sequences -= 1 if permit is None else permit.sequences
        self.fleet.changed.set()

    async def _sleep(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(None if wait_s == float("inf") else wait_s):
                await self.fleet.changed.wait()
        except TimeoutError:
            pass

    def _wait(self, sequences: int) -> tuple[float, str]:
        fleet, now = self.fleet, self.fleet.clock()
        able = fleet.open_servers()
        if not able:
            return self._all_down(now)
        self._down_since = None
        frees = [server.free(sequences) for server in able]
        # Those admitted and not yet under way will take the room that is seen now.
        claimed = self.in_flight - fleet.requests
        if sum(max(0, int(free // sequences)) for free, _ in frees) > claimed:
            return 0.0, ""
        _, why = max(frees)
        return LOOK_AGAIN_S, why or "requests that are just being sent"

    def _all_down(self, now: float) -> tuple[float, str]:
        fleet = self.fleet
        if self._down_since is None:
            self._down_since = now
        if now - self._down_since > self._patience_s:
            raise CannotClear(
                f"no server has been up for {self._patience_s:.0f} s ({fleet.down()}); start one "
                "again and resume"
            )
        opens = [at for one in fleet.servers if (at := one.health.opens_at()) is not None]
        wait_s = min([1.0, *(max(LOOK_AGAIN_S, at - now) for at in opens)])
        return wait_s, f"no server is up, and they are looked for ({fleet.down()})"


def limiters_of(limiter: Limiter | FleetLimiter) -> Mapping[str, Limiter]:
    """The limiters behind one, by the server's name; "" where there is no fleet."""
    if isinstance(limiter, FleetLimiter):
        return dict(limiter.limiters)
    return {"": limiter}
