"""What every request says again stands once: models' names, and the words of usage reports.

`answers.model` is the number of a row of `repeated`; `answers.usage` may be a blob that names one
(packing.py). Gone are a request's time (its reservation has it), the time at which an answer was
recorded (`sent_at + latency_s` is the same moment), and an index that no query needed.
"""

from __future__ import annotations

STEPS = (
    "CREATE TABLE repeated (number INTEGER PRIMARY KEY, content TEXT NOT NULL)",
    "INSERT INTO repeated (content) SELECT DISTINCT model FROM answers ORDER BY model",
    """CREATE TABLE answers_10 (
        request INTEGER PRIMARY KEY, reservation INTEGER NOT NULL, model INTEGER NOT NULL,
        provider_id TEXT NOT NULL, usage TEXT, input_tokens INTEGER, cached_input_tokens INTEGER,
        cache_write_5m_tokens INTEGER, cache_write_1h_tokens INTEGER, output_tokens INTEGER,
        reasoning_tokens INTEGER, cost INTEGER, sent_at REAL NOT NULL, latency_s REAL NOT NULL,
        tier TEXT NOT NULL, doubt TEXT NOT NULL)""",
    """INSERT INTO answers_10 SELECT request, reservation, number, provider_id, usage, input_tokens,
        cached_input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
        reasoning_tokens, cost, sent_at, latency_s, tier, doubt
        FROM answers JOIN repeated ON content = model ORDER BY request""",
    "DROP TABLE answers",
    "ALTER TABLE answers_10 RENAME TO answers",
    "DROP INDEX requests_by_slot",
    """CREATE TABLE requests_10 (
        request INTEGER PRIMARY KEY, arm INTEGER NOT NULL, problem INTEGER NOT NULL,
        first_slot INTEGER NOT NULL, n INTEGER NOT NULL, seed INTEGER NOT NULL)""",
    """INSERT INTO requests_10 SELECT request, arm, problem, first_slot, n, seed
        FROM requests ORDER BY request""",
    "DROP TABLE requests",
    "ALTER TABLE requests_10 RENAME TO requests",
)
