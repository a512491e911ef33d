"""Starting servers and keeping them up: the first alone, then the others; each under a guard.

A server is ready once it is healthy, names its model and has answered one request. One that ends
by itself is started again, three times within ten minutes; after that it stays down and its share
is for the others. What is paid from its launch to its end is told through `on_launch`, `on_end`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from yarl import URL

from providers.errors import ProviderError
from providers.fleet.engines import (
    PORT_TAKEN,
    EngineProgram,
    ServerSpec,
    command,
    failure,
    milestones,
)
from providers.fleet.guard import GRACE_S, LEASE_S, Order, new_id
from providers.fleet.heartbeat import Guarded, start_guard
from providers.sample import Sending
from providers.transport import Route, Timeouts, Transport

RESTARTS = 3
RESTARTS_WITHIN_S = 600.0
PORTS = 3
"""Ports that are tried for one start."""
BELOW_EPHEMERAL = (10_000, 32_000)
"""Ports that Linux gives no outgoing connection, so that none takes one meanwhile."""
PORTS_LOOKED_AT = 50
LOOK_S = 0.25
WARM_UP_S = 300.0
"""The first request compiles what no start has compiled."""
LOG_TAIL = 200_000

PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "XDG_CACHE_HOME",
             "XDG_STATE_HOME", "CC", "CXX", "http_proxy", "https_proxy", "no_proxy")  # fmt: skip
PASSED_ON_KINDS = ("LD_", "CUDA_", "NVIDIA_", "NCCL_", "VLLM_", "HF_", "HUGGING", "TRANSFORMERS_",
                   "TORCH", "TRITON_", "OMP_", "MKL_", "OPENBLAS_", "SSL_", "REQUESTS_", "HTTP_",
                   "HTTPS_", "NO_PROXY", "ROCM_", "HIP_", "RAY_", "SAFETENSORS_")  # fmt: skip


class LaunchError(Exception):
    """A server did not come up; the cause in the engine's own words, and what to do."""


class PortTaken(LaunchError):
    """Another process took the port between its choice and its use."""


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What is launched, the same for every server but its GPUs."""

    program: EngineProgram
    model: str
    served_name: str
    groups: tuple[tuple[str, ...], ...]
    """The GPUs of each server; empty ones: on the CPU."""
    logs: Path
    run: str = ""
    tensor_parallel: int = 1
    data_parallel: int = 1
    sequences: int = 0
    arguments: tuple[str, ...] = ()
    lease_s: float = LEASE_S
    grace_s: float = GRACE_S
    ready_timeout_s: float = 3600.0

    @property
    def gpus_each(self) -> int:
        """GPUs that one server holds; on the CPU this machine counts as one for each."""
        return max(1, self.tensor_parallel * self.data_parallel)

    @property
    def drain_s(self) -> float:
        """How long a server may be paid for after orch was last heard of."""
        return Order((), self.lease_s, self.grace_s).drain_s


@dataclass(slots=True, eq=False)
class Launched:
    """One server's place: the process in it may change, its number does not."""

    number: int
    plan: LaunchPlan
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    hold: str = ""
    """Under which id its guard holds it; another after each start."""
    url: str = ""
    """Such as http://127.0.0.1:41234/v1; another after each start."""
    stage: str = "waiting"
    """What it is doing: the milestone it reached, ready, ended, or why it stays down."""
    guarded: Guarded | None = None
    started_at: float = 0.0
    ready: bool = False
    restarts: deque[float] = field(default_factory=deque)
    since: float = field(default_factory=time.monotonic)
    """When its stage began (monotonic)."""

    @property
    def name(self) -> str:
        return f"server {self.number}"

    @property
    def log(self) -> Path:
        return self.plan.logs / f"server-{self.number}.log"

    def at(self, stage: str) -> None:
        if stage != self.stage:
            self.stage, self.since = stage, time.monotonic()


