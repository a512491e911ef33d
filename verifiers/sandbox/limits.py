"""What one sample may use, and what came of it. Shapes only; nothing here runs anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal[
    "ok", "error", "crashed", "timeout", "memory", "output", "processes", "disk", "fault"
]

SHARED: frozenset[Status] = frozenset({"timeout", "memory", "output", "processes", "disk", "fault"})
"""Ends that several inputs in one process can bring about together."""


LONGEST_S = 86_400.0
"""No sample is given longer than a day."""


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def default_jobs() -> int:
    """How many samples to run at once: one per core, and one more.

    While results of one sample are read, its core would wait.
    """
    return cores() + 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one sample, over all its processes together.

    `wall_s` is meant for an idle machine: time in which the sample was ready to run but got no
    processor does not count, up to ten times `wall_s` in all. `cpu_s` counts user and system
    seconds. ValueError where a limit is not positive, or longer than LONGEST_S.
    """

    wall_s: float = 3.0
    cpu_s: float = 4.0
    memory_mb: int = 512
    output_mb: int = 16
    processes: int = 64
    disk_mb: int = 16

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise ValueError(f"the limit {name} must be above zero, not {getattr(self, name)}")
        for name in ("wall_s", "cpu_s"):
            if getattr(self, name) > LONGEST_S:
                raise ValueError(
                    f"the limit {name} must be at most {LONGEST_S:g} s, not {getattr(self, name)}"
                )

    @property
    def patience_s(self) -> float:
        """Wall seconds after which a sample ends however busy the machine was."""
        return 10 * self.wall_s + 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one program ended. `stdout` and `stderr` are what it wrote, cut at `output_mb`."""

    status: Status
    """ok: exit status 0; error: another one, or an uncaught exception; crashed: a signal;
    timeout, memory, output, processes, disk: that limit; fault: the cell's failure, not the
    sample's."""
    exit_code: int | None = None
    signal: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    starved_s: float = 0.0
    """Seconds for which it was ready to run and got no processor."""
    load: float = 0.0
    """The machine's load average when it was judged."""
    tier: str = ""
    scratch: bool = True
    """Whether the sample had a writable directory."""
    detail: str = ""
    claims: bytes = b""
    """What the sample's process reported beside its output; never to be believed."""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How one call ended. `value` is a claim: what the sample's process says it returned."""

    status: Literal["returned", "raised", "missing"]
    value: Any = None
    detail: str = ""
    """The exception's type and message, or why there is no value."""
    whole: Outcome = Outcome("ok")
    """The process in which this call and its siblings ran."""


class SandboxFault(Exception):
    """The cell itself failed; says what and what to do. Never a verdict on a sample."""


class NoSandbox(SandboxFault):
    """No tier works on this machine; says why and how to get one."""
