"""Attempts of agents and their calls: who called, what each call came to, how an attempt ended."""

from __future__ import annotations

STEPS = (
    """CREATE TABLE attempts (
        attempt INTEGER PRIMARY KEY, request INTEGER NOT NULL, started_at REAL NOT NULL,
        ended_at REAL, ending TEXT NOT NULL, cut TEXT NOT NULL, reason TEXT NOT NULL,
        files TEXT NOT NULL)""",
    """CREATE TABLE calls (
        call INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, endpoint TEXT NOT NULL,
        model TEXT NOT NULL, reservation INTEGER NOT NULL, sent_at REAL NOT NULL,
        latency_s REAL NOT NULL, status INTEGER NOT NULL, outcome TEXT NOT NULL,
        streamed INTEGER NOT NULL, tries INTEGER NOT NULL, usage TEXT NOT NULL,
        input_tokens INTEGER, cached_input_tokens INTEGER, cache_write_5m_tokens INTEGER,
        cache_write_1h_tokens INTEGER, output_tokens INTEGER, reasoning_tokens INTEGER,
        cost INTEGER, provider_id TEXT NOT NULL)""",
    "CREATE INDEX calls_by_attempt ON calls (attempt)",
    "CREATE INDEX attempts_by_request ON attempts (request)",
)
