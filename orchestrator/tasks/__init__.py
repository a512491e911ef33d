"""Tasks by name: one file a task, and the entry point group "orch.tasks" beside them.

A file here is that of a task where it has TASKS: callables by name that take TaskOptions and
return a Task. Its name is that of the task, or what stands before the first hyphen of several
(`swebench.py` has `swebench-lite`). An entry point is such a callable. A task's module is only
imported when the task is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
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

_GROUP = "orch.tasks"


def task_names() -> list[str]:
    """Every task that can be loaded by name, sorted."""
    ours = [name for part in iter_modules(__path__) for name in _tasks_in(part.name)]
    return sorted({*ours, *(point.name for point in entry_points(group=_GROUP))})


def load_task(name_or_path: str, options: TaskOptions | None = None) -> Task:
    """The task of that name, or a person's own FILE.jsonl; raises TaskError."""
    options = options or TaskOptions()
    ours = _tasks_in(name_or_path.partition("-")[0])
    if name_or_path in ours:
        return ours[name_or_path](options)
    if name_or_path.startswith("harbor:"):
        from orchestrator.tasks.harbor import HarborTask

        return HarborTask(name_or_path.removeprefix("harbor:"), options)
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


def _tasks_in(module: str) -> Mapping[str, TaskFactory]:
    """The tasks of one file here, by name; none where there is no such file, or it is a part."""
    if module not in {part.name for part in iter_modules(__path__)}:
        return {}
    return cast(
        Mapping[str, TaskFactory], getattr(import_module(f"{__name__}.{module}"), "TASKS", {})
    )
