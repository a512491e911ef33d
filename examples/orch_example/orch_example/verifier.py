"""A verifier: passes a number that is at most half away from the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifiers import RuleOptions, Verdict, Verifier


class Nearest:
    """Passes the nearest whole number to the reference's `answer`."""

    name = "nearest"
    version = "1"
    deterministic = True

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """`no_answer` for what is not one number, else `passed` or `failed`."""
        try:
            said = float(text)
        except ValueError:
            return Verdict("no_answer", "the output is not one number")
        wanted = float(reference["answer"])
        kind = "passed" if abs(said - wanted) <= 0.5 else "failed"
        return Verdict(kind, f"expected {wanted} or what rounds to it", answer=str(round(said)))

    async def aclose(self) -> None:
        """Nothing is held."""


def make_nearest(options: RuleOptions) -> Verifier:
    """The entry point: options say in which sandbox to judge; this rule needs none."""
    return Nearest()
