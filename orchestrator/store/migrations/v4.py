"""What servers said: raw finish reasons, tiers, doubts, and bodies that were read only in part."""

from __future__ import annotations

STEPS = (
    "ALTER TABLE samples ADD COLUMN finish_raw TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE answers ADD COLUMN tier TEXT NOT NULL DEFAULT ''",
    # Why not all of its cost is certain.
    "ALTER TABLE answers ADD COLUMN doubt TEXT NOT NULL DEFAULT ''",
    # zlib; only where something of an answer could not be read.
    """CREATE TABLE bodies (
        body INTEGER PRIMARY KEY, request INTEGER NOT NULL, at REAL NOT NULL, odd TEXT NOT NULL,
        content BLOB NOT NULL)""",
)
