"""A copy of a run as it is at one moment, also while the run goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from orchestrator.errors import ConfigError, StoreError
from orchestrator.store.seal import SealFile, read_seal

BESIDE = ("study.toml", "summary.json")


def backup(directory: Path, destination: Path) -> None:
    """Copy the run in `directory` into a new directory, which is a run as well; raises OrchError.

    Either the whole copy is there afterwards, or none.
    """
    if destination.exists():
        raise ConfigError(f"{destination} is there already; give the name of a new directory.")
    scratch = destination.with_name(f"{destination.name}.part-{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        _copy(directory, scratch)
        scratch.rename(destination)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{directory} cannot be copied to {destination}: {error}.") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy(directory: Path, scratch: Path) -> None:
    address = f"file:{quote(str((directory / 'run.db').resolve()))}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True)) as source,
        closing(sqlite3.connect(scratch / "run.db")) as copy,
    ):
        source.backup(copy)
        stored = read_seal(copy)
    if stored is not None:
        second = SealFile(scratch)
        second.write(stored[1])
        second.close()
    for name in BESIDE:
        if (directory / name).is_file():
            shutil.copy2(directory / name, scratch / name)
    (scratch / "logs").mkdir()
    with (scratch / "run.db").open("rb") as file:
        os.fsync(file.fileno())
