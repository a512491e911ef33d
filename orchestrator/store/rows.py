"""What is read of a run, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from budgets.usage import Usage
from orchestrator.store.store import BatchState
from orchestrator.tasks.base import Problem

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

    @property
    def endpoint(self) -> str:
        """What arms have alike that use one server which is paid by the hour."""
        told = ("base_url", "launch", "gpu_hour")
        return repr((self.provider, self.model, [self.spec.get(name) for name in told]))


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """A problem as stored."""

    number: int
    id: str
    digest: str
    content: dict[str, Any]

    @property
    def problem(self) -> Problem:
        """What was asked, as it was."""
        messages = self.content["messages"]
        return Problem(
            self.id, self.content["prompt"], None if messages is None else tuple(messages),
            self.content["reference"], self.content.get("group", ""),
        )  # fmt: skip


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
    """Answered requests; arrays of length R."""

    request: Counts
    problem: Counts
    first_slot: Counts
    n: Counts
    cost: Counts
    """Picodollars settled; -1 where the cost is uncertain."""
    recorded_at: npt.NDArray[np.float64]
    """Unix time."""
    counted: npt.NDArray[np.bool_]
    """Whether the usage is known."""
    tokens: Counts
    """By billing kind, in the order of Usage: [R, 6]; zeros where it is not known."""
    served: dict[str, int]
    """By the model that answered, how many requests it did; the commonest first."""

    def usage(self, at: int) -> Usage | None:
        """What one request used; None where it is not known."""
        return Usage(*self.tokens[at].tolist()) if self.counted[at] else None
