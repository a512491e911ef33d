"""A server that cannot be asked pauses its arms, is looked for, and costs no slot meanwhile.

Failures in a row in which it did not answer at all, or an illness that it tells itself under
/health, put a server aside: nothing is sent to it, what failed meanwhile is not counted against
its requests' tries, and it is asked once a second whether it is back. So is one that hangs: it
works on something and its tokens do not move, whatever its /health says. One that answers again
gets its arms back. One that has not by the end of `patience_s` ends the run.

The same look tells the limiter how much the server runs and queues (budgets/concurrency.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiolimiter import AsyncLimiter

from budgets.fullness import ServerLoad
from budgets.limiter import Limiter
from orchestrator.errors import RunFault
from orchestrator.plan.ready import ReadyArm
from providers.errors import ConnectionFailed, Overloaded, ProviderError, TimedOut
from providers.probe import HttpProbe, ModelsProbe, probe_of

IN_A_ROW = 3
"""Failures without an answer between them after which a server is looked at."""
LOOK_S = 1.0
HANGS_S = 120.0
"""Tokens that have not moved for so long do not move: longer than what is compiled on the way."""
DEAF_S = 30.0
"""A server that told of itself before, and has told nothing for so long, is not there."""


@dataclass(slots=True, eq=False)
class WatchedServer:
    """One server, as far as its answers and its own words tell."""

    limiter: Limiter
    arms: list[ReadyArm]
    probe: HttpProbe | ModelsProbe
    failures: int = 0
    """In a row."""
    since: float = 0.0
    """When the first of them came."""
    why: str = ""
    """Why it is aside; empty: it is well."""
    tells: bool = False
    """Whether it ever told of its load."""
    told_at: float = 0.0
    tokens: float = -1.0
    moved_at: float = 0.0
    hung: bool = False

    def moves(self, load: ServerLoad, now: float) -> None:
        """Note when its tokens last moved, or it had nothing to do."""
        self.tells, self.told_at = True, now
        tokens = load.generated_tokens
        idle = not load.running and not load.waiting
        if tokens is None or tokens != self.tokens or idle:
            self.tokens, self.moved_at = -1.0 if tokens is None else tokens, now


@dataclass(slots=True)
class Outages:
    """Watches the servers of a session; see the module's contract."""

    arms: list[ReadyArm]
    patience_s: float
    aside: Callable[[ReadyArm], None]
    """Called where an arm must not be asked for anything until `back`."""
    back: Callable[[ReadyArm], None]
    give_up: Callable[[RunFault], None]
    note: Callable[[str], None]
    hangs_s: float = HANGS_S
    clock: Callable[[], float] = time.monotonic
    _by_arm: dict[int, WatchedServer] = field(default_factory=dict)
    """A fleet's servers are its own affair, and a recording is always there."""
    _servers: list[WatchedServer] = field(default_factory=list)
    _looks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        servers: dict[Limiter, WatchedServer] = {}
        for arm in self.arms:
            limiter = arm.limiter
            if arm.batch or not isinstance(limiter, Limiter) or arm.provider.name == "replay":
                continue
            if limiter not in servers:
                probe = probe_of(arm.provider)
                servers[limiter] = WatchedServer(limiter, [], probe, moved_at=self.clock())
            self._by_arm[arm.number] = servers[limiter]
            servers[limiter].arms.append(arm)
        self._servers = list(servers.values())

    def down(self, arm: ReadyArm) -> bool:
        """Whether an arm's server is aside."""
        server = self._by_arm.get(arm.number)
        return server is not None and bool(server.why)

    def answered(self, arm: ReadyArm) -> None:
        """Its server answered a request."""
        server = self._by_arm.get(arm.number)
        if server is not None and server.failures:
            server.failures = 0
            self._well(server)

    def failed(self, arm: ReadyArm, error: ProviderError) -> bool:
        """A request failed; whether that is the server's outage and says nothing of the request."""
        server = self._by_arm.get(arm.number)
        if server is None or not _unanswered(error):
            return False
        if not server.failures:
            server.since = self.clock()
        server.failures += 1
        if server.failures == IN_A_ROW:
            # One that answers with errors may be well for other requests: its own word decides.
            if not isinstance(error, Overloaded):
                self._set_aside(server, str(error))
            self._look_now(server)
        return bool(server.why) or error.sent == "not_sent"

    def sentence(self) -> str:
        """Which servers are waited for, for the view; empty: none."""
        now = self.clock()
        return "; ".join(
            f"the server {server.probe.name}: {server.why}; looked for since "
            f"{now - server.since:.0f} s, for {self.patience_s:.0f} s at most (--server-patience)"
            for server in self._servers
            if server.why
        )

    async def watch(self) -> None:
        """Look at every server once a second until cancelled."""
        pace = AsyncLimiter(1, LOOK_S)
        try:
            while True:
                await pace.acquire()
                for server in self._servers:
                    self._look_now(server)
                    if server.why and self.clock() - server.since > self.patience_s:
                        self.give_up(self._fault(server))
        finally:
            for look in self._looks:
                look.cancel()
            await asyncio.gather(*self._looks, return_exceptions=True)
            for server in self._servers:
                await server.probe.aclose()

    def _look_now(self, server: WatchedServer) -> None:
        if any(look.get_name() == str(id(server)) for look in self._looks):
            return
        look = asyncio.create_task(self._look(server), name=str(id(server)))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    async def _look(self, server: WatchedServer) -> None:
        """Look at one server once."""
        load = None
        if not server.why or server.hung:
            try:
                load = await server.probe.load()
            except ProviderError as error:
                if server.tells and self.clock() - server.told_at > DEAF_S:
                    self._set_aside(server, f"{error}")
        now = self.clock()
        if load is not None:
            server.moves(load, now)
            server.limiter.observe(load)
            self._look_for_hang(server, now)
        if server.hung or not (server.why or server.failures >= IN_A_ROW):
            return
        ill = await server.probe.ill()
        if ill and not server.why:
            self._set_aside(server, ill)
        elif ill:
            server.why = ill
        else:
            self._well(server)

    def _look_for_hang(self, server: WatchedServer, now: float) -> None:
        silent_s = now - server.moved_at
        if not server.why and server.tokens >= 0 and silent_s > self.hangs_s:
            self._set_aside(server, f"no token in {silent_s:.0f} s although it has work to do")
            server.hung = True
        elif server.hung and silent_s < LOOK_S:
            self._well(server)

    def _set_aside(self, server: WatchedServer, why: str) -> None:
        if server.why:
            return
        now = self.clock()
        server.since = server.since if server.failures else now
        server.why = why
        self.note(
            f"{server.probe.name} cannot be asked ({why}); nothing is sent there and no sample is "
            "given up until it is back."
        )
        server.limiter.shut(why)
        for arm in server.arms:
            self.aside(arm)

    def _well(self, server: WatchedServer) -> None:
        """It is there again: its arms go on."""
        if not server.why:
            return
        server.why, server.hung = "", False
        # Not `failures`: only an answer shows that it is well, and ends the patience's count.
        server.failures = min(server.failures, IN_A_ROW - 1)
        server.moved_at = server.told_at = self.clock()
        server.limiter.open()
        for arm in server.arms:
            self.back(arm)

    def _fault(self, server: WatchedServer) -> RunFault:
        return RunFault(
            f"The server {server.probe.name} has not been back for {self.patience_s:.0f} s "
            f"({server.why}); start it again and use --resume, or wait longer with "
            "--server-patience SECONDS."
        )


def _unanswered(error: ProviderError) -> bool:
    """Whether a failure is one of the server and not of what was asked."""
    if isinstance(error, TimedOut):
        return error.phase == "connect"
    if isinstance(error, Overloaded):
        # A full queue is no illness.
        return error.status not in (408, 409, 425, 503, 529)
    return isinstance(error, ConnectionFailed)
