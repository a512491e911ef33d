"""What is watched beside a session: that its directory stays its own, that its database file is
never far behind, and that nobody sets the wall clock unnoticed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from budgets.clock import held_s
from orchestrator.errors import OrchError, StoreError
from orchestrator.store.store import RunStore

LOOK_EVERY_S = 0.5
CHECKPOINT_EVERY_S = 5.0
STEP_S = 1.0
"""A clock that drifts is set right in smaller steps than this."""

WATCHED = ("", "run.db", "run.db-wal", "lock")


@dataclass(slots=True)
class Watch:
    """Looks twice a second; `stop` ends the buying, `say` tells a person."""

    directory: Path
    store: RunStore
    stop: Callable[[OrchError], None]
    say: Callable[[str], None]
    _files: dict[str, tuple[int, int]] = field(default_factory=dict)

    async def run(self) -> None:
        """Watch until cancelled, or until the directory is gone."""
        self._files = {name: place for name in WATCHED if (place := self._place(name))}
        ahead_s = time.time() - held_s()
        checkpointed = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            changed = [name for name, place in self._files.items() if self._place(name) != place]
            if changed:
                self.stop(self._gone(changed[0]))
                return
            now_ahead_s = time.time() - held_s()
            if abs(now_ahead_s - ahead_s) > STEP_S:
                self._stepped(now_ahead_s - ahead_s)
            ahead_s = now_ahead_s
            if time.monotonic() - checkpointed >= CHECKPOINT_EVERY_S:
                self.store.checkpoint()
                checkpointed = time.monotonic()

    def _place(self, name: str) -> tuple[int, int] | None:
        try:
            found = (self.directory / name).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _gone(self, name: str) -> StoreError:
        what = f"{name} in {self.directory}" if name else str(self.directory)
        return StoreError(
            f"{what} was moved, removed or replaced while the run went on, so nothing more is "
            "bought; put the directory back, then use --resume. What was bought since is in the "
            "files that were there."
        )

    def _stepped(self, by_s: float) -> None:
        now = time.time()
        told = (
            f"the wall clock was set {'forward' if by_s > 0 else 'back'} by {abs(by_s):,.0f} s, to "
            f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} UTC; dates of this run jump "
            "there, and what is paid by time is counted by a clock that cannot be set"
        )
        self.store.put_note(now, told)
        self.say(told)
