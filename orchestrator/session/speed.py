"""What limited a session's speed, kept with the run: the concurrency found, waits, limits learnt.

One document a session, in plain numbers; `orch report` shows it. The concurrency found is kept
while the session goes on, so that a resume begins with it, however the session ended.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from budgets.concurrency import GROWTH, Change
from budgets.limiter import Limiter
from orchestrator.plan.ready import ReadyArm
from orchestrator.session.usage import fleet_documents
from orchestrator.store.reader import RunReader
from orchestrator.store.store import RunStore
from providers.fleet.admission import limiters_of

KEEP_EVERY_S = 5.0
FOUND_KEY = "concurrency found"


def session_document(arms: Sequence[ReadyArm], started: float) -> str:
    """One entry for each limiter of `arms`; `started` is monotonic seconds."""
    entries = []
    for limiter in dict.fromkeys(arm.limiter for arm in arms):
        users = list(dict.fromkeys(arm.model for arm in arms if arm.limiter is limiter))
        for server, one in limiters_of(limiter).items():
            place = {"server": server} if server else {}
            entries.append({"models": users, **place, **_entry(one, started)})
    document = {"seconds": round(time.monotonic() - started, 3), "limiters": entries}
    fleets = fleet_documents(arms, started)
    return json.dumps(document | ({"fleets": fleets} if fleets else {}))


async def keep_found(arms: Sequence[ReadyArm], store: RunStore) -> None:
    """Keep the concurrency that was found so far, now and then, until cancelled."""
    before = ""
    while True:
        await asyncio.sleep(KEEP_EVERY_S)
        found = {
            arm.key: arm.limiter.concurrency
            for arm in arms
            if isinstance(arm.limiter, Limiter) and arm.limiter.history
        }
        document = json.dumps(found, sort_keys=True)
        if found and document != before:
            store.put_meta(FOUND_KEY, document)
            before = document


def begin_as_found(arms: Sequence[ReadyArm], reader: RunReader) -> None:
    """Begin with the concurrency that an earlier session of the run found."""
    found = json.loads(reader.meta(FOUND_KEY, "{}"))
    for arm in arms:
        if isinstance(arm.limiter, Limiter):
            arm.limiter.start_at(int(found.get(arm.key, 0)))


def _entry(limiter: Limiter, started: float) -> dict[str, Any]:
    return {
        "concurrency": limiter.concurrency,
        "changes": [
            {"at_s": round(change.at - started, 3), "concurrency": change.limit, "why": change.why}
            for change in turning_points(limiter.history)
        ],
        "limits_per_minute": limiter.limits,
        "waited_s": _waits(limiter.waited_s),
    }


def _waits(waited_s: Mapping[str, float]) -> dict[str, float]:
    """Seconds waited by what was waited for, without the numbers in brackets that change."""
    sums: defaultdict[str, float] = defaultdict(float)
    for why, seconds in waited_s.items():
        sums[why.split(" (")[0]] += seconds
    return {why: round(seconds, 3) for why, seconds in sums.items()}


def turning_points(history: Sequence[Change]) -> list[Change]:
    """Every cut, and of each stretch of growth the end."""
    kept = [
        first
        for first, then in pairwise(history)
        if then.limit < first.limit or first.why != GROWTH
    ]
    return [*kept, *history[-1:]]
