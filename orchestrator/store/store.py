"""RunStore: what a run writes, and the ledger's Journal.

Writing happens on the event loop by appending rows; everything appended without an await in
between commits together (writer.py). Reading is done by `reader.py`, over the same file, by
anyone, also while the run goes on.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from budgets.journal import Event
from budgets.stored import time_in, time_text
from orchestrator.errors import StoreError
from orchestrator.store import migrations, schema
from orchestrator.store.packing import SHORT_ANSWER, FoundAnswer, Packer
from orchestrator.store.seal import SealFile, in_order, open_seal, quick_look, read_file
from orchestrator.store.writer import Writer, locked
from providers.sample import Choice, SampleResponse
from verifiers.verdict import Verdict

CACHE_KIB = 3072
CHECKPOINT_PAGES = 4000
"""Rounds over the problems write the same pages again and again: what is checkpointed later is
written back less often. 16 MiB of write-ahead log."""

MOST_BODY_BYTES = 16 * 2**20
"""Of an answer that could not be read, at most so much is kept."""
OPENING_PATIENCE_S = 30.0
LOCK_SAID_EVERY_MS = 1000
"""How often a wait for another program's lock is looked at (writer.py)."""

_encoder = msgspec.json.Encoder()

BatchState = Literal["intent", "submitted", "lost", "done"]
"""intent: about to be handed over, or handed over. submitted: at the provider under its id.
lost: looked for and not found. done: nothing more will come of it."""


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """A connection for writing: write-ahead log, every commit synced."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=OPENING_PATIENCE_S
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    # Filled over time: a larger one only makes a long run take more memory than a short one. The
    # system caches the rest of the file.
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    if create:
        migrations.create(connection)
        # A copy of the file alone is a whole run from the beginning.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        migrations.version_of(connection, path)
    connection.execute(f"PRAGMA busy_timeout={LOCK_SAID_EVERY_MS}")
    return connection


def storable(text: str) -> str:
    """The text with what UTF-8 cannot hold (lone surrogates) replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def plain_json(value: Any) -> str:
    """JSON text of what came as JSON, also where it holds what JSON does not have."""
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value)


def stored_events(connection: sqlite3.Connection) -> Iterator[Event]:
    """The ledger's events in a run's database, in order; raises DamagedJournal."""
    return map(event_of, in_order(connection.execute(schema.GET_EVENTS)))


def event_of(row: Sequence[Any]) -> Event:
    """A row of the ledger, without its number, as an event."""
    kind, reservation, amount, scopes, note, request, time_, accepts = row
    return Event(
        kind, reservation, amount, tuple(scopes.split()), note, request, time_in(time_),
        bool(accepts),
    )  # fmt: skip


