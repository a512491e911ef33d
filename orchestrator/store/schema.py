"""The run database, `run.db`: the only truth of a run.

    meta       one line each: schema version, study, identity, prices, what the run knows of itself
    arms       what each arm asked, with its resolved price
    problems   what was asked, once per task
    requests   the durable plan: which slots each request buys, with its seed
    answers    what a request brought: usage raw, cost, timing
    samples    one row a slot that was filled (or censored)
    failures   tries that brought nothing, with how far they got
    verdicts   one row per sample and verifier
    rewards    one row per sample and reward model; empty where it cannot read the sample. The
               table is made when the first score comes, so that older runs can be scored too
    batches    what was, or is about to be, handed to a batch API under which tag
    batched    which requests a batch holds, in which place, with their reservations
    ledger     the ledger's events, in order

A sample, its answer and its settlement commit in one transaction.
"""

from __future__ import annotations

VERSION = "1"

SPEED_KEY = "speed "
"""How the keys of `meta` begin under which sessions' speeds stand; the rest sorts by time."""

CREATE = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE arms (
    arm INTEGER PRIMARY KEY, key TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
    task TEXT NOT NULL, policy TEXT NOT NULL, samples INTEGER NOT NULL, spec TEXT NOT NULL);
CREATE TABLE problems (
    task TEXT NOT NULL, problem INTEGER NOT NULL, id TEXT NOT NULL, digest TEXT NOT NULL,
    content TEXT NOT NULL, PRIMARY KEY (task, problem)) WITHOUT ROWID;
CREATE TABLE requests (
    request INTEGER PRIMARY KEY, arm INTEGER NOT NULL, problem INTEGER NOT NULL,
    first_slot INTEGER NOT NULL, n INTEGER NOT NULL, seed INTEGER NOT NULL,
    planned_at REAL NOT NULL);
CREATE TABLE answers (
    request INTEGER PRIMARY KEY, reservation INTEGER NOT NULL, model TEXT NOT NULL,
    provider_id TEXT NOT NULL, usage TEXT, input_tokens INTEGER, cached_input_tokens INTEGER,
    cache_write_5m_tokens INTEGER, cache_write_1h_tokens INTEGER, output_tokens INTEGER,
    reasoning_tokens INTEGER, cost INTEGER, sent_at REAL NOT NULL, latency_s REAL NOT NULL,
    recorded_at REAL NOT NULL);
CREATE TABLE samples (
    arm INTEGER NOT NULL, problem INTEGER NOT NULL, slot INTEGER NOT NULL,
    request INTEGER NOT NULL, choice INTEGER NOT NULL, kind TEXT NOT NULL,
    finish_reason TEXT NOT NULL, text TEXT NOT NULL, output_tokens INTEGER,
    PRIMARY KEY (arm, problem, slot));
CREATE TABLE failures (
    failure INTEGER PRIMARY KEY, request INTEGER NOT NULL, reservation INTEGER NOT NULL,
    at REAL NOT NULL, kind TEXT NOT NULL, sent TEXT NOT NULL, final INTEGER NOT NULL,
    message TEXT NOT NULL);
CREATE TABLE verdicts (
    arm INTEGER NOT NULL, problem INTEGER NOT NULL, slot INTEGER NOT NULL, verifier TEXT NOT NULL,
    kind TEXT NOT NULL, detail TEXT NOT NULL, answer TEXT, tier TEXT NOT NULL,
    wall_s REAL NOT NULL, cpu_s REAL NOT NULL,
    PRIMARY KEY (arm, problem, slot, verifier)) WITHOUT ROWID;
CREATE TABLE ledger (
    event INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, reservation INTEGER NOT NULL,
    amount INTEGER NOT NULL, scopes TEXT NOT NULL, note TEXT NOT NULL);
CREATE TABLE batches (
    batch INTEGER PRIMARY KEY, arm INTEGER NOT NULL, tag TEXT NOT NULL, provider_id TEXT NOT NULL,
    state TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE batched (
    batch INTEGER NOT NULL, place INTEGER NOT NULL, request INTEGER NOT NULL,
    reservation INTEGER NOT NULL, PRIMARY KEY (batch, place)) WITHOUT ROWID;
CREATE INDEX requests_by_slot ON requests (arm, problem, first_slot);
"""

CREATE_REWARDS = """
CREATE TABLE IF NOT EXISTS rewards (
    arm INTEGER NOT NULL, problem INTEGER NOT NULL, slot INTEGER NOT NULL, model TEXT NOT NULL,
    reward REAL, PRIMARY KEY (arm, problem, slot, model)) WITHOUT ROWID
"""

# OR ROLLBACK: a row that does not fit ends its group's transaction, which is lost anyway, so that
# SQLite need not keep what would undo one statement of many rows (writer.py).
PUT_META = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
PUT_ARM = "INSERT OR REPLACE INTO arms VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
PUT_PROBLEM = "INSERT OR ROLLBACK INTO problems VALUES (?, ?, ?, ?, ?)"
PUT_REQUEST = "INSERT OR ROLLBACK INTO requests VALUES (?, ?, ?, ?, ?, ?, ?)"
PUT_ANSWER = "INSERT OR ROLLBACK INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SET_COST = "UPDATE answers SET cost = ? WHERE request = ?"
PUT_SAMPLE = "INSERT OR ROLLBACK INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
PUT_FAILURE = "INSERT OR ROLLBACK INTO failures VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
PUT_VERDICT = "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
PUT_REWARD = "INSERT OR REPLACE INTO rewards VALUES (?, ?, ?, ?, ?)"
PUT_BATCH = "INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?, ?, ?)"
PUT_BATCHED = "INSERT OR ROLLBACK INTO batched VALUES (?, ?, ?, ?)"
PUT_EVENT = "INSERT OR ROLLBACK INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)"
