"""Outcomes of other tools, one file a format: each has `read(path) -> list[Outcomes]`.

A sample counts where its tool says whether it is right. What it says is taken as it stands: orch
judges nothing here. Every fault is an OutcomesError that names the file, the line and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from budgets.given import open_given
from orchestrator.reproduce.recorded import OutcomesError, RecordedOutcomes
from orchestrator.tasks.base import MOST_TASK_BYTES


@dataclass(slots=True)
class OutcomeTally:
    """Counts of one arm while its samples are read."""

    task: str
    model: str
    name: str = ""
    counts: dict[str, list[int]] = field(default_factory=dict)
    """Judged and right attempts by problem."""
    spent: int | None = None

    def add(self, problem: str, right: bool | None, spent: int | None = None) -> None:
        """One sample; None: nobody judged it, and its dollars count all the same."""
        row = self.counts.setdefault(problem, [0, 0])
        if right is not None:
            row[0] += 1
            row[1] += right
        if spent is not None:
            self.spent = (self.spent or 0) + spent

    def outcomes(self) -> RecordedOutcomes:
        return RecordedOutcomes(
            self.task, self.model, tuple(self.counts),
            tuple(n for n, _ in self.counts.values()), tuple(c for _, c in self.counts.values()),
            self.spent, self.name,
        )  # fmt: skip


MOST_STREAMED_BYTES = 2**50


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each object of a JSONL file stands, and the object; raises OutcomesError."""
    try:
        # Read line by line: however large the file is, little of it is held.
        with open_given(path, MOST_STREAMED_BYTES) as lines:
            number = 0
            while line := lines.readline(MOST_TASK_BYTES):
                number += 1
                where = f"{path}, line {number}"
                if not line.strip():
                    continue
                try:
                    row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except UnicodeDecodeError:
                    raise OutcomesError(f"{where} is not UTF-8 text.") from None
                except (ValueError, RecursionError):
                    raise OutcomesError(f"{where} is not JSON; give one object a line.") from None
                if not isinstance(row, dict):
                    raise OutcomesError(f"{where} holds no object; give one object a line.")
                yield where, row
    except OSError as error:
        raise OutcomesError(f"{path} cannot be read: {error.strerror}.") from None


def text_of(where: str, row: dict[str, Any], *names: str) -> str:
    """The first of these fields that the row has, as text; raises OutcomesError."""
    for name in names:
        if row.get(name) not in (None, ""):
            return str(row[name])
    raise OutcomesError(f"{where} has no {names[0]!r}.")


def some(found: dict[Any, OutcomeTally], path: Path, what: str) -> list[RecordedOutcomes]:
    """The outcomes of all arms; raises OutcomesError where there are none."""
    if not any(n for tally in found.values() for n, _ in tally.counts.values()):
        raise OutcomesError(f"{path} holds no judged sample; {what}")
    return [tally.outcomes() for tally in found.values()]
