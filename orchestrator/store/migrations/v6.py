"""The seal: what the database holds, counted with every commit, so that damage shows."""

from __future__ import annotations

STEPS = (
    """CREATE TABLE seal (
        seal INTEGER PRIMARY KEY, groups INTEGER NOT NULL, head BLOB NOT NULL,
        reserved INTEGER NOT NULL, tables BLOB NOT NULL)""",
)
