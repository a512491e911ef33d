"""Servers of a fleet: which of them each try at a request went to, and how the try ended."""

from __future__ import annotations

STEPS = (
    """CREATE TABLE served (
        try INTEGER PRIMARY KEY, request INTEGER NOT NULL, server TEXT NOT NULL, at REAL NOT NULL,
        ending TEXT NOT NULL)""",
)
