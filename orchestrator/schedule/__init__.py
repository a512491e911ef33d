"""Which attempt next: one file a policy."""

from __future__ import annotations

from orchestrator.schedule.base import Draw, Filled, Schedule, ScheduleArm
from orchestrator.schedule.uniform import Uniform

__all__ = ["Draw", "Filled", "Schedule", "ScheduleArm", "Uniform"]
