"""What escapes every rule: one sentence, exit code 4, and the traceback in a file.

A traceback names places in our code, which helps nobody on a terminal, and may quote what came
from outside; so it goes to the run's logs/ (or, without a run, to the user's cache), without any
key that is in the environment.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
import traceback
from errno import ELOOP, ENAMETOOLONG
from pathlib import Path

from budgets.ledger import DamagedJournal
from orchestrator.errors import ConfigError, RunFault
from orchestrator.tasks.cache import cache_folder


def told(error: BaseException, logs: Path | None = None) -> RunFault:
    """The fault to end with in place of `error`; `logs` is the run's, where there is one."""
    if isinstance(error, sqlite3.DatabaseError | DamagedJournal):
        run = logs.parent if logs else "RUN"
        return RunFault(
            f"The run database cannot be read or written ({error}). See what is whole: "
            f"orch check {run}"
        )
    named = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    said = f"A fault of orch itself ({without_keys(' '.join(named.split()))[:300]})"
    kept = keep(error, logs)
    where = f"the traceback is in {kept}" if kept else "its traceback could not be kept"
    return RunFault(f"{said}; {where}. A run keeps what it bought and can be resumed.")


def unusable(error: BaseException) -> ConfigError | None:
    """What to say where a name that a person gave can be no file's, wherever that was noticed."""
    if not isinstance(error, OSError) or error.errno not in (ENAMETOOLONG, ELOOP):
        return None
    name = str(error.filename)
    shown = name if len(name) <= 60 else f"{name[:40]}... ({len(name):,} characters)"
    return ConfigError(f"{shown} cannot be the name of a file: {error.strerror}.")


def keep(error: BaseException, logs: Path | None = None) -> Path | None:
    """Write a traceback to a file of its own; returns where, None if that cannot be."""
    text = without_keys("".join(traceback.format_exception(error)))
    cache = cache_folder("logs")
    for folder in (logs, cache, Path(tempfile.gettempdir())):
        if folder is None:
            continue
        path = folder / time.strftime(f"fault-%Y%m%d-%H%M%S-{os.getpid()}.txt")
        try:
            if folder == cache:
                folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError:
            continue
        return path
    return None


def without_keys(text: str) -> str:
    """The text without any key that stands in the environment."""
    from providers.keys import Key, without_key

    for name, value in os.environ.items():
        if name.endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")) and len(value.strip()) >= 8:
            text = without_key(text, Key(value.strip(), name))
    return text
