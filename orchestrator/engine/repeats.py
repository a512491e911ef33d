"""Equal texts where chance should make them differ, counted.

A server that ignores n by copying one choice, or that ignores seeds, looks like luck: its
attempts agree with each other. What can be told cheaply is counted as it comes: choices that equal
another of their own request, and requests whose first choice equals that of the request before at
the same problem. Short answers repeat by nature, so a count is a fact and not a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SUSPICIOUS = 0.9
ENOUGH = 20
"""Comparisons from which on the share says anything."""


@dataclass(slots=True)
class Repeats:
    """Counts of one session; its memory is one number per problem."""

    choices: int = 0
    """Choices that came beside others in one request."""
    within: int = 0
    """Of them, those that repeat an earlier one."""
    requests: int = 0
    """Requests at a problem that had been asked before."""
    across: int = 0
    """Of them, those whose first choice is that of the request before."""
    _last: dict[tuple[int, int], int] = field(default_factory=dict)

    def see(self, arm: int, problem: int, texts: Sequence[str]) -> None:
        """Count the choices of one answered request, in the order of their indices."""
        if not texts:
            return
        if len(texts) > 1:
            self.choices += len(texts) - 1
            self.within += len(texts) - len(set(texts))
        first = hash(texts[0])
        before = self._last.get((arm, problem))
        if before is not None:
            self.requests += 1
            self.across += before == first
        self._last[arm, problem] = first

    def warnings(self) -> list[str]:
        """What looks like a server that ignores n or seeds."""
        return [text for text, suspicious in self._told() if suspicious]

    def sentences(self) -> list[str]:
        """What was counted; nothing where nothing was repeated."""
        return [text for text, _ in self._told()]

    def _told(self) -> Iterator[tuple[str, bool]]:
        """Each sentence, and whether the share is suspicious."""
        if self.within:
            what = "further choices repeat an earlier choice of their request"
            yield _counted(self.within, self.choices, what, "n")
        if self.across:
            what = "requests began as the request before at the same problem did"
            yield _counted(self.across, self.requests, what, "seeds")


def _counted(repeated: int, of: int, what: str, ignored: str) -> tuple[str, bool]:
    said = f"{repeated:,} of {of:,} {what}"
    if of < ENOUGH or repeated < SUSPICIOUS * of:
        return said, False
    hint = "unless its answers are very short or its temperature is 0, the server ignores"
    return f"{said}: {hint} {ignored}", True
