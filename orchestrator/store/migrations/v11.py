"""Whether a verdict could have been forged, in a field; before, the name of its tier said so."""

from __future__ import annotations

STEPS = (
    "ALTER TABLE verdicts ADD COLUMN forgeable INTEGER NOT NULL DEFAULT 0",
    "UPDATE verdicts SET forgeable = 1 WHERE tier LIKE '%, forgeable'",
)
