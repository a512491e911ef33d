"""The run database, `run.db`: the only truth of a run.

    meta       one line each: schema version, study, identity, prices, what the run knows of itself
    arms       what each arm asked, with its resolved price
    problems   what was asked, once per task
    requests   the durable plan: which slots each request buys, with its seed
    answers    what a request brought: usage raw, cost, timing
    samples    one row a slot that was filled (or censored)
    failures   tries that brought nothing, with how far they got
    verdicts   one row per sample and verifier
    rewards    one row per sample and reward model; empty where it cannot read the sample
    served     which server of a fleet each try at a request went to, and how it ended
    batches    what was, or is about to be, handed to a batch API under which tag
    batched    which requests a batch holds, in which place, with their reservations
    attempts   agents' attempts at a request's slot: when, how each ended, which cap cut it
    calls      agents' calls: attempt, usage raw, cost, outcome
    ledger     the ledger's events, in order
    dictionaries   what long texts are packed with (packing.py)
    repeated   what many rows say alike: models' names, the words of usage reports (packing.py)

A sample, its answer and its settlement commit in one transaction. `CREATE` is the first schema and
does not change any more: what came later stands in migrations/, one file a version. Statements
name their columns, so that a run may have more than one of them knows. Long texts are packed, so
that `text`, `detail`, `answer`, `usage` and `provider_id` may hold blobs: read them through
packing.py. `model` of `answers` is a number of `repeated`.
"""

from __future__ import annotations

SEAL = "run.seal"
"""The small second file that says how far the database had come (seal.py)."""

SPEED_KEY = "speed "
"""How the keys of `meta` begin under which sessions' speeds stand; the rest sorts by time."""

PILOT_KEY = "pilot"
"""Under which key of `meta` a pilot keeps what its whole plan wants: attempts of each arm, JSON."""

NOTE_KEY = "note "
"""The same of what sessions said of themselves for reports to come."""


def arm_scope(arm: int) -> str:
    """The ledger's scope of one arm."""
    return f"arm:{arm}"


def insert(table: str, columns: str, otherwise: str = "ROLLBACK") -> str:
    """The statement that stores one row; `columns` are names with spaces between."""
    names = columns.split()
    values = ", ".join("?" * len(names))
    return f"INSERT OR {otherwise} INTO {table} ({', '.join(names)}) VALUES ({values})"


def place(statement: str, column: str) -> int:
    """Where in the rows of a statement of `insert` a column stands."""
    return statement.partition("(")[2].partition(")")[0].split(", ").index(column)


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

# OR ROLLBACK: a row that does not fit ends its group's transaction, which is lost anyway, so that
# SQLite need not keep what would undo one statement of many rows (writer.py).
PUT_META = insert("meta", "key value", "REPLACE")
PUT_ARM = insert("arms", "arm key provider model task policy samples spec", "REPLACE")
PUT_PROBLEM = insert("problems", "task problem id digest content")
PUT_REQUEST = insert("requests", "request arm problem first_slot n seed")
PUT_ANSWER = insert(
    "answers",
    "request reservation model provider_id usage input_tokens cached_input_tokens "
    "cache_write_5m_tokens cache_write_1h_tokens output_tokens reasoning_tokens cost sent_at "
    "latency_s tier doubt",
)
SET_COST = "UPDATE answers SET cost = ? WHERE request = ?"
PUT_SAMPLE = insert(
    "samples", "arm problem slot request choice kind finish_reason text output_tokens finish_raw"
)
PUT_BODY = insert("bodies", "request at odd content")
PUT_REPEATED = insert("repeated", "number content")
PUT_DICTIONARY = insert("dictionaries", "dictionary content")
PUT_FAILURE = insert("failures", "request reservation at kind sent final message")
PUT_SERVED = insert("served", "request server at ending")
PUT_VERDICT = insert(
    "verdicts",
    "arm problem slot verifier kind detail answer tier wall_s cpu_s forgeable",
    "REPLACE",
)


def beside(name: str, version: str) -> str:
    """Under which name the verdicts of another version of a verifier stand."""
    return f"{name}@{version}"


RENAME_VERDICTS = "UPDATE OR REPLACE verdicts SET verifier = ? WHERE arm = ? AND verifier = ?"
PUT_REWARD = insert("rewards", "arm problem slot model reward", "REPLACE")
PUT_BATCH = insert("batches", "batch arm tag provider_id state at", "REPLACE")
PUT_BATCHED = insert("batched", "batch place request reservation")
PUT_EVENT = insert("ledger", "event at kind reservation amount scopes note request time accepts")
EVENT = "kind, reservation, amount, scopes, note, request, time, accepts"
GET_EVENTS = f"SELECT event, {EVENT} FROM ledger ORDER BY event"
PUT_ATTEMPT = insert(
    "attempts", "attempt request started_at ended_at ending cut reason files", "REPLACE"
)
PUT_CALL = insert(
    "calls",
    "attempt endpoint model reservation sent_at latency_s status outcome streamed tries usage "
    "input_tokens cached_input_tokens cache_write_5m_tokens cache_write_1h_tokens output_tokens "
    "reasoning_tokens cost provider_id",
)