class Launcher:
    """Starts a plan's servers and keeps them up until it is stopped."""

    def __init__(
        self,
        plan: LaunchPlan,
        *,
        on_launch: Callable[[Launched], None] = lambda _: None,
        on_ready: Callable[[Launched], None] = lambda _: None,
        on_end: Callable[[Launched, float], None] = lambda *_: None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_launch` just before a server's GPU is held; `on_end` once nothing of it is left,
        with the Unix time of that; `tell` gets sentences for a person."""
        self.plan = plan
        self.servers = [Launched(number, plan) for number in range(len(plan.groups))]
        self._on_launch, self._on_ready, self._on_end = on_launch, on_ready, on_end
        self._tell = tell
        self._transport = Transport(Timeouts(total_s=WARM_UP_S))
        self._keepers: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    async def start(self) -> None:
        """Return once the first server is ready; the others follow. Raises LaunchError.

        The first goes alone: what it downloads and compiles the others find done.
        """
        first = self.servers[0]
        await self._start_one(first)
        self._keepers = [asyncio.create_task(self._keep(server)) for server in self.servers]

    async def all_ready(self) -> None:
        """Return once every server is ready or stays down."""
        while not all(one.ready or one.stage == "down" for one in self.servers):
            self._news.clear()
            await self._news.wait()

    async def all_stay_down(self) -> None:
        """Return once no server is up or will be."""
        while not all(one.stage == "down" for one in self.servers):
            self._news.clear()
            await self._news.wait()

    async def stop(self) -> None:
        """End every server and wait until nothing of any is left. May be called twice."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(self._end(server) for server in self.servers))
        await self._transport.aclose()

    async def _end(self, server: Launched) -> None:
        guarded, server.guarded = server.guarded, None
        if guarded is None:
            return
        server.ready = False
        server.at("ending")
        await guarded.stop()
        self._on_end(server, guarded.ended_at or time.time())
        server.at("ended")

    async def _keep(self, server: Launched) -> None:
        """Start it where it is not up, and again when it ends by itself."""
        while True:
            if server.guarded is None:
                try:
                    await self._start_one(server)
                except LaunchError as error:
                    if not self._may_restart(server, f"{error}"):
                        return
                    continue
            assert server.guarded is not None
            await server.guarded.wait()
            guarded, server.guarded, server.ready = server.guarded, None, False
            self._on_end(server, guarded.ended_at or time.time())
            why = await asyncio.to_thread(self._cause, server)
            if not self._may_restart(server, f"{server.name} ended by itself: {why}"):
                return

    def _may_restart(self, server: Launched, why: str) -> bool:
        now = time.monotonic()
        while server.restarts and now - server.restarts[0] > RESTARTS_WITHIN_S:
            server.restarts.popleft()
        if len(server.restarts) >= RESTARTS:
            server.at("down")
            self._news.set()
            self._tell(
                f"{why}. It stays down after {RESTARTS} restarts in ten minutes; its share goes to "
                f"the others. Its log: {server.log}"
            )
            return False
        server.restarts.append(now)
        server.at("restarting")
        self._tell(f"{why}. It is started again ({len(server.restarts)} of {RESTARTS}).")
        return True

    async def _start_one(self, server: Launched) -> None:
        """Launch one server and wait until it is ready; raises LaunchError, with nothing left."""
        for _ in range(PORTS - 1):
            try:
                return await self._start_once(server)
            except PortTaken:
                continue
        return await self._start_once(server)

    async def _start_once(self, server: Launched) -> None:
        plan = self.plan
        port, server.hold = free_port(), new_id()
        server.url = f"http://127.0.0.1:{port}/v1"
        group = plan.groups[server.number]
        ask = ServerSpec(
            plan.model, plan.served_name, port, plan.tensor_parallel, plan.data_parallel,
            plan.sequences, plan.arguments,
        )  # fmt: skip
        order = Order(
            command(plan.program, ask), plan.lease_s, plan.grace_s, plan.run, server.url,
            plan.served_name, plan.gpus_each, server.hold,
        )  # fmt: skip
        begins_at = server.log.stat().st_size if server.log.exists() else 0
        self._on_launch(server)
        server.at("starting")
        server.started_at = time.time()
        try:
            with server.log.open("ab") as log:
                server.guarded = await start_guard(order, environment(group, server.key), log)
            await self._until_ready(server, begins_at)
        except BaseException:
            await asyncio.shield(self._end(server))
            raise
        server.ready = True
        server.at("ready")
        self._news.set()
        self._on_ready(server)

    async def _until_ready(self, server: Launched, begins_at: int) -> None:
        guarded = server.guarded
        assert guarded is not None
        ended = asyncio.create_task(guarded.wait())
        asking = asyncio.create_task(self._answers(server))
        until = time.monotonic() + self.plan.ready_timeout_s
        try:
            while not asking.done():
                await asyncio.wait([ended, asking], timeout=LOOK_S, return_when="FIRST_COMPLETED")
                server.at(self._stage(server, begins_at))
                if ended.done() and not asking.done():
                    why = await asyncio.to_thread(self._cause, server, begins_at)
                    kind = PortTaken if PORT_TAKEN.search(why) else LaunchError
                    raise kind(f"{server.name} did not start: {why}. Its log: {server.log}")
                if time.monotonic() > until:
                    raise LaunchError(
                        f"{server.name} was not ready within {self.plan.ready_timeout_s:.0f} s; it "
                        f"had reached: {server.stage}. Its log: {server.log}"
                    )
            asking.result()
        finally:
            for task in (ended, asking):
                task.cancel()
            await asyncio.gather(ended, asking, return_exceptions=True)

    async def _answers(self, server: Launched) -> None:
        """Return once it is healthy, names its model and has answered a request of one token."""
        root = URL(server.url).parent
        while True:
            with contextlib.suppress(ProviderError):
                if await self._status("GET", root / "health", server.key) == 200:
                    break
            await asyncio.sleep(LOOK_S)
        url = URL(server.url)
        status = await self._status("GET", url / "models", server.key)
        if status != 200:
            raise LaunchError(f"{server.name} lists no models (status {status})")
        body = {"model": self.plan.served_name, "prompt": "1", "max_tokens": 1, "n": 1}
        try:
            status = await self._status("POST", url / "completions", server.key, body)
        except ProviderError as error:
            raise LaunchError(f"{server.name} did not answer its first request: {error}") from None
        if status != 200:
            raise LaunchError(
                f"{server.name} answered its first request with status {status}. "
                f"Its log: {server.log}"
            )

    async def _status(
        self, method: str, url: URL, key: str, body: Mapping[str, object] | None = None
    ) -> int:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        route = Route.to(method, url, headers)
        data = None if body is None else json.dumps(body).encode()
        answer = await self._transport.send(route, data, sending=Sending())
        return answer.status

    def _stage(self, server: Launched, begins_at: int) -> str:
        """The last milestone in its log."""
        log = tail(server.log, begins_at)
        reached = [one.name for one in milestones(self.plan.program) if one.line.search(log)]
        return reached[-1] if reached else "starting"

    def _cause(self, server: Launched, begins_at: int = 0) -> str:
        return failure(tail(server.log, begins_at))


def tail(path: Path, begins_at: int = 0) -> str:
    """The end of a log, from `begins_at` on."""
    try:
        with path.open("rb") as file:
            file.seek(max(begins_at, path.stat().st_size - LOG_TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    low, high = BELOW_EPHEMERAL
    for tried in range(PORTS_LOOKED_AT):
        with socket.socket() as probe:
            # Whatever else is wanted is found by the kernel.
            port = 0 if tried == PORTS_LOOKED_AT - 1 else low + secrets.randbelow(high - low)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise LaunchError("no port of this machine is free")


def environment(group: tuple[str, ...], key: str) -> dict[str, str]:
    """What a server's process gets: its GPUs, its own key, and no key or token of a provider."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or name.startswith(PASSED_ON_KINDS)
    }
    passed |= {"VLLM_API_KEY": key, "VLLM_NO_USAGE_STATS": "1"}
    if group:
        passed["CUDA_VISIBLE_DEVICES"] = ",".join(group)
    return passed
