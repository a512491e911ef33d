"""Attempts and their keys: who calls, under which caps, and what it came to.

A key is made when an agent starts and is good until `end`. Only its digest is kept, in memory: a
gateway that was started again knows none of the keys of the one before.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from budgets.totals import Totals
from budgets.usage import Usage
from providers.gateway.upstream import Upstream

PREFIX = "sk-orch-"


@dataclass(slots=True, eq=False)
class Account(Totals):
    """Money under one cap of the gateway's own.

    The ledger keeps the scopes of a run, which are few; caps of an attempt or a problem are kept
    here, by the same rule: settled + uncertain + reserved <= cap.
    """

    name: str = ""


@dataclass(frozen=True, slots=True)
class Caps:
    """What an attempt may use; None: as much as its run may."""

    call_usd: int | None = None
    """Picodollars that one call may cost at most, by its worst case."""
    attempt_usd: int | None = None
    """Picodollars of all calls."""
    calls: int | None = None
    output_tokens: int | None = None
    """The longest answer to one call: asks for more are lowered, as a server's own limit would."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One agent at work. Written by the gateway, read by whoever started the agent."""

    number: int
    """The caller's number for it; recorded with every call."""
    upstream: Upstream
    caps: Caps
    scopes: tuple[str, ...]
    """Scopes of the ledger beside "run"."""
    accounts: tuple[Account, ...]
    """Its own account first, then those that it shares (its problem's)."""
    request: int = 0
    """The caller's number of what it is for, kept with its reservations; 0: none."""
    started: float = field(default_factory=time.monotonic)
    ended: bool = False
    calls: int = 0
    """Calls that were reserved and sent."""
    answered: int = 0
    """Calls that the upstream answered with success."""
    in_flight: int = 0
    """Calls that are reserved and not booked."""
    open_calls: int = 0
    """Calls whose agent waits."""
    used: Usage = field(default_factory=Usage)
    """Of all answered calls."""
    refused: dict[str, int] = field(default_factory=dict)
    """Calls that the gateway refused, by what had no room ("key": after its end)."""
    failed: dict[str, int] = field(default_factory=dict)
    """Calls that the upstream or the way to it failed, by kind of error."""
    waited_s: float = 0.0
    """How long its calls waited for money or a rate limit."""
    known: bool = True
    """False once a call's cost is uncertain."""

    @property
    def prompt_tokens(self) -> int:
        return self.used.prompt_tokens

    @property
    def output_tokens(self) -> int:
        return self.used.output_tokens

    @property
    def own(self) -> Account:
        return self.accounts[0]

    @property
    def cut(self) -> str:
        """The first cap that refused a call; "" where none did."""
        return next((scope for scope in self.refused if scope != "key"), "")


class LiveAttempts:
    """The attempts under way, by key."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, Attempt] = {}
        self._digests: dict[Attempt, bytes] = {}

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._digests))

    def __len__(self) -> int:
        return len(self._digests)

    def begin(self, attempt: Attempt) -> str:
        """The key of a new attempt; it is written nowhere."""
        key = PREFIX + secrets.token_urlsafe(32)
        digest = _digest(key)
        self._by_digest[digest] = attempt
        self._digests[attempt] = digest
        return key

    def end(self, attempt: Attempt) -> None:
        """From now on no call with its key is passed on. Safe to call again."""
        attempt.ended = True
        digest = self._digests.pop(attempt, None)
        if digest is not None:
            del self._by_digest[digest]

    def find(self, key: str) -> Attempt | None:
        """The attempt that a key belongs to."""
        return self._by_digest.get(_digest(key))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
