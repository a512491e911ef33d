"""What limited the speed of a run's sessions, as data and in words for a person."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.report.fleet import fleet_sentence
from orchestrator.report.text import span
from orchestrator.store import schema
from orchestrator.store.reader import RunReader

SHOWN = 8
"""Changes of the concurrency that are told of one session, the latest."""
LEAST_WAIT_S = 1.0


def read_speed(reader: RunReader) -> list[dict[str, Any]]:
    """One document for each session that ended by itself, oldest first (session/speed.py)."""
    return [json.loads(text) for text in reader.metas(schema.SPEED_KEY)]


def speed_lines(sessions: list[dict[str, Any]]) -> list[str]:
    """A sentence for each limiter of each session."""
    lines = []
    for number, session in enumerate(sessions, start=1):
        which = f"Session {number} ({span(session['seconds'])})"
        for entry in session["limiters"]:
            where = f" on {entry['server']}" if entry.get("server") else ""
            lines.append(f"{which}, {', '.join(entry['models'])}{where}: {_told(entry)}")
        for fleet in session.get("fleets", []):
            lines.append(f"{which}, {', '.join(fleet['models'])}: {fleet_sentence(fleet)}.")
    return lines


def _told(entry: dict[str, Any]) -> str:
    changes = entry["changes"][-SHOWN:]
    steps = [f"{c['concurrency']} at {c['at_s']:.1f} s ({c['why']})" for c in changes]
    told = f"concurrency {entry['concurrency']} at its end"
    if steps:
        left = "... " if len(entry["changes"]) > len(steps) else ""
        told += f", found by {left}{', '.join(steps)}"
    waits = {why: s for why, s in entry["waited_s"].items() if s >= LEAST_WAIT_S and why}
    if waits:
        longest = sorted(waits.items(), key=lambda item: -item[1])[:3]
        told += "; waited for " + ", ".join(f"{why} {span(s)}" for why, s in longest)
    return told + "."
