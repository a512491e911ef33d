"""What was recorded of a model, and draws from it without replacement.

A replay file is JSON (a list) or JSONL, one object a problem, of either kind:

    {"id", "prompt" | "messages", "samples": ["...", ...]}            texts as they were recorded
    {"id", "prompt" | "messages", "n", "c", "right", "wrong"}         counts: c of n were right

and optionally `prompt_tokens` (a number) and `output_tokens` (a number, or one per sample), else
four bytes count as a token. A problem's draws are one seeded permutation of what was recorded:
slot i is always the same draw, whatever the order of asking, and asking beyond the last is an
error, never a repetition.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from budgets.given import read_given
from providers.errors import InvalidRequest, ProviderConfigError

MOST_BYTES = 2 * 2**30

BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Drawn:
    """One recorded attempt."""

    text: str
    output_tokens: int


class RecordedProblem:
    """The recorded attempts at one prompt."""

    def __init__(self, row: Mapping[str, Any], seed: int) -> None:
        self.id = str(row["id"])
        self.prompt_tokens = int(row.get("prompt_tokens") or tokens(prompt_of(row)))
        self._seed = f"{seed}/{self.id}"
        self._order: array[int] | None = None
        self._next = 0
        samples = row.get("samples")
        if samples is not None:
            self._texts: list[str] | None = [str(text) for text in samples]
            self.size = len(self._texts)
        else:
            self._texts = None
            self.size, self._right_count = int(row["n"]), int(row["c"])
            self._right, self._wrong = str(row["right"]), str(row["wrong"])
            if not 0 <= self._right_count <= self.size:
                raise ValueError(f"c={self._right_count} is not between 0 and n={self.size}")
        self._output_tokens = _counts(row.get("output_tokens"), self.size)

    def take(self, count: int) -> int:
        """The first of `count` slots that nobody asked for by number."""
        first, self._next = self._next, self._next + count
        return first

    def draw(self, slot: int) -> Drawn:
        """The attempt in `slot`; raises InvalidRequest beyond the last one."""
        if not 0 <= slot < self.size:
            raise InvalidRequest(
                f"the recording has {self.size} samples of problem {self.id!r}; slot {slot} is "
                "beyond it: ask for fewer samples",
                sent="rejected",
                status=400,
            )
        if self._order is None:
            self._order = array("I", range(self.size))
            random.Random(self._seed).shuffle(self._order)
        index = self._order[slot]
        if self._texts is not None:
            text = self._texts[index]
        else:
            text = self._right if index < self._right_count else self._wrong
        given = self._output_tokens
        if given is None:
            return Drawn(text, tokens(text))
        return Drawn(text, given if isinstance(given, int) else given[index])


class Recording:
    """All problems of a replay file, found by their prompt."""

    def __init__(
        self, rows: Iterable[Mapping[str, Any]], *, seed: int = 0, where: str = ""
    ) -> None:
        self._problems: dict[str, RecordedProblem] = {}
        for number, row in enumerate(rows, 1):
            try:
                prompt = prompt_of(row)
                problem = RecordedProblem(row, seed)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise ProviderConfigError(
                    f"{where or 'recording'}: row {number}: {reason}"
                ) from None
            if prompt in self._problems:
                raise ProviderConfigError(
                    f"{where or 'recording'}: row {number}: problem {problem.id!r} has the same "
                    "prompt as an earlier one"
                )
            self._problems[prompt] = problem

    @classmethod
    def load(cls, path: Path, *, seed: int = 0) -> Recording:
        """Read a JSON or JSONL file; raises ProviderConfigError naming the row at fault."""
        try:
            data = read_given(path, MOST_BYTES)
        except OSError as error:
            raise ProviderConfigError(f"{path}: {error.strerror}") from None
        try:
            if data.lstrip()[:1] == b"[":
                rows = msgspec.json.decode(data, type=list[dict[str, Any]])
            else:
                rows = [
                    msgspec.json.decode(line, type=dict[str, Any])
                    for line in data.splitlines()
                    if line.strip()
                ]
        except (ValueError, RecursionError) as error:
            raise ProviderConfigError(f"{path} is not JSON or JSONL: {error}") from None
        return cls(rows, seed=seed, where=str(path))

    def __len__(self) -> int:
        return len(self._problems)

    def find(self, asked: Mapping[str, Any]) -> RecordedProblem:
        """The problem with the prompt or messages of `asked`; raises InvalidRequest."""
        prompt = prompt_of(asked)
        problem = self._problems.get(prompt)
        if problem is None:
            raise InvalidRequest(
                f"the recording has no problem with the prompt {prompt[:60]!r}...",
                sent="rejected",
                status=400,
            )
        return problem


def _counts(given: Any, size: int) -> int | list[int] | None:
    """Tokens of each sample, or of all alike; raises ValueError or TypeError for anything else."""
    if not isinstance(given, list):
        return None if given is None else int(given)
    if len(given) != size:
        raise ValueError(f"output_tokens has {len(given)} numbers for {size} samples")
    return [int(one) for one in given]


def prompt_of(holder: Mapping[str, Any]) -> str:
    """The text that identifies a prompt: `prompt`, or the contents of `messages` joined."""
    prompt = holder.get("prompt")
    if prompt is not None:
        return str(prompt)
    return "\n".join(str(message["content"]) for message in holder["messages"])


def tokens(text: str) -> int:
    """A rough count, at least one."""
    return max(1, len(text.encode()) // BYTES_PER_TOKEN)
