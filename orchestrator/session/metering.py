"""Servers that are paid by the hour: their meters, and what a crash left unwatched.

A meter runs from before its server starts until the server is given up. A server whose money ends
while it is still starting is given up as well.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from budgets.clock import mark
from budgets.fleet_meter import FleetMeter
from budgets.ledger import RUN, DoesNotFit, Ledger, LedgerFault
from budgets.meter import Meter, TimeMeter, count_gaps
from budgets.money import usd
from orchestrator.engine.engine import METER_TICK_S, near_the_end
from orchestrator.errors import BudgetTooSmall, RunFault
from orchestrator.plan.fleet import Fleet
from orchestrator.plan.prepare import Endpoint, Prepared
from orchestrator.store.accounts import SERVER
from orchestrator.store.schema import arm_scope
from providers.fleet.guard import Order

T = TypeVar("T")

DRAIN_S = 15.0
"""The longest that answers in flight and the end of a server may take at the end of the money."""


@dataclass(slots=True)
class Meters:
    """The meters of a session's servers."""

    running: dict[Endpoint, Meter] = field(default_factory=dict)
    unpaid: list[int] = field(default_factory=list)
    """Arms whose own budget does not pay for their server's start: they stay closed."""

    def stop(self) -> None:
        """Settle all of them up to now."""
        for meter in self.running.values():
            meter.stop()

    def bundled_beside(self, gone: Meter) -> bool:
        """Whether a meter other than `gone` still counts the bundled model's server."""
        return any(
            endpoint.bundled and meter is not gone and meter.running
            for endpoint, meter in self.running.items()
        )


def grace_s(meters: Meters) -> float:
    """How long a server may take to end by itself: little where its money is about to."""
    return 0.5 if any(map(near_the_end, meters.running.values())) else 5.0


def start_meters(prepared: Prepared, ledger: Ledger) -> Meters:
    """A meter for each server paid by the hour, running from now on."""
    meters = Meters()
    for endpoint in {arm.endpoint: None for arm in prepared.arms}:
        if not endpoint.usd_per_hour:
            continue
        users = [i for i, arm in enumerate(prepared.arms) if arm.endpoint == endpoint]
        scopes = (arm_scope(users[0]),) if len(users) == 1 else (f"{SERVER}{users[0]}",)
        fleet = next(arm.fleet for arm in prepared.arms if arm.endpoint == endpoint)
        try:
            meter = _start(endpoint, fleet, ledger, scopes)
        except DoesNotFit as miss:
            if miss.scope != RUN and len(users) < len(prepared.arms):
                meters.unpaid += users
                continue
            meters.stop()
            raise BudgetTooSmall(
                f"The budget does not pay for the server's start: {miss}; raise --budget."
            ) from None
        except LedgerFault as fault:
            raise RunFault(str(fault)) from None
        meters.running[endpoint] = meter
    return meters


def _start(
    endpoint: Endpoint, fleet: Fleet | None, ledger: Ledger, scopes: tuple[str, ...]
) -> Meter:
    """Raises DoesNotFit, LedgerFault."""
    end_s = 0.0 if endpoint.launch is None else Order((), endpoint.launch.lease_s).drain_s

    def meter_of(server: str, hold: str = "") -> TimeMeter:
        return TimeMeter(
            ledger, endpoint.usd_per_hour, scopes, server=server, hold=hold,
            drain_s=DRAIN_S + end_s, borrowed=not endpoint.ours,
            guarded=endpoint.launch is not None,
        )  # fmt: skip

    if endpoint.launch is not None:
        # Each server's time begins with its launch; the first must fit.
        launched = FleetMeter(meter_of, end_s=end_s)
        launched.try_open()
        return launched
    if fleet is not None:
        several = FleetMeter(meter_of)
        try:
            for server in fleet.provider.open_servers():
                several.open(server.name)
        except DoesNotFit:
            several.stop()
            raise
        return several
    meter = meter_of(endpoint.model)
    meter.start()
    return meter


def unwatched(ledger: Ledger, directory: Path) -> list[str]:
    """Count the time that a server of somebody else ran on after a crash; a sentence if any did.

    For a ledger that was just opened.
    """
    gap = count_gaps(ledger, time.time(), mark())
    if not gap:
        return []
    return [
        f"After a crash nobody watched the server that is paid by the hour: ${usd(gap)} of its "
        "time count as uncertain. Clear them up by its owner's bill, or, if it was not held for "
        f"this run, with the dollars that `orch budget {directory}` shows as settled: "
        f"orch budget resolve {directory} --usd SETTLED"
    ]


async def tick(meters: list[Meter]) -> None:
    """Keep the meters paid, from before a server starts until it is given up."""
    while True:
        for meter in meters:
            meter.tick()
        await asyncio.sleep(METER_TICK_S)


async def while_paid(start: asyncio.Task[T], meters: list[Meter]) -> T:
    """A server that is starting; ended where its money ends before it is up."""
    try:
        while not start.done():
            if any(near_the_end(meter) for meter in meters):
                raise BudgetTooSmall(
                    "The budget ended while the server was still starting; raise --budget."
                )
            await asyncio.wait([start], timeout=METER_TICK_S)
        return start.result()
    finally:
        if not start.done():
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
