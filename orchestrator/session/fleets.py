"""The fleets of one session: launched servers are started and ended here, all are watched.

A launched server is held from its launch, so its time is counted from then, until its guard has
seen the last of it gone. It joins the arm's fleet when it is ready and leaves it when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from yarl import URL

from budgets.fleet_meter import FleetMeter
from budgets.ledger import DoesNotFit, Ledger
from budgets.meter import resolve_until
from orchestrator.engine.counters import RunState
from orchestrator.errors import OrchError, RunFault
from orchestrator.plan.fleet import LEAST_QUEUE, Fleet, Launch, launched_fleet, own_provider
from orchestrator.plan.prepare import Endpoint, Prepared, PreparedArm, make_limiter
from orchestrator.plan.request import MOST_CHOICES, askable, refuse_raw_prompts
from orchestrator.plan.typed import Typed
from orchestrator.report.text import span
from orchestrator.session.metering import Meters
from providers import known
from providers.fleet import holds
from providers.fleet.launch import Launched, Launcher, LaunchError, LaunchPlan
from providers.fleet.server import FleetServer
from providers.keys import Key

LOOK_S = 1.0


class Fleets:
    """See the module's contract; `stop` may be called twice."""

    def __init__(
        self, prepared: Prepared, directory: Path, meters: Meters, state: RunState
    ) -> None:
        self._prepared = prepared
        self._directory = directory
        self._meters = meters
        self._state = state
        self._launchers: dict[Endpoint, Launcher] = {}
        self._fleets: dict[Endpoint, Fleet] = {}
        self._tasks: list[asyncio.Task[None]] = []
        for arm in prepared.arms:
            if arm.endpoint.launch is not None:
                self._prepare_launch(arm, arm.endpoint.launch)
            if arm.fleet is not None and arm.endpoint not in self._fleets:
                self._fleets[arm.endpoint] = arm.fleet
        for fleet in self._fleets.values():
            fleet.opener.tell.append(state.note)
        if self._fleets:
            state.servers = self.line

    def _prepare_launch(self, arm: PreparedArm, launch: Launch) -> None:
        """A fleet that waits for its servers; arms of one endpoint share it."""
        study = self._prepared.study
        row = known.find("vllm")
        assert row is not None
        capabilities = row.capabilities_of(arm.endpoint.model)
        fleet = self._fleets.get(arm.endpoint)
        if fleet is None:
            fleet = launched_fleet(
                arm.spec, arm.endpoint.model, Typed(), study,
                lambda: make_limiter(study, arm.endpoint, self._prepared.notes), capabilities,
            )  # fmt: skip
            self._fleets[arm.endpoint] = fleet
        arm.fleet, arm.provider, arm.limiter = fleet, fleet.provider, fleet.limiter
        refuse_raw_prompts(arm.spec, arm.problems, capabilities)
        arm.base = askable(arm.base, capabilities, self._prepared.notes)

    async def start(self) -> None:
        """Launch the first server of each fleet; raises RunFault with the engine's own words."""
        for endpoint, fleet in self._fleets.items():
            unpaid = endpoint.usd_per_hour and endpoint not in self._meters.running
            if endpoint.launch is None or unpaid:
                continue
            launcher = self._launcher(endpoint, endpoint.launch, fleet)
            self._launchers[endpoint] = launcher
            try:
                await launcher.start()
            except LaunchError as error:
                raise RunFault(f"{error}.") from None

    def line(self) -> str:
        """How the servers are now, in one line."""
        parts = []
        for fleet in self._fleets.values():
            up, servers = fleet.provider.open_servers(), fleet.provider.servers
            running = sum(one.fullness.load.running for one in up if one.fullness.load)
            part = f"{len(up)} of {len(servers)} servers up"
            if places := sum(one.fullness.places for one in up):
                part += f", {running:.0f} of {places:.0f} places in use"
            parts.append(part)
        for launcher in self._launchers.values():
            parts += [
                f"{one.name}: {one.stage} for {span(time.monotonic() - one.since)}"
                for one in launcher.servers
                if not one.ready
            ]
        return ", ".join(parts)

    async def tell_start(self, say: Callable[[str], None]) -> None:
        """Say each milestone of servers that start, until cancelled."""
        told: dict[Launched, str] = {}
        while True:
            for launcher in self._launchers.values():
                for one in launcher.servers:
                    if one.stage not in (told.get(one), "waiting"):
                        told[one] = one.stage
                        say(f"{one.name}: {one.stage}, {span(time.time() - one.started_at)} held")
            await asyncio.sleep(LOOK_S)

    def watch(self, stop: Callable[[OrchError], None]) -> None:
        """Watch every server from now on; `stop` ends the run where nothing can go on."""
        for endpoint, fleet in self._fleets.items():
            self._tasks.append(asyncio.create_task(fleet.watch.run()))
            meter = self._meters.running.get(endpoint)
            if endpoint.launch is None:
                users = [arm for arm in self._prepared.arms if arm.endpoint == endpoint]
                # What is billed by the token is bought by the ledger alone.
                if all(arm.price is None for arm in users):
                    self._tasks.append(asyncio.create_task(fleet.opener.compare()))
                if isinstance(meter, FleetMeter):
                    self._tasks.append(asyncio.create_task(self._follow(fleet, meter)))
            elif endpoint in self._launchers:
                self._tasks.append(
                    asyncio.create_task(self._all_down(self._launchers[endpoint], stop))
                )

    async def let_go(self, endpoint: Endpoint) -> None:
        """The servers of one endpoint are needed no more, though the run goes on."""
        launcher = self._launchers.get(endpoint)
        if launcher is not None:
            await launcher.stop()

    async def stop(self) -> None:
        """End every server that was launched, and stop watching the others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(launcher.stop() for launcher in self._launchers.values()))

    def _launcher(self, endpoint: Endpoint, launch: Launch, fleet: Fleet) -> Launcher:
        servers: dict[Launched, FleetServer] = {}
        meter = self._meters.running.get(endpoint)
        users = [arm.spec for arm in self._prepared.arms if arm.endpoint == endpoint]
        asked = (spec.n_per_request for spec in users)
        n = max(MOST_CHOICES if isinstance(one, str) else one for one in asked)
        plan = LaunchPlan(
            launch.program, launch.model, endpoint.model, launch.groups,
            self._directory / "logs", str(self._directory.absolute()), launch.tensor_parallel,
            launch.data_parallel, max(LEAST_QUEUE, 4 * n), launch.arguments, launch.lease_s,
        )  # fmt: skip

        def on_launch(one: Launched) -> None:
            if isinstance(meter, FleetMeter):
                try:
                    meter.open(f"{endpoint.model} {one.hold}", one.hold)
                except DoesNotFit as miss:
                    raise LaunchError(f"the budget does not pay for {one.name}: {miss}") from None

        def on_ready(one: Launched) -> None:
            key = Key(one.key, f"the key of {one.name}")
            timeout_s = self._prepared.study.timeout_s
            provider = own_provider(URL(one.url), key, endpoint.model, timeout_s)
            server = servers[one] = FleetServer(one.name, provider, fleet.opener.limiter())
            fleet.provider.add(server)

        def on_end(one: Launched, at: float) -> None:
            if isinstance(meter, FleetMeter):
                meter.close(f"{endpoint.model} {one.hold}")
            server = servers.pop(one, None)
            if server is not None:
                fleet.provider.remove(server)

        return Launcher(
            plan, on_launch=on_launch, on_ready=on_ready, on_end=on_end, tell=self._state.note
        )

    @staticmethod
    async def _all_down(launcher: Launcher, stop: Callable[[OrchError], None]) -> None:
        await launcher.all_stay_down()
        stop(
            RunFault(
                "Every launched server has ended, and stays down after its restarts; what they "
                f"wrote is in {launcher.plan.logs}. Correct it and use --resume."
            )
        )

    @staticmethod
    async def _follow(fleet: Fleet, meter: FleetMeter) -> None:
        """The time of somebody else's servers: none for one that is gone, until it is back."""
        while True:
            for server in fleet.provider.every_server:
                if server.leaving or server.health.gone:
                    meter.close(server.name)
                elif not meter.exhausted:
                    with contextlib.suppress(DoesNotFit):
                        meter.open(server.name)
            await asyncio.sleep(LOOK_S)


def end_leftovers(directory: Path) -> list[str]:
    """End what a dead session of this run left running; what was found, in sentences."""
    run = str(directory.absolute())
    said = []
    for hold in holds.still_held():
        if hold.run == run:
            gone = holds.stop(hold)
            said.append(
                f"An earlier session had left a server running ({hold.id}); it was ended."
                if gone
                else f"A server of an earlier session cannot be ended: orch hold --stop {hold.id}"
            )
    return said


def resolve_ended(ledger: Ledger) -> None:
    """Count a dead session's launched servers up to the end that their guards saw, not beyond."""
    ended = {hold.id: hold.ended_at for hold in holds.holds() if hold.ended_at is not None}
    for item in ledger.left_open:
        at = None if item.time is None else ended.get(item.time.hold)
        if at is not None:
            resolve_until(ledger, item, at)
