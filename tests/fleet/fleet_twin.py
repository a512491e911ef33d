"""The fleet simulator's twin in virtual time: the real routing, admission, health and tail over
modelled servers, driven as an engine drives them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.fleet_model import Lengths, Shape
from benchmarks.fleet_sim import VirtualServer
from budgets.fullness import ServerLoad
from budgets.limiter import Limiter
from orchestrator.engine.seeds import request_seed
from orchestrator.engine.tail import Tail
from orchestrator.plan.ready import ReadyArm
from orchestrator.schedule import ArmPlan, Draw, Schedule, make_policy
from orchestrator.tasks import Problem
from providers.errors import ConnectionFailed, ProviderError
from providers.fleet.admission import FleetLimiter
from providers.fleet.provider import FleetProvider
from providers.fleet.server import FleetServer
from providers.fleet.watch import FleetWatch
from providers.sample import SampleRequest, SampleResponse, Sending


class ModelProbe:
    """What a modelled server says of itself."""

    def __init__(self, server: VirtualServer, tells: bool) -> None:
        self._server, self._tells = server, tells

    async def load(self) -> ServerLoad | None:
        if self._server.state == "dead":
            raise ConnectionFailed("refused", sent="not_sent")
        self._server.driven.sync()
        engine = self._server.driven.engine
        made = engine.tokens_made
        if not self._tells:
            return None
        return ServerLoad(engine.running, engine.waiting, generated_tokens=made)

    async def ill(self) -> str:
        return "" if self._server.state in ("up", "hung", "failing") else "it is gone"


@dataclass
class Result:
    """What came of a run of the twin."""

    wall_s: float = 0.0
    answers: list[tuple[Draw, SampleRequest, SampleResponse]] = field(default_factory=list)
    tried: dict[Draw, list[int | None]] = field(default_factory=dict)
    """The seeds with which each draw was asked."""
    told: list[str] = field(default_factory=list)
    most_waiting: int = 0

    @property
    def tokens(self) -> int:
        return sum(
            response.usage.output_tokens for _, _, response in self.answers if response.usage
        )

    def slots(self) -> list[tuple[int, int]]:
        return sorted(
            (draw.problem, draw.first_slot + choice)
            for draw, _, _ in self.answers
            for choice in range(draw.n)
        )


Events = Callable[["Twin"], Awaitable[None]]


@dataclass
class Twin:
    """One run: servers of these shapes, `problems` x `samples`, requests of `n`."""

    shapes: Sequence[Shape]
    problems: int = 200
    samples: int = 100
    n: int = 13
    tells: bool = True
    """Whether servers have /metrics."""
    hang_s: float = 10.0
    events: Events | None = None
    lengths: Lengths = field(default_factory=Lengths)
    result: Result = field(default_factory=Result)
    models: list[VirtualServer] = field(default_factory=list)

    def server(self, shape: Shape) -> FleetServer:
        loop = asyncio.get_running_loop()
        model = VirtualServer(shape, self.lengths)
        self.models.append(model)
        name = f"server {len(self.models) - 1}"
        return FleetServer(name, model, Limiter(clock=loop.time), clock=loop.time)

    async def run(self) -> Result:
        loop = asyncio.get_running_loop()
        servers = [self.server(shape) for shape in self.shapes]
        self.fleet = FleetProvider(
            "compatible", servers, VirtualServer.capabilities, clock=loop.time,
            tell=self.result.told.append,
        )  # fmt: skip
        gate = FleetLimiter(self.fleet)
        watch = FleetWatch(
            self.fleet, lambda server: ModelProbe(self.model_of(server), self.tells),
            hang_s=self.hang_s,
        )  # fmt: skip
        watching = asyncio.create_task(watch.run())
        happening = None if self.events is None else asyncio.ensure_future(self.events(self))
        start = loop.time()
        await self._buy(gate)
        self.result.wall_s = loop.time() - start
        for task in (watching, happening):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        return self.result

    def model_of(self, server: FleetServer) -> VirtualServer:
        assert isinstance(server.provider, VirtualServer)
        return server.provider

    async def _buy(self, gate: FleetLimiter) -> None:
        policy = make_policy(
            "uniform", ArmPlan(0, self.problems, self.samples, self.n, 0, [0] * self.problems)
        )
        schedule = Schedule([policy])
        tail = Tail(schedule, [self._arm(gate)])
        again: asyncio.Queue[Draw] = asyncio.Queue()
        under_way: set[asyncio.Task[None]] = set()

        async def buy(draw: Draw, permit: Any) -> None:
            request = self._request(draw)
            self.result.tried.setdefault(draw, []).append(request.seed)
            try:
                response = await self.fleet.sample(request)
            except ProviderError:
                gate.done(permit=permit)
                await asyncio.sleep(1.0)
                again.put_nowait(draw)
                return
            gate.done(permit=permit)
            self.result.answers.append((draw, request, response))

        while True:
            draw = again.get_nowait() if not again.empty() else tail.next()
            if draw is None:
                if not under_way:
                    return
                await asyncio.wait(under_way, return_when="FIRST_COMPLETED")
                continue
            permit = await gate.admit(0, 0, draw.n)
            task = asyncio.create_task(buy(draw, permit))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            await asyncio.sleep(0)
            waiting = max(model.driven.engine.waiting for model in self.models)
            self.result.most_waiting = max(self.result.most_waiting, waiting)

    def _request(self, draw: Draw) -> SampleRequest:
        seed = request_seed(0, "arm", str(draw.problem), draw.first_slot, draw.n)
        return SampleRequest(
            "model", prompt=f"p{draw.problem}", n=draw.n, max_tokens=self.lengths.most, seed=seed,
            sending=Sending(),
        )  # fmt: skip

    def _arm(self, gate: FleetLimiter) -> ReadyArm:
        problems = [Problem(str(i), f"p{i}", None, {}) for i in range(self.problems)]
        return ReadyArm(
            0, "arm", None, "model", problems, self.fleet, gate, None, None, None, None,  # type: ignore[arg-type]
            SampleRequest("model"), self.n, [],
        )  # fmt: skip
