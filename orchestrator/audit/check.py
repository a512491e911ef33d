"""Whether everything of a stored run is there and whole; reads only, also while the run goes on.

In order: can SQLite read it at all, does every table hold what its seal counted, does the ledger
replay, is every slot filled once by a request that may fill it, does every verdict belong to a
sample, do the stored prompts have the hashes that they had.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

from budgets.journal import EventKind
from budgets.ledger import NO_CAP
from orchestrator.store import migrations, seal
from orchestrator.store.rows import ProblemRow
from orchestrator.store.schema import SEAL
from verifiers.verdict import VerdictKind

UNREADABLE = (sqlite3.Error, ValueError, TypeError, OverflowError, KeyError, RecursionError)
"""What reading damaged rows raises: SQLite's own errors, and those of text that is none."""


Harm = Literal["lost", "changed", "other"]
"""What a seal shows of a table. lost: rows are missing. changed: a row is not what it was."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    where: str
    """The table, or the file."""
    what: str
    """A sentence's rest for a person."""
    harm: Harm = "other"

    @property
    def sentence(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class Checked:
    """What a check saw."""

    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    """Rows that were read and counted."""
    notes: list[str] = field(default_factory=list)
    """What is no damage and worth knowing."""

    def at(self, where: str) -> list[Finding]:
        """What is wrong with one table."""
        return [finding for finding in self.findings if finding.where == where]


def check_run(directory: Path) -> Checked:
    """Look at a whole run; never raises for what is wrong with it."""
    checked = Checked()
    # Before the database: a run that goes on writes the database first.
    before = seal.read_file(directory)
    try:
        address = f"file:{quote(str((directory / 'run.db').resolve()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as db:
            check_open(db, directory, before, checked)
    except UNREADABLE as error:
        checked.findings.append(Finding("run.db", f"cannot be read: {said(error)}"))
    return checked


def check_open(
    db: sqlite3.Connection, directory: Path, before: seal.ChainMark | None, checked: Checked
) -> None:
    """The same of a database that is open already."""
    db.execute("BEGIN")
    try:
        version = migrations.version_of(db, directory / "run.db")
    except Exception as error:
        checked.findings.append(Finding("run.db", said(error)))
        return
    if version < migrations.NEWEST:
        checked.notes.append(f"an older schema ({version}); what it did not count is not compared")
    for where, look in LOOKS.items():
        try:
            for what in look(db, checked):
                checked.findings.append(Finding(where, what))
        except UNREADABLE as error:
            checked.findings.append(Finding(where, f"cannot be read: {said(error)}"))
    checked.findings += seal_findings(db, before, checked)
    db.rollback()


def said(error: BaseException) -> str:
    """An error on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def seal_findings(
    db: sqlite3.Connection, before: seal.ChainMark | None, checked: Checked
) -> Iterator[Finding]:
    """Table by table, what differs from what the seal counted."""
    try:
        stored = seal.read_seal(db)
        wrong = seal.quick_look(db, before)
    except UNREADABLE as error:
        yield Finding("seal", f"cannot be read: {said(error)}")
        return
    if wrong:
        yield Finding("seal", wrong)
    if stored is None:
        if not wrong:
            checked.notes.append("written before runs were sealed, so changed rows do not show")
        return
    if before is None:
        checked.notes.append(f"{SEAL} is missing or cannot be read, so lost commits do not show")
    if seal.schema_differs(db):
        yield Finding("schema", "the description of a table or an index is not what it was")
    if min(seal.reserved_ever(db), 2**63 - 1) != stored[1].reserved:
        yield Finding("seal", "the sum of all reservations is not what was counted")
    grown = seal.older(db)
    for table, sums in stored[0].items():
        present = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        kept = tuple(name for name in sums.columns if name in present)
        if not kept or (kept != sums.columns and not grown):
            yield Finding(table, "has lost columns")
            continue
        try:
            now = seal.recount(db, {table: kept})[table]
        except UNREADABLE as error:
            yield Finding(table, f"cannot be read: {said(error)}")
            continue
        checked.rows += now.rows
        if now.rows != sums.rows:
            what = f"{abs(sums.rows - now.rows):,} of {sums.rows:,} rows are "
            if now.rows < sums.rows:
                yield Finding(table, f"{what}missing", "lost")
            else:
                yield Finding(table, f"{what}too many")
        elif now.total != sums.total and kept == sums.columns and not (grown and table == "meta"):
            yield Finding(table, f"a row is not what it was, of {sums.rows:,}", "changed")


def _integrity(db: sqlite3.Connection, _: Checked) -> Iterator[str]:
    for (line,) in db.execute("PRAGMA integrity_check(20)").fetchall():
        if line != "ok":
            yield str(line)


def _calls(db: sqlite3.Connection) -> Iterator[str]:
    """What agents' calls cost against the ledger, and an answer against its attempt's calls."""
    for (number,) in db.execute(
        "SELECT count(*) FROM calls c JOIN ledger l ON l.reservation = c.reservation"
        " AND l.kind = 'settle' WHERE c.cost IS NULL OR c.cost != l.amount"
    ):
        if number:
            yield f"{number:,} settlements differ from what their calls cost"
    for (number,) in db.execute(
        "SELECT count(*) FROM answers a WHERE a.cost IS NOT NULL AND a.request IN"
        " (SELECT request FROM attempts) AND a.cost NOT IN (SELECT coalesce(sum(c.cost), 0)"
        " FROM attempts t LEFT JOIN calls c USING (attempt) WHERE t.request = a.request"
        " GROUP BY t.attempt)"
    ):
        if number:
            yield f"{number:,} answers of agents differ from what their calls cost"


def _ledger(db: sqlite3.Connection, _: Checked) -> Iterator[str]:
    yield from audit_events(
        db.execute("SELECT event, kind, reservation, amount FROM ledger ORDER BY event")
    )
    for number, amount in db.execute(
        "SELECT count(*), min(a.request) FROM answers a WHERE a.reservation NOT IN"
        " (SELECT reservation FROM ledger WHERE kind = 'reserve')"
    ):
        if number:
            yield f"{number:,} answers (request {amount} first) have no reservation"
    for (number,) in db.execute(
        "SELECT count(*) FROM answers a JOIN ledger l ON l.reservation = a.reservation"
        " AND l.kind IN ('settle', 'resolve') WHERE a.cost IS NOT NULL AND a.cost != l.amount"
        " AND a.request NOT IN (SELECT request FROM attempts)"
    ):
        if number:
            yield f"{number:,} settlements differ from what their answers cost"
    yield from _calls(db)


FOLLOWS = {"settle": "reserve", "release": "reserve", "hold": "reserve", "resolve": "hold"}
"""After which event of its reservation each of the ledger's may come."""


def odd_amount(kind: str, amount: object) -> bool:
    """Whether no ledger wrote such an amount."""
    return type(amount) is not int or (amount < 0 and (kind, amount) != ("cap", NO_CAP))


def audit_events(rows: Any) -> Iterator[str]:
    """What is wrong with a journal's (event, kind, reservation, amount) rows, in order."""
    state: dict[int, str] = {}
    expected = 0
    for event, kind, reservation, amount in rows:
        expected += 1
        if event != expected:
            yield f"events {expected} to {event - 1} are missing"
            expected = event
        if kind not in get_args(EventKind):
            yield f"event {event} is of no known kind"
            continue
        if odd_amount(kind, amount):
            yield f"event {event} has the amount {amount!r}"
        if kind == "cap":
            continue
        if kind == "reserve":
            if reservation in state:
                yield f"event {event} reserves under the number {reservation} once more"
        elif state.get(reservation) != FOLLOWS[kind]:
            yield f"event {event} is the {kind} of reservation {reservation}, which is not open"
        state[reservation] = kind


def _samples(db: sqlite3.Connection, _: Checked) -> Iterator[str]:
    for query, what in (
        ("SELECT count(*) FROM samples s LEFT JOIN requests r USING (request) WHERE"
         " r.request IS NULL OR r.arm != s.arm OR r.problem != s.problem"
         " OR s.slot NOT BETWEEN r.first_slot AND r.first_slot + r.n - 1",
         "samples stand in slots that their request does not have"),
        ("SELECT count(*) FROM (SELECT 1 FROM samples NOT INDEXED"
         " GROUP BY arm, problem, slot HAVING count(*) > 1)", "slots are filled more than once"),
        ("SELECT count(*) FROM samples WHERE kind NOT IN ('ok', 'censored')",
         "samples are of no known kind"),
        ("SELECT count(*) FROM requests WHERE n < 1 OR first_slot < 0"
         " OR arm NOT IN (SELECT arm FROM arms)", "requests cannot have been planned so"),
    ):  # fmt: skip
        (number,) = db.execute(query).fetchone()
        if number:
            yield f"{number:,} {what}"


def _verdicts(db: sqlite3.Connection, checked: Checked) -> Iterator[str]:
    (number,) = db.execute(
        "SELECT count(*) FROM verdicts v LEFT JOIN samples s USING (arm, problem, slot)"
        " WHERE s.slot IS NULL"
    ).fetchone()
    if number:
        yield f"{number:,} verdicts are of no sample"
    kinds = get_args(VerdictKind)
    (number,) = db.execute(
        f"SELECT count(*) FROM verdicts WHERE kind NOT IN ({', '.join('?' * len(kinds))})", kinds
    ).fetchone()
    if number:
        yield f"{number:,} verdicts are of no known kind"
    for arm, spec in db.execute("SELECT arm, spec FROM arms").fetchall():
        (open_,) = db.execute(
            "SELECT count(*) FROM samples s WHERE s.arm = ? AND s.kind = 'ok' AND NOT EXISTS"
            " (SELECT 1 FROM verdicts v WHERE v.arm = s.arm AND v.problem = s.problem"
            " AND v.slot = s.slot AND v.verifier = ?)",
            (arm, str(json.loads(spec).get("verifier", ""))),
        ).fetchone()
        if open_:
            checked.notes.append(f"{open_:,} samples of arm {arm} wait for a verdict")


def _problems(db: sqlite3.Connection, _: Checked) -> Iterator[str]:
    for task, number, name, digest, content in db.execute(
        "SELECT task, problem, id, digest, content FROM problems"
    ).fetchall():
        if ProblemRow(number, name, digest, json.loads(content)).problem.digest != digest:
            yield f"problem {number} of {task} ({name!r}) is not what was asked"


def _meta(db: sqlite3.Connection, _: Checked) -> Iterator[str]:
    row = db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
    if row is not None and not isinstance(json.loads(row[0]), dict):
        yield "the study's identity is none"


LOOKS: dict[str, Callable[[sqlite3.Connection, Checked], Iterator[str]]] = {
    "run.db": _integrity,
    "ledger": _ledger,
    "samples": _samples,
    "verdicts": _verdicts,
    "problems": _problems,
    "meta": _meta,
}
