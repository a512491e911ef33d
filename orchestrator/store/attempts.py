"""Attempts of agents in a run's database: written as they begin and end, with every call.

A call's row commits with its settlement, since both are appended in one stretch. `ending` of an
attempt is "" while it goes on; one that is still so in a run nobody holds was cut off with its
process. Read by the session that resumes, by the report, and by whoever asks where money went.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.store.reader import RunReader
from orchestrator.store.schema import PUT_ATTEMPT, PUT_CALL
from orchestrator.store.store import RunStore, storable
from providers.gateway.accounts import Call

END_CUT_OFF = (
    "UPDATE attempts SET ending = 'again', ended_at = ?, reason = 'orch ended before it did'"
    " WHERE ending = ''"
)


class AttemptRow(NamedTuple):
    """One attempt of an agent; several may have tried one request's slot."""

    attempt: int
    request: int
    started_at: float
    """Unix time."""
    ended_at: float | None = None
    ending: str = ""
    """done, own_failure, timeout, censored, again; "" while it goes on."""
    cut: str = ""
    """The first cap that refused it a call."""
    reason: str = ""
    files: str = ""
    """Where its trajectory and logs lie, below the run's directory."""


class MadeAttempt(NamedTuple):
    """One attempt that is over, with what its calls used."""

    ending: str
    cut: str
    seconds: float
    calls: int
    input_tokens: int
    """As far as the provider told them."""
    output_tokens: int


class StoreBook:
    """The gateway's book: calls beside the ledger's events, in one transaction with them."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    def put_call(self, call: Call) -> None:
        used = call.usage
        tokens = (None,) * 6 if used is None else (
            used.input_tokens, used.cached_input_tokens, used.cache_write_5m_tokens,
            used.cache_write_1h_tokens, used.output_tokens, used.reasoning_tokens,
        )  # fmt: skip
        row = (
            call.attempt, call.endpoint, storable(call.model)[:200], call.reservation,
            call.sent_at, call.latency_s, call.status, call.outcome, int(call.streamed),
            call.tries, storable(call.usage_raw.decode("utf-8", "replace")), *tokens, call.cost,
            storable(call.provider_id)[:200],
        )  # fmt: skip
        self._store.writer.append(PUT_CALL, row)

    async def durable(self) -> None:
        await self._store.durable()


def put_attempt(store: RunStore, row: AttemptRow) -> None:
    """Append an attempt as it is now; the whole row each time."""
    store.writer.append(PUT_ATTEMPT, row._replace(reason=storable(row.reason[:2000])))


def end_cut_off(store: RunStore, now: float) -> None:
    """Attempts that an earlier session was making when it ended are over; `now` is Unix time."""
    store.writer.append(END_CUT_OFF, (now,))


def highest_attempt(connection: sqlite3.Connection) -> int:
    """The highest number of an attempt so far; 0 where there is none."""
    found = connection.execute("SELECT coalesce(max(attempt), 0) FROM attempts").fetchone()
    return int(found[0])


def attempts(connection: sqlite3.Connection) -> Iterator[AttemptRow]:
    """Every attempt, in the order of their starts."""
    for row in connection.execute(
        "SELECT attempt, request, started_at, ended_at, ending, cut, reason, files FROM attempts"
        " ORDER BY attempt"
    ):
        yield AttemptRow(*row)


def made_attempts(reader: RunReader, arm: int) -> list[MadeAttempt]:
    """Every attempt of an arm that is over, in the order of their starts."""
    found = reader.rows(
        "SELECT a.ending, a.cut, a.ended_at - a.started_at, count(c.call),"
        " coalesce(sum(c.input_tokens), 0), coalesce(sum(c.output_tokens), 0)"
        " FROM attempts a JOIN requests r USING (request) LEFT JOIN calls c USING (attempt)"
        " WHERE r.arm = ? AND a.ending != '' GROUP BY a.attempt ORDER BY a.attempt",
        (arm,),
    )
    return [MadeAttempt(*row) for row in found]
