"""What servers refused or broke off, in their own words, counted: one small structure for all.

The engine adds to a `Refusals` as it goes (the live view reads it), the reader makes the same from
a stored run (the report reads it). Words that differ only in numbers are one refusal.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, field

PLAIN: dict[str, str] = {
    "RateLimited": "rate limited",
    "Overloaded": "server error",
    "ConnectionFailed": "no connection",
    "TimedOut": "timed out",
    "BadResponse": "answer that cannot be read",
    "Broken": "broken off by the server",
    "InvalidRequest": "refused as it is asked",
    "AuthFailed": "key refused",
    "NoCredit": "no credit",
    "Forbidden": "not allowed",
    "UnknownModel": "model not there",
    "cancelled": "stopped by you",
}
"""Kinds of failure in plain words."""

TO_DO: tuple[tuple[str, str], ...] = (
    (r"prompt_style|chat/completions", "use --prompt-style chat"),
    (r"context (length|window|size)|max_tokens|max_model_len|too many tokens|too long",
     "lower --max-tokens, or leave the problem out"),
    (r"stop (string|sequence)s?|at most \d+ stop|[`'\"]stop[`'\"]", "give fewer stop strings"),
    (r"greedy|\bn must be|[`'\"]n[`'\"]", "use --n-per-request 1"),
    (r"temperature", "leave --temperature out, or give one that the model takes"),
    (r"request too large|tokens per min", "ask for less with --max-tokens and --n-per-request"),
)  # fmt: skip
BY_KIND: dict[str, str] = {
    "RateLimited": "lower --max-concurrent, or wait",
    "Overloaded": "lower --max-concurrent, or wait; --resume asks again",
    "ConnectionFailed": "look whether the server runs; --resume asks again",
    "TimedOut": "raise --timeout-s, or lower --max-tokens",
    "AuthFailed": "set the right key, then --resume",
    "NoCredit": "fill up the account, then --resume",
    "Forbidden": "ask from where it is allowed, or another provider",
    "UnknownModel": "correct --model or --base-url",
    "BadResponse": "look at the bodies that were kept in run.db",
    "Broken": "look at the server's log",
}

MOST = 300
"""Characters of a server's words that are shown."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of failure with the words of one server."""

    kind: str
    """The class of the error by name, or "Broken" for a choice that its server broke off."""
    said: str
    """The server's words, of the first that said so."""
    count: int
    """Requests that failed so, tries included."""
    to_do: str
    """What a person can do about it; "" where nothing is known."""

    @property
    def plain(self) -> str:
        return PLAIN.get(self.kind, self.kind)

    def sentence(self) -> str:
        """One line: how often, what, in whose words, and what to do."""
        told = f"{self.count:,} x {self.plain}: {self.said}"
        return f"{told.rstrip('. ')} -> {self.to_do}" if self.to_do else told


@dataclass(slots=True)
class Refusals:
    """Failures by kind and words."""

    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _said: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, kind: str, said: str, count: int = 1) -> None:
        """Count a failure."""
        key = kind, pattern_of(said)
        if key not in self._counts and len(self._counts) >= 1000:
            key = kind, ""
        self._counts[key] = self._counts.get(key, 0) + count
        self._said.setdefault(key, said[:MOST])

    def most_common(self, number: int | None = None) -> list[Refusal]:
        """The commonest first."""
        ordered = sorted(self._counts.items(), key=lambda item: -item[1])
        return [
            Refusal(kind, self._said[kind, said], count, what_to_do(kind, self._said[kind, said]))
            for (kind, said), count in ordered[:number]
        ]


def stored_refusals(database: sqlite3.Connection, arm: int) -> list[Refusal]:
    """What servers refused or broke off of one arm of a stored run, the commonest first."""
    found = Refusals()
    for kind, said, count in database.execute(
        "SELECT f.kind, f.message, count(*) FROM failures f JOIN requests r USING (request)"
        " WHERE r.arm = ? GROUP BY f.kind, f.message", (arm,),
    ):  # fmt: skip
        found.add(kind, said, count)
    return found.most_common()


def pattern_of(said: str) -> str:
    """The words without what differs from one request to the next."""
    return re.sub(r"[0-9a-f]{8,}|\d+(\.\d+)?", "#", said[:MOST])


def what_to_do(kind: str, said: str) -> str:
    """What a person can do about a failure; "" where nothing is known."""
    if kind in ("InvalidRequest", "Broken"):
        for pattern, hint in TO_DO:
            if re.search(pattern, said, re.I):
                return hint
    return BY_KIND.get(kind, "")
