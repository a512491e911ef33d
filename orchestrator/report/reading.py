"""A few samples of every problem for the page: the first passed, the first failed, the commonest
wrong one.

Bounded whatever the run holds: verdicts are counted in the database, and at most three texts of a
problem are read, each cut to KEPT characters, of at most MOST_PROBLEMS problems of an arm. Wrong
samples are alike where their answers are, or where nothing names answers, where the verifier's
reason is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.report.data import ArmReport, ReadProblem, ReadSample
from orchestrator.store.audits import text_of
from orchestrator.store.packing import UNPACKED, VOTE
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow, ProblemRow

MOST_PROBLEMS = 1000
KEPT = 4000
"""Characters of one text: from its beginning, and as many from its end as a quarter."""


@dataclass(slots=True)
class _Picked:
    """Which slots of a problem are read, and what is counted of it."""

    passed: int = -1
    failed: int = -1
    wrong: int = -1
    """Of the commonest wrong samples the first."""
    alike: int = 0
    failures: int = 0

    def reasons(self) -> list[tuple[int, str]]:
        """Each slot that is read, and why."""
        found = []
        if self.passed >= 0:
            found.append((self.passed, "the first that passed"))
        if self.failed >= 0:
            found.append((self.failed, "the first that failed"))
        if self.alike > 1:
            said = f"the commonest wrong one, {self.alike:,} of {self.failures:,}"
            if self.wrong == self.failed:
                found[-1] = (self.failed, f"the first that failed, and {said}")
            else:
                found.append((self.wrong, said))
        return found


def with_reading(reader: RunReader, stored: ArmRow, arm: ArmReport) -> ArmReport:
    """`arm` with samples of its problems to read."""
    rows = reader.problems(stored.problem_set)[:MOST_PROBLEMS]
    picked = _picked(reader, stored.number, arm.verifier, rows[-1].number if rows else -1)
    return replace(
        arm,
        reading=tuple(
            _problem(reader, stored.number, arm.verifier, row, picked.get(row.number, _Picked()))
            for row in rows
        ),
    )


def _picked(reader: RunReader, arm: int, verifier: str, last: int) -> dict[int, _Picked]:
    found: dict[int, _Picked] = {}
    values = (arm, verifier, last)
    for problem, passed, failed, failures in reader.rows(_FIRST, values):
        found[problem] = _Picked(
            -1 if passed is None else passed, -1 if failed is None else failed, failures=failures
        )
    for problem, slot, alike in reader.rows(_ALIKE, values):
        one = found[problem]
        if alike > one.alike or (alike == one.alike and slot < one.wrong):
            one.wrong, one.alike = slot, alike
    return found


_OF = "FROM verdicts WHERE arm = ? AND verifier = ? AND problem <= ? AND kind != 'infra_error'"
_FIRST = (
    "SELECT problem, min(CASE WHEN kind = 'passed' THEN slot END),"
    f" min(CASE WHEN kind != 'passed' THEN slot END), sum(kind != 'passed') {_OF} GROUP BY problem"
)
_ALIKE = (
    f"SELECT problem, min(slot), count(*) {_OF} AND kind != 'passed'"
    f" GROUP BY problem, coalesce({VOTE}, {UNPACKED}(detail))"
)


def _problem(
    reader: RunReader, arm: int, verifier: str, row: ProblemRow, picked: _Picked
) -> ReadProblem:
    samples = tuple(
        _sample(reader, (arm, row.number, slot), verifier, why) for slot, why in picked.reasons()
    )
    expected = row.content.get("reference", {}).get("answer", "")
    return ReadProblem(row.id, cut("\n\n".join(row.problem.texts)), cut(str(expected)), samples)


def _sample(reader: RunReader, at: tuple[int, int, int], verifier: str, why: str) -> ReadSample:
    ((kind, answer, detail, finish, tokens),) = reader.rows(
        "SELECT v.kind, v.answer, v.detail, s.finish_reason, s.output_tokens FROM verdicts v"
        " JOIN samples s USING (arm, problem, slot)"
        " WHERE v.arm = ? AND v.problem = ? AND v.slot = ? AND v.verifier = ?",
        (*at, verifier),
    )
    text = text_of(reader, *at)
    return ReadSample(
        at[2], why, kind, cut(reader.unpack.answer(answer, text) or ""),
        cut(reader.unpack.text(detail)), finish, tokens, cut(text),
    )  # fmt: skip


def cut(text: str, most: int = KEPT) -> str:
    """`text` in about `most` characters: its beginning, what is left out, and its end."""
    left_out = len(text) - most
    if left_out <= 0:
        return text
    tail = most // 4
    return f"{text[: most - tail]}\n[... {left_out:,} characters left out ...]\n{text[-tail:]}"
