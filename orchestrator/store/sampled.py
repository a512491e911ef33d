"""Single samples of a stored run: what was asked, what came, how it was judged, what it cost.

A sample carries its share of its request's dollars, in whole picodollars that add up to the
request's; the first choices carry what does not divide. What an arm was charged beyond that (the
time of a server paid by the hour, tries that brought nothing) is spread over its samples in the
same way, so that the samples of an arm add up to what it settled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.store.accounts import money_of_arms, read_accounts
from orchestrator.store.reader import RunReader
from orchestrator.store.rows import ArmRow

_SHARE = "coalesce(a.cost / r.n + (s.choice < a.cost % r.n), 0)"  # whole picodollars of one choice


@dataclass(frozen=True, slots=True)
class Filter:
    """Which samples are wanted; everything by default."""

    problem: str = ""
    """An id of a problem."""
    verdict: str = ""
    """A kind of verdict (passed, failed, ...), or "unjudged"."""
    text: str = ""
    """Found in the sample's text, whatever the case."""
    first: int = 0
    """At most so many of each arm; 0: all."""


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One sample, with everything that is known of it."""

    arm: str
    provider: str
    model: str
    task: str
    problem: str
    sample: int
    """Its number among the problem's, from 0: the slot of the plan."""
    text: str
    kind: str
    """ok, or censored: cut before it ended, and judged by nobody."""
    finish_reason: str
    """As the server said it."""
    verdict: str | None
    detail: str
    """Why, in the verifier's words."""
    answer: str | None
    verifier: str
    usd: int
    """Picodollars."""
    output_tokens: int | None
    prompt_tokens: int | None
    """Of its request, however many choices that had."""
    request: int
    seed: int
    sent_at: float
    """Unix time."""


def stored_samples(
    reader: RunReader, arm: ArmRow, name: str, wanted: Filter | None = None,
    settled: int | None = None,
) -> Iterator[StoredSample]:  # fmt: skip
    """The samples of one arm by problem and number; `name` is what the arm is called, `settled`
    what was (read here where it is not given)."""
    wanted = wanted or Filter()
    verifier = str(arm.spec["verifier"])
    ids = {problem.number: problem.id for problem in reader.problems(arm.problem_set)}
    spread = _Spread(reader, arm, settled)
    unpack, found = reader.unpack, 0
    first, last = 0, max(ids, default=0)
    if wanted.problem:
        first = last = next((n for n, known in ids.items() if known == wanted.problem), -1)
        spread.skip(reader, first)
    for row in reader.rows(_SAMPLES, (verifier, arm.number, first, last)):
        problem, slot, kind, reason, packed, tokens, request, share = row[:8]
        usd = share + spread.next()
        if wanted.verdict and (row[8] or "unjudged") != wanted.verdict:
            continue
        text = unpack.text(packed)
        if wanted.text and wanted.text.casefold() not in text.casefold():
            continue
        found += 1
        if wanted.first and found > wanted.first:
            return
        yield StoredSample(
            name, arm.provider, arm.model, arm.task, ids[problem], slot, text, kind, reason,
            row[8], unpack.text(row[9] or ""), unpack.answer(row[10], text), verifier, usd,
            tokens, row[11], request, row[12], row[13] or 0.0,
        )  # fmt: skip


_SAMPLES = (
    "SELECT s.problem, s.slot, s.kind, s.finish_reason, s.text, s.output_tokens, s.request,"
    f" {_SHARE}, v.kind, v.detail, v.answer,"
    " a.input_tokens + a.cached_input_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens,"
    " r.seed, a.sent_at"
    " FROM samples s JOIN requests r USING (request) LEFT JOIN answers a USING (request)"
    " LEFT JOIN verdicts v ON v.arm = s.arm AND v.problem = s.problem AND v.slot = s.slot"
    " AND v.verifier = ? WHERE s.arm = ? AND s.problem BETWEEN ? AND ?"
    " ORDER BY s.problem, s.slot"
)


class _Spread:
    """What an arm settled beyond its samples' requests, sample by sample."""

    _each: int
    _left: int

    def __init__(self, reader: RunReader, arm: ArmRow, settled: int | None) -> None:
        self._arm = arm.number
        ((count,),) = reader.rows("SELECT count(*) FROM samples WHERE arm = ?", (arm.number,))
        ((censored,),) = reader.rows(
            "SELECT count(*) FROM samples WHERE arm = ? AND kind = 'censored'", (arm.number,)
        )
        ((planned, shared),) = reader.rows(
            "SELECT coalesce(sum(r.n), 0), coalesce(sum(a.cost), 0) FROM requests r"
            " CROSS JOIN answers a USING (request) WHERE r.arm = ?",
            (arm.number,),
        )
        if censored or planned != count:
            # Some choices of what was answered may not be there: those that are, one by one.
            ((shared,),) = reader.rows(
                f"SELECT coalesce(sum({_SHARE}), 0) FROM samples s JOIN requests r"
                " USING (request) LEFT JOIN answers a USING (request) WHERE s.arm = ?",
                (arm.number,),
            )
        if settled is None:
            settled = money_of_arms(reader, read_accounts(reader))[arm.number].settled
        beyond = max(settled - int(shared), 0)
        self._each, self._left = beyond // max(count, 1), beyond % max(count, 1)

    def skip(self, reader: RunReader, problem: int) -> None:
        """Pass over the samples of the problems before `problem`."""
        ((before,),) = reader.rows(
            "SELECT count(*) FROM samples WHERE arm = ? AND problem < ?", (self._arm, problem)
        )
        self._left -= before

    def next(self) -> int:
        """The next sample's part."""
        self._left -= 1
        return self._each + (self._left >= 0)
