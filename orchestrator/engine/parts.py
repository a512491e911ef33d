"""What the parts of an engine share in one session of a run."""

from __future__ import annotations

from dataclasses import dataclass

from budgets.ledger import RUN, Ledger
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

    def close_arm(self, arm: ReadyArm) -> None:
        """Ask nothing more for an arm."""
        arm.closed = True
        self.schedule.close_arm(arm.number)

    def reach_budget(self, arm: ReadyArm, scope: str = "") -> None:
        """A budget is reached: the run's stops the run, any other ends the arm that met it."""
        self.control.budget_reached = True
        if scope == RUN:
            self.control.stop()
        else:
            self.close_arm(arm)
