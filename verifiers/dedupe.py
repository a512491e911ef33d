"""Judges identical candidates of a problem once.

A wrapper around any verifier. Repeated sampling of a weak model yields many equal texts; where the
verifier says that equal texts get equal verdicts (`deterministic`), the first verdict serves all,
also for those that come while it is still being reached. A verifier that may change its mind (a
program with a random number, a limit by the clock) is only shared when `always` says so, which
the counts then show. A verdict of `infra_error` is never kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from verifiers.shared_results import MOST, SharedResults
from verifiers.verdict import Verdict, Verifier


class Deduplicating:
    """A verifier that asks `inner` once per distinct (reference, text)."""

    def __init__(self, inner: Verifier, *, always: bool = False, size: int = MOST) -> None:
        self._inner = inner
        self._shares = inner.deterministic or always
        self._results = SharedResults(size)
        self._keys: dict[int, tuple[Mapping[str, Any], bytes]] = {}
        self.name = inner.name
        self.version = inner.version
        self.deterministic = inner.deterministic
        self.asked = 0
        """How many texts were to be judged."""
        self.checked = 0
        """How many of them the inner verifier judged."""

    @property
    def saved(self) -> int:
        """How many checks were spared, so far."""
        return self.asked - self.checked

    async def start(self) -> None:
        """Start the inner verifier's processes, where it has any."""
        start = getattr(self._inner, "start", None)
        if start is not None:
            await start()

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """The inner verifier's verdict, perhaps of an equal text judged before."""
        self.asked += 1
        if not self._shares:
            self.checked += 1
            return await self._inner.verify(text, reference)
        key = self._reference(reference), _digest(text)

        async def judge() -> Verdict:
            self.checked += 1
            return await self._inner.verify(text, reference)

        verdict = await self._results.get(key, judge)
        if verdict.kind == "infra_error":
            self._results.forget(key)
        return verdict

    async def aclose(self) -> None:
        """Close the inner verifier."""
        await self._results.aclose()
        await self._inner.aclose()

    def _reference(self, reference: Mapping[str, Any]) -> bytes:
        """The digest of a reference, which may be large: worked out once for each object."""
        known = self._keys.get(id(reference))
        if known is None or known[0] is not reference:
            if len(self._keys) >= 10_000:
                self._keys.clear()
            known = (reference, _digest(_canonical(reference)))
            self._keys[id(reference)] = known
        return known[1]


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
