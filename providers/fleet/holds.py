"""The book of guarded servers: one small file each, in a directory private to the user.

A guard writes its file when it starts its command and again once nothing of it is left, so that
whoever comes later (a resumed run, `orch doctor`, `orch hold --list`) knows what is held, by whom,
and when it certainly ended. Files hold no key. Those of ended servers go after a month.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from providers.fleet import processes

KEPT_S = 30 * 86400.0
_SECRETS = ("key", "token", "secret", "password")


@dataclass(slots=True)
class Hold:
    """One guarded command, as its file tells it. Times are Unix seconds."""

    id: str
    """Also the mark that its processes carry."""
    command: list[str]
    lease_s: float
    grace_s: float
    guard: int
    guard_started: int
    pid: int
    boot: str
    started_at: float
    run: str = ""
    """The run directory that the server was started for; empty: none."""
    url: str = ""
    model: str = ""
    gpus: int = 1
    ended_at: float | None = None
    """When the last process of it was seen gone."""
    why: str = ""
    exit_code: int | None = None

    @property
    def guarded(self) -> bool:
        """Whether its guard is there."""
        return self.boot == processes.boot_id() and processes.alive(self.guard, self.guard_started)

    def left(self) -> list[processes.Process]:
        """What of it runs, whether its guard is there or not."""
        if self.boot != processes.boot_id():
            return []
        return processes.marked(self.id, self.pid)

    def write(self) -> None:
        """Replace its file."""
        write_private(hold_path(self.id), asdict(self))


def state_directory() -> Path:
    """Where orch keeps what lives between its runs, made private to the user.

    Raises OSError where it cannot be made.
    """
    base = os.environ.get("XDG_STATE_HOME")
    place = Path(base) if base else Path.home() / ".local" / "state"
    directory = place / "orch"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def hold_path(identifier: str) -> Path:
    directory = state_directory() / "holds"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / f"{identifier}.json"


def write_private(path: Path, document: Any) -> None:
    """A whole file that only this user may read, or none."""
    scratch = path.with_name(path.name + ".new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(document, file)
    scratch.replace(path)


def holds() -> list[Hold]:
    """Every hold in the book, oldest first; files that cannot be read are passed over."""
    return sorted(_read(), key=lambda hold: hold.started_at)


def _read() -> Iterator[Hold]:
    known = {field.name for field in fields(Hold)}
    try:
        paths = list(hold_path("any").parent.glob("*.json"))
    except OSError:
        return
    for path in paths:
        try:
            document = json.loads(path.read_text())
            hold = Hold(**{key: value for key, value in document.items() if key in known})
        except (OSError, ValueError, TypeError, AttributeError):
            continue
        if hold.ended_at is not None and time.time() - hold.ended_at > KEPT_S:
            with contextlib.suppress(OSError):
                path.unlink()
            continue
        yield hold


def left_of(identifier: str) -> list[processes.Process]:
    """What runs of one hold; also where its file is gone, as far as its mark tells."""
    found = next((hold for hold in holds() if hold.id == identifier), None)
    return processes.marked(identifier) if found is None else found.left()


def still_held() -> list[Hold]:
    """Holds of which something runs; those that ended unseen are closed in the book."""
    found = []
    for hold in holds():
        if hold.ended_at is not None:
            continue
        if hold.guarded or hold.left():
            found.append(hold)
        else:
            hold.ended_at, hold.why = time.time(), "found gone; its guard did not say when"
            with contextlib.suppress(OSError):
                hold.write()
    return found


def stop(hold: Hold, wait_s: float = 30.0) -> bool:
    """End what is left of a hold, through its guard where it has one; whether all is gone."""
    until = time.monotonic() + wait_s
    if hold.guarded:
        guard = processes.find(hold.guard)
        if guard is not None:
            processes.tell([guard], signal.SIGTERM)
            processes.tell([guard], signal.SIGCONT)
        while hold.guarded and time.monotonic() < until:
            time.sleep(processes.LOOK_EVERY_S)
    if not hold.left():
        still_held()
        return True
    gone = processes.end(hold.left, hold.grace_s)
    if gone:
        hold.ended_at, hold.why = time.time(), "ended by a person or a later run, without its guard"
        hold.write()
    return gone


def without_secrets(command: list[str]) -> list[str]:
    """A command line to be shown: what follows an option that names a secret is left out."""
    shown, hide = [], False
    for word in command:
        name, equals, _ = word.partition("=")
        secret = name.startswith("-") and any(part in name.lower() for part in _SECRETS)
        shown.append("***" if hide else f"{name}=***" if secret and equals else word)
        hide = secret and not equals
    return shown
