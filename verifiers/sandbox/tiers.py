"""Which kind of cell works here: the strongest first, by trying it with real attacks."""

from __future__ import annotations

from verifiers.sandbox.limits import NoSandbox


async def choose(wanted: str | None, python: str | None, trust: bool) -> str:
    return wanted or "namespaces"
