"""Rewards: one row per sample and reward model; empty where the model cannot read the sample."""

from __future__ import annotations

STEPS = (
    # Some runs of the first schema have it already: it used to be made with the first score.
    """CREATE TABLE IF NOT EXISTS rewards (
        arm INTEGER NOT NULL, problem INTEGER NOT NULL, slot INTEGER NOT NULL, model TEXT NOT NULL,
        reward REAL, PRIMARY KEY (arm, problem, slot, model)) WITHOUT ROWID""",
)
