"""What the parts of an engine share: whether to go on, why not, and a bell for changes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.engine.counters import RunState
from orchestrator.errors import OrchError


@dataclass(slots=True)
class Control:
    """Whether the engine goes on, and a bell that rings when anything came back."""

    state: RunState
    stopping: bool = False
    """Admit nothing more; what is in flight is waited for."""
    budget_reached: bool = False
    fault: OrchError | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    on_stop: Callable[[], None] = lambda: None

    def stop(self, fault: OrchError | None = None) -> None:
        """Admit nothing more; the first fault is kept."""
        self.stopping = True
        self.fault = self.fault or fault
        self.changed.set()
        self.on_stop()

    async def wait(self, what: str, until: float | None = None) -> None:
        """Return at the next change, or at a monotonic time; `what` is shown meanwhile."""
        self.changed.clear()
        self.state.waiting_for = what
        timeout = None if until is None else max(0.0, until - time.monotonic())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.changed.wait(), timeout)
        self.state.waiting_for = ""
