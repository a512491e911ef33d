"""The hostile server's own bill: one JSON line per request, on disk before any answer.

It is the provider's side of the books, kept apart from everything that it judges: it shares no
code with the ledger, and money is whole picodollars reckoned from exact fractions.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """One request as the provider saw it."""

    number: int
    path: str
    model: str
    fault: str
    n: int
    seed: int | None
    prompt_tokens: int
    output_tokens: int
    pico: int
    """What it cost, in picodollars; 0: not billed."""
    prompt: str
    """The beginning of the prompt."""


class Bill:
    """Appends to a file; any process may read it."""

    def __init__(self, path: Path, input_usd: str, output_usd: str) -> None:
        self.path = path
        self._input = Fraction(input_usd)
        self._output = Fraction(output_usd)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def price(self, prompt_tokens: int, output_tokens: int) -> int:
        """Picodollars at the server's rates per million tokens, rounded up."""
        return math.ceil((prompt_tokens * self._input + output_tokens * self._output) * 10**6)

    def share(self, prompt_tokens: int, output_tokens: int, share: float) -> int:
        """The same, for an answer that is billed in another measure."""
        return math.ceil(self.price(prompt_tokens, output_tokens) * Fraction(str(share)))

    def write(self, line: Line) -> None:
        """One whole line, there even if this process is killed the moment after."""
        os.write(self._file, json.dumps(asdict(line)).encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read_bill(path: Path) -> list[Line]:
    """Every line of a bill."""
    return [Line(**json.loads(line)) for line in path.read_text().splitlines()]


def total(path: Path) -> int:
    """The whole bill in picodollars."""
    return sum(line.pico for line in read_bill(path))


def faults(path: Path) -> Counter[str]:
    """How often each fault happened."""
    return Counter(line.fault for line in read_bill(path))
