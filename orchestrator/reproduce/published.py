"""The published figures that a reproduction starts from and is compared with.

Read from published.toml, where each is marked as published, derived or inferred.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from importlib.resources import files
from typing import Literal

import msgspec

Mark = Literal["published", "derived", "inferred"]


class PublishedRow(msgspec.Struct, frozen=True):
    """A row of the paper's table 1, to compare with and for nothing else."""

    usd_per_attempt: str
    solved_percent: float
    total_usd: str


class PublishedModel(msgspec.Struct, frozen=True):
    """One model's recorded outcomes and token bill per attempt."""

    name: str
    priced_as: str
    priced_at: str
    today_as: str
    attempts: int
    recorded: int
    outcomes: list[tuple[int, int]]
    """Successes out of `recorded`, and how many problems had so many."""
    outcomes_mark: Mark
    outcomes_source: str
    prompt_tokens: int
    output_tokens: int
    tokens_mark: Mark
    tokens_source: str
    published: PublishedRow

    def right(self) -> list[int]:
        """Successes of every problem, in no particular order of problems."""
        return [value for value, problems in self.outcomes for _ in range(problems)]


class Paper(msgspec.Struct, frozen=True):
    """Where it was published, and the day whose prices are charged."""

    title: str
    source: str
    problems: int
    date: date

    @property
    def moment(self) -> datetime:
        return datetime.combine(self.date, time(12), UTC)


class PublishedCurve(msgspec.Struct, frozen=True):
    """Published points of a coverage curve."""

    model: str
    source: str
    percent: dict[str, float]


class Published(msgspec.Struct, frozen=True):
    """The whole file."""

    paper: Paper
    models: list[PublishedModel]
    curve: PublishedCurve


def load_published() -> Published:
    """The figures that came with orch."""
    content = files("orchestrator.reproduce").joinpath("published.toml").read_bytes()
    return msgspec.toml.decode(content, type=Published)
