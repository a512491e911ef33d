"""What can be mended of a damaged run without inventing anything.

Money that is no longer accounted for counts as uncertain again; verdicts that may be wrong are
taken away, so that a resume judges again; lost samples are lost, and their slots are bought again.
A row that was changed cannot be told from the others, so where that is samples, answers or money,
nothing is done but to say so: only a backup has what was there. The files as they were are kept
beside the database first.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from budgets.ledger import RUN
from budgets.money import usd
from orchestrator.audit.check import (
    FOLLOWS,
    UNREADABLE,
    Checked,
    Finding,
    check_open,
    check_run,
    odd_amount,
    said,
)
from orchestrator.errors import OrchError, StoreError
from orchestrator.store import schema, seal
from orchestrator.store.directory import RunLock
from orchestrator.store.schema import SEAL
from orchestrator.store.seal import SealFile

IRREPLACEABLE = (
    "schema", "arms", "problems", "requests", "answers", "meta", "batches", "batched", "failures",
    "dictionaries", "repeated",
)  # fmt: skip
"""Tables of which a changed or lost row cannot be made up for."""


@dataclass(slots=True)
class Repaired:
    """What was done, and what could not be."""

    done: list[str] = field(default_factory=list)
    left: list[Finding] = field(default_factory=list)
    kept: str = ""
    """Where the files as they were are."""


def repair_run(directory: Path, now: float | None = None) -> Repaired:
    """Mend what can be mended, all or nothing; raises StoreError where its files cannot be kept."""
    result = Repaired()
    before = seal.read_file(directory)
    try:
        lock = RunLock(directory)
    except (OrchError, *UNREADABLE) as error:
        result.left.append(Finding("lock", said(error)))
        return result
    try:
        result.kept = _keep(directory, time.time() if now is None else now)
        with closing(sqlite3.connect(directory / "run.db", isolation_level=None)) as db:
            _mend(db, directory, before, result)
    except UNREADABLE as error:
        result.left.append(Finding("run.db", f"cannot be read or written: {said(error)}"))
    finally:
        lock.release()
    if not result.left:
        result.left += check_run(directory).findings
    return result


def _keep(directory: Path, now: float) -> str:
    folder = directory / time.strftime("damaged-%Y%m%d-%H%M%S", time.gmtime(now))
    try:
        folder.mkdir()
        for name in ("run.db", "run.db-wal", SEAL):
            if (directory / name).exists():
                shutil.copy2(directory / name, folder / name)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror}.") from None
    return str(folder)


def _mend(
    db: sqlite3.Connection, directory: Path, before: seal.ChainMark | None, result: Repaired
) -> None:
    db.execute("PRAGMA synchronous=FULL")
    checked = Checked()
    check_open(db, directory, before, checked)
    if checked.at("run.db"):
        db.execute("REINDEX")
        result.done.append("the indexes were built anew from their tables")
        checked = Checked()
        check_open(db, directory, before, checked)
        if broken := checked.at("run.db"):
            result.left.append(broken[0])
            return
    db.execute("BEGIN IMMEDIATE")
    for table in IRREPLACEABLE:
        result.left += checked.at(table)
    _samples(checked, result)
    _ledger(db, checked, before, result)
    if not result.left:
        _verdicts(db, checked, result)
        if checked.at("seal"):
            result.done.append("what is there was counted and sealed anew")
        mark = seal.reseal(db)
        db.execute("COMMIT")
        second = SealFile(directory)
        second.write(mark)
        second.close()
        return
    db.rollback()
    result.done.clear()


def _samples(checked: Checked, result: Repaired) -> None:
    for found in checked.at("samples"):
        if found.harm == "lost":
            result.done.append(f"samples: {found.what}; their slots are bought again at a resume")
        else:
            result.left.append(found)


def _verdicts(db: sqlite3.Connection, checked: Checked, result: Repaired) -> None:
    if checked.at("verdicts") or checked.at("samples"):
        db.execute("DELETE FROM verdicts")
        result.done.append("all verdicts were taken away; a resume judges every sample again")


def _ledger(
    db: sqlite3.Connection, checked: Checked, before: seal.ChainMark | None, result: Repaired
) -> None:
    lost = checked.at("ledger")
    changed = [found for found in lost if found.harm == "changed"]
    if changed:
        result.left.append(changed[0])
        return
    missing = 0 if before is None else before.reserved - seal.reserved_ever(db)
    if not lost and missing <= 0:
        return
    orphans = _drop_orphans(db, result)
    # Of reservations that are gone with all that came of them only the sum is known.
    unknown = max(missing - sum(orphans.values()), 0)
    if unknown:
        orphans[_next_reservation(db)] = unknown
    for reservation, amount in orphans.items():
        _charge(db, reservation, amount)
    if orphans:
        result.done.append(
            f"${usd(sum(orphans.values()))} that the ledger no longer accounts for count as "
            "uncertain"
        )
    if lost:
        result.done.append(
            "what was reserved and has lost its settlement counts as uncertain from the next "
            "resume on; `orch budget resolve` clears it up"
        )
    _renumber(db)


def _drop_orphans(db: sqlite3.Connection, result: Repaired) -> dict[int, int]:
    """Take out events without their reservation; returns what each had settled or held."""
    orphans, state = dict[int, int](), dict[int, str]()
    for event, kind, reservation, cost in db.execute(
        "SELECT event, kind, reservation, amount FROM ledger ORDER BY event"
    ).fetchall():
        if odd_amount(kind, cost):
            result.left.append(Finding("ledger", f"event {event} has the amount {cost!r}"))
        elif kind in FOLLOWS and state.get(reservation) != FOLLOWS[kind]:
            orphans[reservation] = max(cost, orphans.get(reservation, 0))
            db.execute("DELETE FROM ledger WHERE event = ?", (event,))
            continue
        state[reservation] = kind
    return orphans


def _charge(db: sqlite3.Connection, reservation: int, amount: int) -> None:
    """Hold an amount as uncertain under the number that it had, if it is known."""
    (event,) = db.execute("SELECT coalesce(max(event), 0) FROM ledger").fetchone()
    arm = db.execute(
        "SELECT r.arm FROM answers a JOIN requests r USING (request) WHERE a.reservation = ?",
        (reservation,),
    ).fetchone()
    scopes = RUN if arm is None else f"{RUN} {schema.arm_scope(arm[0])}"
    note = "repair: no longer accounted for after damage to the run database"
    for step, row in enumerate((("reserve", 0, scopes), ("hold", amount, "")), start=1):
        kind, amount_, names = row
        db.execute(
            schema.PUT_EVENT,
            (event + step, time.time(), kind, reservation, amount_, names, note, 0, None, 0),
        )


def _next_reservation(db: sqlite3.Connection) -> int:
    (last,) = db.execute("SELECT coalesce(max(reservation), 0) FROM ledger").fetchone()
    (named,) = db.execute("SELECT coalesce(max(reservation), 0) FROM answers").fetchone()
    return 1 + int(max(last, named))


def _renumber(db: sqlite3.Connection) -> None:
    """Close the gaps, in order: the numbers of events mean nothing but their order."""
    numbers = [row[0] for row in db.execute("SELECT event FROM ledger ORDER BY event").fetchall()]
    for new, old in enumerate(numbers, start=1):
        if new != old:
            db.execute("UPDATE ledger SET event = ? WHERE event = ?", (new, old))
