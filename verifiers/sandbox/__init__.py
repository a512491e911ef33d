"""The cell in which untrusted code runs.

    async with Sandbox(limits=Limits(wall_s=3, cpu_s=4, memory_mb=512)) as box:
        outcome = await box.run(source, stdin=b"3 4\\n")
        outcomes = await box.call(source, entry="f", args=[[1, 2], [3]])

Names are looked up when first used: the processes inside the cell import this package too, and
must stay small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verifiers.sandbox.box import Sandbox
    from verifiers.sandbox.layout import package_paths
    from verifiers.sandbox.limits import CallOutcome, Limits, NoSandbox, Outcome, SandboxFault

__all__ = [
    "CallOutcome",
    "Limits",
    "NoSandbox",
    "Outcome",
    "Sandbox",
    "SandboxFault",
    "package_paths",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = {"Sandbox": "box", "package_paths": "layout"}.get(name, "limits")
    return getattr(import_module(f"{__name__}.{module}"), name)
