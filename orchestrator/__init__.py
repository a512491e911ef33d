"""The run: what to attempt, in what order, and what came of it.

Names are loaded when first used.

>>> from orchestrator import Arm, Study
>>> study = Study([Arm("local", "arithmetic", samples=50)], budget="1.00")

`run(study, directory)` runs it, `load(directory)` reads its report (session/library.py).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.errors import ConfigError as ConfigError
    from orchestrator.errors import OrchError as OrchError
    from orchestrator.errors import RunFault as RunFault
    from orchestrator.errors import StoreError as StoreError
    from orchestrator.plan.study import Arm as Arm
    from orchestrator.plan.study import Study as Study
    from orchestrator.report.collect import load as load
    from orchestrator.report.data import ArmReport as ArmReport
    from orchestrator.report.data import ReportData as ReportData
    from orchestrator.schedule.base import ArmPlan as ArmPlan
    from orchestrator.schedule.base import Draw as Draw
    from orchestrator.schedule.base import Policy as Policy
    from orchestrator.session.end import Ending as Ending
    from orchestrator.session.library import run as run
    from orchestrator.session.library import run_async as run_async
    from orchestrator.tasks import load_task as load_task
    from orchestrator.tasks.base import Problem as Problem
    from orchestrator.tasks.base import Task as Task
    from orchestrator.tasks.base import TaskOptions as TaskOptions

_HOMES = {
    "ConfigError": "orchestrator.errors",
    "OrchError": "orchestrator.errors",
    "RunFault": "orchestrator.errors",
    "StoreError": "orchestrator.errors",
    "Arm": "orchestrator.plan.study",
    "Study": "orchestrator.plan.study",
    "load": "orchestrator.report.collect",
    "ArmReport": "orchestrator.report.data",
    "ReportData": "orchestrator.report.data",
    "ArmPlan": "orchestrator.schedule.base",
    "Draw": "orchestrator.schedule.base",
    "Policy": "orchestrator.schedule.base",
    "run": "orchestrator.session.library",
    "run_async": "orchestrator.session.library",
    "Ending": "orchestrator.session.end",
    "load_task": "orchestrator.tasks",
    "Problem": "orchestrator.tasks.base",
    "Task": "orchestrator.tasks.base",
    "TaskOptions": "orchestrator.tasks.base",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
