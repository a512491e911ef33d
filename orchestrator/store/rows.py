"""What is read of a run, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from budgets.usage import Usage
from orchestrator.store.store import BatchState

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ArmRow:
    """An arm as stored."""

    number: int
    key: str
    provider: str
    model: str
    task: str
    policy: str
    samples: int
    """Slots wanted per problem."""
    spec: dict[str, Any]

    @property
    def problem_set(self) -> str:
        """Under which name its problems are stored: the task's, unless arms of one task differ."""
        return str(self.spec.get("problem_set", self.task))


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """A problem as stored."""

    number: int
    id: str
    digest: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SlotCounts:
    """Per problem of one arm; arrays of length P."""

    planned: Counts
    """Slots that were given to a request."""
    judged: Counts
    passed: Counts
    censored: Counts
    infra: Counts
    """Slots that were tried and not filled, or whose judge failed."""


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request of the durable plan."""

    request: int
    arm: int
    problem: int
    first_slot: int
    n: int
    seed: int
    answered: bool
    filled: int = 0
    """How many of its slots it filled."""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch of which more may come."""

    number: int
    arm: int
    tag: str
    provider_id: str
    """"" where it is not known whether the provider has it."""
    state: BatchState
    at: float
    """Unix time of the intent."""
    requests: list[tuple[PlannedRequest, int]]
    """What it holds, in its order, each with its reservation."""


@dataclass(frozen=True, slots=True)
class Bought:
    """An answered request."""

    request: int
    problem: int
    first_slot: int
    n: int
    cost: int | None
    """Picodollars settled; None where the cost is uncertain."""
    recorded_at: float
    usage: Usage | None
