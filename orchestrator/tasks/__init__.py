"""Tasks by name: a small table of our own, and the entry point group "orch.tasks" beside it.

An entry point is a callable that takes TaskOptions and returns a Task. A task's module is only
imported when the task is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from orchestrator.tasks.base import (
    Problem,
    PromptForm,
    SamplingDefaults,
    Task,
    TaskError,
    TaskOptions,
)

__all__ = [
    "Problem",
    "PromptForm",
    "SamplingDefaults",
    "Task",
    "TaskError",
    "TaskOptions",
    "load_task",
    "task_names",
]

TaskFactory = Callable[[TaskOptions], Task]

_TASKS = {
    "arithmetic": "orchestrator.tasks.arithmetic:ArithmeticTask",
    "code_contests": "orchestrator.tasks.code_contests:CodeContestsTask",
    "gsm8k": "orchestrator.tasks.gsm8k:Gsm8kTask",
    "humaneval": "orchestrator.tasks.humaneval:HumanEvalTask",
    "math": "orchestrator.tasks.math:MathTask",
    "mbpp": "orchestrator.tasks.mbpp:MbppTask",
    "minif2f": "orchestrator.tasks.minif2f:MiniF2fTask",
    "swebench-lite": "orchestrator.tasks.swebench:lite",
    "swebench-verified": "orchestrator.tasks.swebench:verified",
}
_GROUP = "orch.tasks"


def task_names() -> list[str]:
    """Every task that can be loaded by name, sorted."""
    return sorted({*_TASKS, *(point.name for point in entry_points(group=_GROUP))})


def load_task(name_or_path: str, options: TaskOptions | None = None) -> Task:
    """The task of that name, or a person's own FILE.jsonl; raises TaskError."""
    options = options or TaskOptions()
    if name_or_path in _TASKS:
        module, _, attribute = _TASKS[name_or_path].partition(":")
        return cast(TaskFactory, getattr(import_module(module), attribute))(options)
    if name_or_path.startswith("harbor:"):
        from orchestrator.tasks.harbor import HarborTask

        return HarborTask(Path(name_or_path.removeprefix("harbor:")), options)
    if name_or_path.endswith(".jsonl"):
        from orchestrator.tasks.jsonl import JsonlTask

        return JsonlTask(Path(name_or_path), options)
    for point in entry_points(group=_GROUP):
        if point.name == name_or_path:
            return cast(TaskFactory, point.load())(options)
    raise TaskError(
        f"There is no task named {name_or_path!r}; the tasks are: {', '.join(task_names())}; "
        "a file of your own works too: give the path of a FILE.jsonl."
    )
