"""What the parts of an engine share in one session of a run."""

from __future__ import annotations

from dataclasses import dataclass

from budgets.ledger import Ledger
from orchestrator.engine.control import Control
from orchestrator.engine.counters import RunState
from orchestrator.plan.ready import ReadyArm
from orchestrator.schedule import Schedule
from orchestrator.store.store import RunStore


@dataclass(frozen=True, slots=True)
class SessionParts:
    """One object in place of six arguments; every part keeps what it uses."""

    arms: list[ReadyArm]
    schedule: Schedule
    store: RunStore
    ledger: Ledger
    state: RunState
    control: Control
