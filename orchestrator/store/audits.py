"""What an audit of a run is stored as, and what it reads: the samples that were accepted.

The second rule's verdicts stand under AUDIT_NAME and the rule's name, on accepted samples alone;
by which rule an arm was audited last, and when, stands in `meta` under AUDIT_KEY and its number.
Under CHANGED_KEY stands a JSON list of its problems of which the same rule, judging again, once
said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.store.reader import RunReader

AUDIT_KEY = "audit "
AUDIT_NAME = "audit:"
CHANGED_KEY = "changed "


def accepted(reader: RunReader, arm: int, verifier: str) -> Iterator[tuple[int, int, str]]:
    """Problem, slot and text of what a verifier accepted, by problem and slot."""
    for problem, slot, text in reader.rows(
        "SELECT v.problem, v.slot, s.text FROM verdicts v JOIN samples s USING"
        " (arm, problem, slot) WHERE v.arm = ? AND v.verifier = ? AND v.kind = 'passed'"
        " ORDER BY v.problem, v.slot",
        (arm, verifier),
    ):
        yield problem, slot, reader.unpack.text(text)


def accepted_slots(reader: RunReader, arm: int, verifier: str) -> Iterator[tuple[int, int, bool]]:
    """Problem and slot of what a verifier accepted, and whether it could have forged that."""
    for problem, slot, forgeable in reader.rows(
        "SELECT problem, slot, forgeable FROM verdicts WHERE arm = ? AND verifier = ?"
        " AND kind = 'passed' ORDER BY problem, slot",
        (arm, verifier),
    ):
        yield problem, slot, bool(forgeable)


def any_forgeable(reader: RunReader, arm: int, verifier: str) -> bool:
    """Whether a verifier accepted anything that could have forged that."""
    rows = reader.rows(
        "SELECT 1 FROM verdicts WHERE arm = ? AND verifier = ? AND kind = 'passed' AND forgeable"
        " LIMIT 1",
        (arm, verifier),
    )
    return next(rows, None) is not None


def text_of(reader: RunReader, arm: int, problem: int, slot: int) -> str:
    """The text of one sample; "" where there is none."""
    rows = reader.rows(
        "SELECT text FROM samples WHERE arm = ? AND problem = ? AND slot = ?",
        (arm, problem, slot),
    )
    return next((reader.unpack.text(text) for (text,) in rows), "")
