"""What a verifier says of one sample.

A failure of ours (a sandbox that could not start, a judge that crashed) is `infra_error`: never
a wrong answer, retried apart, shown apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

VerdictKind = Literal[
    "passed", "failed", "timeout", "memory", "crashed", "no_answer", "infra_error"
]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement of one text by one verifier."""

    kind: VerdictKind
    detail: str = ""
    """For a person: the first failing test, the parsed answer, the fault."""
    answer: str | None = None
    """The final answer found in the text, in canonical form; equal answers vote together."""
    tier: str = ""
    """The sandbox tier that judged, where one did."""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    forgeable: bool = False
    """Whether what was judged could have forged this verdict, had it set out to: a program that
    ran in one process with its test."""

    @property
    def passed(self) -> bool:
        return self.kind == "passed"


class Verifier(Protocol):
    """Judges texts. Usable without a run; holds whatever processes it needs until closed."""

    name: str
    version: str
    deterministic: bool
    """Whether equal texts always get equal verdicts, so that each is judged once."""

    async def verify(self, text: str, reference: Mapping[str, Any]) -> Verdict:
        """Judge `text`, a model's whole output, against a problem's reference."""
        ...

    async def aclose(self) -> None:
        """End every process that the verifier holds."""
        ...
