"""How well a session's servers were used: one document a fleet, kept with the run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from budgets.fleet_meter import FleetMeter
from orchestrator.plan.ready import ReadyArm
from providers.fleet.admission import FleetLimiter


def fleet_documents(arms: Sequence[ReadyArm], started: float) -> list[dict[str, Any]]:
    """One entry for each fleet of `arms`; `started` is monotonic seconds."""
    found = []
    for limiter in dict.fromkeys(arm.limiter for arm in arms):
        if isinstance(limiter, FleetLimiter):
            users = [arm for arm in arms if arm.limiter is limiter]
            found.append(fleet_document(limiter, users, started))
    return found


def fleet_document(
    limiter: FleetLimiter, users: Sequence[ReadyArm], started: float
) -> dict[str, Any]:
    """What each server did, and for how long all were held; times in seconds."""
    servers = limiter.fleet.every_server
    meter = users[0].meter
    # Where nothing is paid by the hour, servers count as held while the session asks them.
    held_s = (time.monotonic() - started) * len(limiter.fleet.servers)
    if isinstance(meter, FleetMeter):
        held_s = meter.held_s
    return {
        "models": list(dict.fromkeys(arm.model for arm in users)),
        "gpus_each": users[0].spec.gpus,
        "held_s": round(held_s, 3),
        "usd_pico": meter.settled if isinstance(meter, FleetMeter) else 0,
        "servers": [
            {
                "name": server.name,
                "answers": server.tally.answers,
                "samples": server.tally.samples,
                "failures": server.tally.failures,
                "output_tokens": server.tally.output_tokens,
                "prompt_tokens": server.tally.prompt_tokens,
                "cached_tokens": server.tally.cached_tokens,
                "worked_s": round(server.worked_s(), 3),
                "running_s": round(server.tally.running_s, 3),
                "places_s": round(server.tally.places_s, 3),
                "most_kv": round(server.tally.most_kv, 3),
                "prefix_queries": server.tally.prefix_queries,
                "prefix_hits": server.tally.prefix_hits,
            }
            for server in servers
        ],
    }
