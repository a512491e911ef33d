"""The accounts of a run as its ledger left them, without a replay of what is finished.

Of a million reservations nearly all are settled or released for good. Those are added up by scope,
as arrays; what is still open or uncertain is replayed event by event by the ledger itself, so
that totals and uncertain amounts are those of a whole replay. Faults are not told here: whoever
buys reads every event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, chain

import numpy as np

from budgets.journal import Event
from budgets.ledger import DamagedJournal, Ledger
from orchestrator.store import schema
from orchestrator.store.columns import Numbers, added_up, columns
from orchestrator.store.reader import RunReader
from orchestrator.store.store import event_of

SERVER = "server:"
"""How the scope of a server that several arms use begins; the number of the first follows."""

_ENDS = "('settle', 'release', 'resolve')"
_PAYS = "('settle', 'part', 'resolve')"


def read_accounts(reader: RunReader) -> Ledger:
    """The run's totals, caps and uncertain amounts; raises DamagedJournal."""
    ((events, last),) = reader.rows("SELECT count(*), coalesce(max(event), 0) FROM ledger")
    if events != last:
        raise DamagedJournal(f"{last - events:,} events of the ledger are missing")
    scopes = Numbers()
    reserved, groups = columns(
        reader,
        "SELECT reservation, scopes FROM ledger WHERE kind = 'reserve' ORDER BY event",
        types=(np.int64, np.int64), texts={1: scopes},
    )  # fmt: skip
    if (np.diff(reserved) <= 0).any():
        raise DamagedJournal("the ledger's reservations are not in their order")
    of, amounts, paying, ending = columns(
        reader,
        f"SELECT reservation, amount, kind IN {_PAYS}, kind IN {_ENDS} FROM ledger"
        " WHERE kind NOT IN ('cap', 'reserve')",
        types=(np.int64, np.int64, np.bool_, np.bool_),
    )
    place = np.searchsorted(reserved, of)
    if len(of) and (not len(reserved) or (reserved.take(place, mode="clip") != of).any()):
        raise DamagedJournal("an event of the ledger has no reservation before it")
    endings = np.bincount(place[ending], minlength=len(reserved))
    if (endings > 1).any():
        raise DamagedJournal("a reservation of the ledger ended twice")
    finished = endings > 0
    counted = paying & finished[place]
    paid = added_up(groups[place[counted]], amounts[counted], len(scopes))
    alone = reserved[~finished]
    return Ledger.read(
        chain(
            _events(reader, "kind = 'cap'"),
            _in_one(paid, list(scopes)),
            _events(reader, "reservation IN (SELECT value FROM json_each(?)) AND kind != 'cap'",
                    json.dumps(alone.tolist())) if len(alone) else (),
        )
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArmMoney:
    """One arm's money in picodollars: its own, and its part of a server that several arms used."""

    settled: int = 0
    uncertain: int = 0
    reserved: int = 0
    server: str = ""
    """The scope of that server; "": none."""
    share: Fraction = Fraction(0)
    """The arm's part of it."""


def money_of_arms(reader: RunReader, ledger: Ledger) -> dict[int, ArmMoney]:
    """By arm. A server that several arms used is split by how long their requests held it."""
    arms = reader.arms()
    found = {}
    for arm in arms:
        own = ledger.totals(schema.arm_scope(arm.number))
        found[arm.number] = ArmMoney(own.settled, own.uncertain, own.reserved)
    servers = [scope for scope in ledger.scopes() if scope.startswith(SERVER)]
    held = _held(reader) if servers else {}
    for scope in servers:
        first = next((arm for arm in arms if scope == f"{SERVER}{arm.number}"), None)
        users = [arm for arm in arms if first and arm.endpoint == first.endpoint]
        # Where nothing was answered all are alike.
        weights = [held.get(arm.number, 0) for arm in users]
        weights = weights if any(weights) else [1] * len(users)
        whole, ends = ledger.totals(scope), [0, *accumulate(weights)]
        for arm, begin, end in zip(users, ends, ends[1:], strict=False):
            parts = [
                amount * end // ends[-1] - amount * begin // ends[-1]
                for amount in (whole.settled, whole.uncertain, whole.reserved)
            ]
            alone = found[arm.number]
            found[arm.number] = ArmMoney(
                alone.settled + parts[0], alone.uncertain + parts[1], alone.reserved + parts[2],
                scope, Fraction(end - begin, ends[-1]),
            )  # fmt: skip
    return found


def _held(reader: RunReader) -> dict[int, int]:
    """By arm, the microseconds for which its choices held their servers, added up."""
    return dict(
        reader.rows(
            "SELECT r.arm, CAST(1e6 * sum(a.latency_s * r.n) AS INTEGER)"
            " FROM requests r CROSS JOIN answers a USING (request) GROUP BY r.arm"
        )
    )


def _in_one(paid: list[int], scopes: list[str]) -> Iterator[Event]:
    """What the finished reservations of each group of scopes settled, as one reservation.

    Their numbers lie below those of all others.
    """
    for number, (amount, names) in enumerate(zip(paid, scopes, strict=True), start=1):
        yield Event("reserve", -number, amount, tuple(names.split()))
        yield Event("settle", -number, amount)


def _events(reader: RunReader, which: str, *values: str) -> Iterator[Event]:
    query = f"SELECT {schema.EVENT} FROM ledger WHERE {which} ORDER BY event"
    return map(event_of, reader.rows(query, values))
