"""What a person's signals do to a session."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from rich.console import Console


class Interrupts:
    """First signal: drain. Second: leave fast. Both leave a resumable run."""

    def __init__(self) -> None:
        self.count = 0
        self._actions: list[Callable[[], None]] = []

    def on_signal(self, console: Console) -> None:
        self.count += 1
        if self.count <= len(self._actions):
            self._actions[self.count - 1]()
        if self.count == 1:
            # The terminal may be what has gone away.
            with contextlib.suppress(OSError):
                console.print(
                    "Draining: waiting for what is in flight; Ctrl-C again leaves at once."
                )

    def follow(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Say what the signals do from now on; a signal that came before is acted on."""
        self._actions = [first, second]
        for action in self._actions[: self.count]:
            action()
