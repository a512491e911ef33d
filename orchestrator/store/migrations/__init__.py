"""How a run's database grows: one small file a version, applied in order and never changed later.

A new run gets the first schema (schema.py) and every step after it; an older run gets the steps
that it lacks when it is next opened, under the run's lock. Until those are committed a copy of the
database lies beside it, so that a cut at any moment loses nothing: the next opening starts again
from the database, which changes in one transaction. A run that was whole by its seal is sealed anew
as it is then; a damaged one keeps the seal that shows it.

To add one: a file `vN.py` beside this one with a docstring and `STEPS`, SQL statements or
functions of the connection, at the end of `VERSIONS`. A new column gets a default or is empty in
older rows, and its readers know that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.errors import ConfigError, StoreError
from orchestrator.store import schema, seal
from orchestrator.store.migrations import v2, v3, v4, v5, v6, v7, v8, v9, v10, v11

MigrationStep = str | Callable[[sqlite3.Connection], None]

VERSIONS: tuple[Sequence[MigrationStep], ...] = (
    v2.STEPS, v3.STEPS, v4.STEPS, v5.STEPS, v6.STEPS, v7.STEPS, v8.STEPS, v9.STEPS, v10.STEPS,
    v11.STEPS,
)  # fmt: skip
NEWEST = 1 + len(VERSIONS)


def create(connection: sqlite3.Connection) -> None:
    """Give an empty database the newest schema, in one transaction."""
    connection.executescript(f"BEGIN; {schema.CREATE}")
    bring_on(connection, 1)
    connection.execute(schema.PUT_META, ("schema", str(NEWEST)))
    connection.execute("COMMIT")


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The schema's version; raises ConfigError for what no orch wrote, or a newer one did."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{path} is not a run database of orch ({error}).") from None
    if row is None or not str(row[0]).isdigit():
        raise ConfigError(f"{path} does not say which schema it has; it is no run of orch.")
    version = int(row[0])
    if version > NEWEST:
        raise ConfigError(
            f"{path} has schema {version}, this orch reads up to {NEWEST}; "
            "use the orch that wrote it, or a newer one."
        )
    return version


def bring_on(connection: sqlite3.Connection, version: int, to: int | None = None) -> None:
    """Take the steps from one version to another, or the newest, in the caller's transaction."""
    for steps in VERSIONS[version - 1 : None if to is None else to - 1]:
        for step in steps:
            if isinstance(step, str):
                connection.execute(step)
            else:
                step(connection)


def migrate(path: Path) -> None:
    """Bring a run's database to the newest schema; the caller holds the run's lock.

    Raises ConfigError for a database that is not orch's, StoreError where the disk refuses.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}.") from None
    try:
        version = version_of(connection, path)
        if version < NEWEST:
            _upgrade(connection, path, version)
    finally:
        connection.close()


def _upgrade(connection: sqlite3.Connection, path: Path, version: int) -> None:
    copy = path.with_name(f"{path.name}.schema-{version}")
    try:
        copy.unlink(missing_ok=True)
        with sqlite3.connect(copy) as kept:
            connection.backup(kept)
        kept.close()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        whole = _whole(connection)
        bring_on(connection, version)
        connection.execute(schema.PUT_META, ("schema", str(NEWEST)))
        mark = seal.reseal(connection) if whole else None
        connection.execute("COMMIT")
        if mark is not None:
            second = seal.SealFile(path.parent)
            second.write(mark)
            second.close()
        copy.unlink()
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{path} has schema {version} and cannot be brought to schema {NEWEST} ({error}); "
            f"free the disk and try again. {copy.name} beside it is a copy from before, if it is "
            "there."
        ) from None


def _whole(connection: sqlite3.Connection) -> bool:
    """Whether a database has a seal, and holds what that counted."""
    stored = seal.read_seal(connection)
    if stored is None:
        return False
    try:
        columns = {name: one.columns for name, one in stored[0].items()}
        return seal.recount(connection, columns) == stored[0]
    except sqlite3.OperationalError:
        return False  # A table or a column is gone.
