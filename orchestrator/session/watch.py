"""What is watched beside a session: that its directory stays its own, that its database file is
never far behind, and that nobody sets the wall clock unnoticed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
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


class RunWatch:
    """Looks twice a second, from the moment that the run is held."""

    def __init__(self, directory: Path, store: RunStore, notes: list[str]) -> None:
        """`notes` gets the sentences for a person."""
        self._directory = directory
        self._store = store
        self._notes = notes
        self._stop: Callable[[OrchError], None] | None = None
        self._fault: OrchError | None = None
        self._files = {name: place for name in WATCHED if (place := self._place(name))}
        store.on_lock(self._locked)

    def follow(self, stop: Callable[[OrchError], None]) -> None:
        """Say what ends the buying; what was seen before is acted on."""
        self._stop = stop
        if self._fault is not None:
            stop(self._fault)

    async def run(self) -> None:
        """Watch until cancelled, or until the directory is gone."""
        ahead_s = time.time() - held_s()
        checkpointed = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            changed = [name for name, place in self._files.items() if self._place(name) != place]
            if changed:
                self._fault = self._gone(changed[0])
                if self._stop is not None:
                    self._stop(self._fault)
                return
            now_ahead_s = time.time() - held_s()
            if abs(now_ahead_s - ahead_s) > STEP_S:
                self._stepped(now_ahead_s - ahead_s)
            ahead_s = now_ahead_s
            if time.monotonic() - checkpointed >= CHECKPOINT_EVERY_S:
                self._store.checkpoint()
                checkpointed = time.monotonic()

    def _locked(self) -> None:
        """Once for each wait: the notes are lines of the view."""
        told = "another program holds run.db locked; waiting for it"
        if told not in self._notes[-1:]:
            self._notes.append(told)

    def _place(self, name: str) -> tuple[int, int] | None:
        try:
            found = (self._directory / name).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _gone(self, name: str) -> StoreError:
        what = f"{name} in {self._directory}" if name else str(self._directory)
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
        self._store.put_note(now, told)
        self._notes.append(told)
