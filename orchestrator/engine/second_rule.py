"""Says at once when a rule passes none of a run's first answers although another would pass some.

A rule that does not fit how a model answers looks like a model that solves nothing, and costs the
same. So an arm's first texts are held until one passes; if none has by then, other rules are asked
about them, in the background, and what they say is a note. No verdict changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.plan.ready import ReadyArm
from verifiers.rules import make_rule, rule_names
from verifiers.sandbox.limits import SandboxFault
from verifiers.verdict import Verdict

FIRST, FEWEST = 200, 20
"""Texts after which other rules are asked; the fewest of a run that ends before."""
_EVERYWHERE = ("stated", "math-verify")
_OWN_FILES = ("number", "choice", "exact-last-line", "exact")


class SecondRule:
    """Holds the first texts of each arm whose problems have answers."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._held: dict[int, tuple[ReadyArm, list[tuple[str, Any]]]] = {}
        self._settled: set[int] = set()
        self._asking: list[asyncio.Task[None]] = []

    def look(self, arm: ReadyArm, text: str, reference: Any, verdict: Verdict) -> None:
        """Take one verdict into account."""
        if arm.number in self._settled or verdict.kind == "infra_error":
            return
        if verdict.passed or "answer" not in reference or arm.verifier.name not in _rules():
            self._settled.add(arm.number)
            self._held.pop(arm.number, None)
            return
        _, texts = self._held.setdefault(arm.number, (arm, []))
        texts.append((text, reference))
        if len(texts) >= FIRST:
            self._ask(arm.number)

    async def finish(self) -> None:
        """Ask about arms that ended before, and wait for what is being asked."""
        for number in [n for n, (_, texts) in self._held.items() if len(texts) >= FEWEST]:
            self._ask(number)
        await asyncio.gather(*self._asking)

    async def close(self) -> None:
        """Give up what is being asked."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _ask(self, number: int) -> None:
        arm, texts = self._held.pop(number)
        self._settled.add(number)
        self._asking.append(asyncio.create_task(self._ask_others(arm, texts)))

    async def _ask_others(self, arm: ReadyArm, texts: list[tuple[str, Any]]) -> None:
        own_file = Path(arm.spec.task).suffix == ".jsonl"
        best, most = "", 0
        for name in (*_EVERYWHERE, *(_OWN_FILES if own_file else ())):
            passed = 0 if name == arm.verifier.name else await _passed(name, texts)
            if passed > most:
                best, most = name, passed
        if most:
            self._note(
                f"0 of {len(texts)} passed by {arm.verifier.name}; {most} would by {best}: "
                f"--verifier {best}"
            )


@cache
def _rules() -> frozenset[str]:
    """Looked up once: what is installed is read from many files."""
    return frozenset({*rule_names(), "paper"})


async def _passed(name: str, texts: list[tuple[str, Any]]) -> int:
    """How many texts a rule passes; 0 where it cannot be asked here."""
    from verifiers.answer import MissingPackage

    try:
        rule = make_rule(name)
    except MissingPackage:
        return 0
    try:
        return sum([(await rule.verify(text, reference)).passed for text, reference in texts])
    except SandboxFault:
        return 0
    finally:
        await rule.aclose()