class RunStore:
    """The writing side of a run's database."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        before = None if create else read_file(path.parent)
        try:
            self.connection = connect(path, create=create)
            if wrong := quick_look(self.connection, before):
                self.connection.close()
                raise StoreError(
                    f"{path} is damaged: {wrong}. See what is whole with: orch check {path.parent}"
                )
            self._seal = open_seal(self.connection)
        except sqlite3.Error as error:
            if locked(error):
                raise StoreError(
                    f"{path} is held locked by another program; end it, then try again."
                ) from None
            raise StoreError(f"{path} cannot be opened: {error}.") from None
        self._next_event = self._highest("ledger", "event") + 1
        self._next_request = self._highest("requests", "request") + 1
        self._next_batch = self._highest("batches", "batch") + 1
        self._packer = Packer(self.connection)
        try:
            self._second = SealFile(path.parent)
        except OSError as error:
            self.connection.close()
            raise StoreError(
                f"{path.parent / schema.SEAL} cannot be written: {error.strerror}."
            ) from None
        self._second.write(self._seal.mark)
        self._writer: Writer | None = None

    def _highest(self, table: str, column: str) -> int:
        row = self.connection.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()
        return int(row[0])

    @cached_property
    def writer(self) -> Writer:
        """Begun when it is first asked for, on the loop that runs then."""
        self._writer = Writer(
            self.connection,
            asyncio.get_running_loop(),
            (self._seal, self._second),
            self._packer,
        )
        return self._writer

    @property
    def fault(self) -> StoreError | None:
        return self._writer.fault if self._writer else None

    def on_lock(self, said: Callable[[], None]) -> None:
        """Call `said` on the loop while another program's lock is waited for."""
        self.writer.on_lock = said

    def checkpoint(self) -> None:
        """Soon, bring what was committed into the database file itself."""
        self.writer.checkpoint()

    # The ledger's Journal.

    def append(self, event: Event) -> None:
        row = (
            self._next_event, time.time(), event.kind, event.reservation, event.amount,
            " ".join(event.scopes), event.note, event.request,
            None if event.time is None else time_text(event.time), int(event.accepts),
        )  # fmt: skip
        self._next_event += 1
        self.writer.append(schema.PUT_EVENT, row)

    def durable(self) -> Awaitable[None]:
        return self.writer.durable()

    @property
    def gathering(self) -> int:
        """The number of the group that what is appended now commits with."""
        return self.writer.gathering

    def is_durable(self, group: int | None) -> bool:
        """Whether a group is on disk, and what comes after it can still be."""
        return self.writer.is_durable(group)

    def events(self) -> Iterable[Event]:
        return stored_events(self.connection)

    # What a run writes.

    @property
    def upcoming_request(self) -> int:
        """The number that the next planned request gets."""
        return self._next_request

    def when_durable(self, callback: Callable[[], None]) -> None:
        self.writer.when_durable(callback)

    def wake_when_decided(self, sleeper: asyncio.Future[None]) -> None:
        """End a wait once all that was appended so far is on disk, or never will be."""
        self.writer.wake_when_decided(sleeper)

    def put_meta(self, key: str, value: str) -> None:
        self.writer.append(schema.PUT_META, (key, value))

    def put_note(self, now: float, text: str) -> None:
        """What a person should know of a session, as every later report says."""
        self.put_meta(f"{schema.NOTE_KEY}{now:017.6f}", text)

    def put_speed(self, now: float, document: str) -> None:
        """What limited the speed of a session that ends at Unix time `now`."""
        self.put_meta(f"{schema.SPEED_KEY}{now:017.6f}", document)

    def put_arm(
        self, arm: int, key: str, provider: str, model: str, task: str, policy: str,
        samples: int, spec: Mapping[str, Any],
    ) -> None:  # fmt: skip
        row = (arm, key, provider, model, task, policy, samples, json.dumps(spec, sort_keys=True))
        self.writer.append(schema.PUT_ARM, row)

    def put_problem(
        self, task: str, problem: int, identifier: str, digest: str, content: Mapping[str, Any]
    ) -> None:
        row = (task, problem, identifier, digest, json.dumps(content, ensure_ascii=False))
        self.writer.append(schema.PUT_PROBLEM, row)

    def plan(self, arm: int, problem: int, first_slot: int, n: int, seed: int) -> int:
        """Plan one request; returns its number."""
        request = self._next_request
        self._next_request += 1
        row = (request, arm, problem, first_slot, n, seed)
        self.writer.append(schema.PUT_REQUEST, row)
        return request

    def put_answer(
        self, request: int, reservation: int, response: SampleResponse, cost: int | None,
        sent_at: float, latency_s: float, doubt: str = "",
    ) -> None:  # fmt: skip
        """`doubt`: why not all of its cost is certain."""
        usage = None if response.usage_raw is None else plain_json(response.usage_raw)
        used = response.usage
        tokens = (None,) * 6 if used is None else (
            used.input_tokens, used.cached_input_tokens, used.cache_write_5m_tokens,
            used.cache_write_1h_tokens, used.output_tokens, used.reasoning_tokens,
        )  # fmt: skip
        row = (
            request, reservation, response.model, response.request_id, usage, *tokens, cost,
            sent_at, latency_s, response.reported.tier,
            storable(doubt[:2000]) if doubt else "",
        )  # fmt: skip
        self.writer.append(schema.PUT_ANSWER, row)
        if response.body:
            self.put_body(request, response.odd, response.body)

    def put_body(self, request: int, odd: str, body: bytes) -> None:
        """Keep an answer as it came, because something of it could not be read."""
        packed = zlib.compress(body[:MOST_BODY_BYTES])
        self.writer.append(schema.PUT_BODY, (request, time.time(), storable(odd[:2000]), packed))

    def put_cost(self, request: int, cost: int) -> None:
        """What an answer of unknown size turned out to cost."""
        self.writer.append(schema.SET_COST, (cost, request))

    def put_sample(self, arm: int, problem: int, slot: int, request: int, choice: Choice) -> None:
        row = (
            arm, problem, slot, request, choice.index, "ok", choice.finish_reason,
            storable(choice.text), choice.output_tokens, storable(choice.finish_raw),
        )  # fmt: skip
        self.writer.append(schema.PUT_SAMPLE, row)

    def put_censored(
        self, arm: int, problem: int, slot: int, request: int, choice: int,
        reason: str = "timeout", text: str = "", raw: str = "",
    ) -> None:  # fmt: skip
        """A slot whose draw was cut by something that is not the model: it counts as unknown.

        `text`: what had come of it, which nobody judges. `raw`: the server's word for it.
        """
        row = (
            arm, problem, slot, request, choice, "censored", reason, storable(text), None,
            storable(raw),
        )  # fmt: skip
        self.writer.append(schema.PUT_SAMPLE, row)

    def put_failure(
        self, request: int, reservation: int, kind: str, sent: str, message: str, *, final: bool
    ) -> None:
        row = (request, reservation, time.time(), kind, sent, int(final), storable(message[:2000]))
        self.writer.append(schema.PUT_FAILURE, row)

    def put_served(self, request: int, server: str, ending: str) -> None:
        """A try at a request went to this server of a fleet last, and ended so."""
        self.writer.append(schema.PUT_SERVED, (request, server, time.time(), ending))

    def put_verdict(
        self, arm: int, problem: int, slot: int, verifier: str, verdict: Verdict, text: str = ""
    ) -> None:
        """`text`: the sample that was judged, in which most answers stand."""
        answer: str | FoundAnswer | None = None
        if verdict.answer is not None:
            answer = storable(verdict.answer)
            if len(answer) > SHORT_ANSWER:
                answer = FoundAnswer(answer, storable(text))
        detail = storable(verdict.detail[:2000]) if verdict.detail else ""
        row = (
            arm, problem, slot, verifier, verdict.kind, detail, answer,
            verdict.tier, verdict.wall_s, verdict.cpu_s, int(verdict.forgeable),
        )  # fmt: skip
        self.writer.append(schema.PUT_VERDICT, row)

    def rename_verdicts(self, arm: int, verifier: str, name: str) -> None:
        """Keep an arm's verdicts by one verifier under another name."""
        self.writer.append(schema.RENAME_VERDICTS, (name, arm, verifier))

    def put_reward(
        self, arm: int, problem: int, slot: int, model: str, reward: float | None
    ) -> None:
        """None: the reward model cannot read this sample."""
        self.writer.append(schema.PUT_REWARD, (arm, problem, slot, model, reward))

    def plan_batch(self, arm: int, tag: str, at: float, requests: Iterable[tuple[int, int]]) -> int:
        """Intend a batch of (request, reservation) in this order; returns its number."""
        batch = self._next_batch
        self._next_batch += 1
        self.put_batch(batch, arm, tag, "", "intent", at)
        for place, (request, reservation) in enumerate(requests):
            self.writer.append(schema.PUT_BATCHED, (batch, place, request, reservation))
        return batch

    def put_batch(
        self, batch: int, arm: int, tag: str, provider_id: str, state: BatchState, at: float
    ) -> None:
        """The whole row each time, so that the order within a group does not matter."""
        self.writer.append(schema.PUT_BATCH, (batch, arm, tag, provider_id, state, at))

    async def close(self) -> None:
        """Commit what is queued and close the database."""
        try:
            if self._writer is not None:
                await self._writer.close()
        finally:
            self._second.close()
            self.connection.close()
