"""How a session takes hold of its run directory: lock, study.toml, database.

A creation that was killed leaves a directory that the same command can use again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from msgspec import structs

from orchestrator import errors
from orchestrator.errors import ConfigError
from orchestrator.plan.prepare import Prepared
from orchestrator.plan.study import study_toml
from orchestrator.store.directory import (
    RunLock,
    clear_cut,
    refuse_network_file_system,
    state_of,
)
from orchestrator.store.store import RunStore
from orchestrator.store.whole import replace_text


@contextlib.asynccontextmanager
async def open_store(
    prepared: Prepared, directory: Path, *, resume: bool, say: Callable[[str], None]
) -> AsyncIterator[RunStore]:
    """The run's database, held by this process alone; raises OrchError. `say` gets a line where
    somebody else's hold is waited for."""
    lock, create = _take_hold(prepared, directory, resume, say)
    try:
        store = RunStore(directory / "run.db", create=create)
        try:
            yield store
        finally:
            with contextlib.suppress(errors.StoreError, sqlite3.Error):
                await store.close()
    finally:
        lock.release()


def _take_hold(
    prepared: Prepared, directory: Path, resume: bool, say: Callable[[str], None]
) -> tuple[RunLock, bool]:
    """The directory's lock, and whether the database is to be made."""
    refuse_network_file_system(directory if directory.exists() else directory.parent)
    if not resume:
        refuse_used(directory)
    try:
        (directory / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be made: {error.strerror}.") from None
    lock = RunLock(directory, say)
    if resume:
        return lock, False
    with contextlib.ExitStack() as unless_held:
        unless_held.callback(lock.release)
        # Asked again, now that nobody else can be making it.
        refuse_used(directory)
        create = state_of(directory) != "begun"
        if create:
            clear_cut(directory)
        write_study(directory, prepared)
        unless_held.pop_all()
    return lock, create


def refuse_used(directory: Path) -> None:
    """Raise ConfigError where a new run would go into a directory that holds something.

    What a creation leaves that was killed is no hindrance: the new run takes its place.
    """
    if state_of(directory) != "used":
        return
    if directory.is_dir():
        raise ConfigError(
            f"The run directory {directory} is not empty; "
            f"continue that run with --resume {directory}, or give another --name."
        )
    raise ConfigError(f"{directory} is a file; give another --name or --out.")


def write_study(directory: Path, prepared: Prepared) -> None:
    """Keep the resolved study, which `orch run` accepts; raises ConfigError, StoreError."""
    study = structs.replace(prepared.study, arms=[arm.spec for arm in prepared.arms])
    text = "# Written by orch: the resolved study. `orch run` accepts this file.\n"
    try:
        replace_text(directory / "study.toml", text + study_toml(study))
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"The study cannot be written as UTF-8: {error.object[error.start : error.end]!a} is "
            "half of a character; correct that name or setting."
        ) from None
    except OSError as error:
        raise errors.StoreError(
            f"{directory / 'study.toml'} cannot be written: {error.strerror}."
        ) from None
