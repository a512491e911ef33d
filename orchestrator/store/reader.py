"""What can be read of a run, by anyone, also while it goes on. Nothing here writes."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from budgets.journal import Event
from orchestrator.errors import ConfigError, StoreError
from orchestrator.store import migrations
from orchestrator.store.directory import RunLock
from orchestrator.store.packing import UNPACKED, Unpacker, Vote, vote
from orchestrator.store.refusals import Refusal, stored_refusals
from orchestrator.store.rows import ArmRow, BatchRow, PlannedRequest, ProblemRow, SlotCounts
from orchestrator.store.seal import quick_look, read_file
from orchestrator.store.store import stored_events

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]


def find_run(run: str, out: Path) -> Path:
    """The directory of a run given by path or by name; raises ConfigError."""
    for candidate in (Path(run), out / run):
        if (candidate / "run.db").is_file():
            return candidate
    raise ConfigError(
        f"There is no run at {run} (no run.db there, nor in {out / run}); "
        "give the directory that `orch run` printed."
    )


def runs_in(folder: Path) -> dict[Path, float]:
    """The runs directly in `folder`, the newest first, each with when it was last written (Unix s).

    A pipe or a device under a database's name would never end to be read, and is no run.
    """
    found = {
        path.parent: max(part.stat().st_mtime for part in path.parent.glob("run.db*"))
        for path in folder.glob("*/run.db")
        if path.is_file()
    }
    return dict(sorted(found.items(), key=lambda one: -one[1]))


class RunReader:
    """Read-only queries over a run's database."""

    def __init__(self, directory: Path) -> None:
        self._judged_by = ""
        self.directory = directory
        path = directory / "run.db"
        before = read_file(directory)  # A run that goes on writes the database first.
        try:
            self._db = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)
        except sqlite3.Error as error:
            raise ConfigError(f"{path} cannot be read: {error}.") from None
        with contextlib.ExitStack() as unless_readable:
            unless_readable.callback(self._db.close)
            if migrations.version_of(self._db, path) < migrations.NEWEST:
                RunLock(directory).release()
            if wrong := quick_look(self._db, before):
                raise StoreError(
                    f"{path} is damaged: {wrong}. See what is whole with: orch check {directory}"
                )
            unless_readable.pop_all()
        self.unpack = Unpacker(self._db, str(directory))
        """Reads texts, answers and details as they were before they were packed."""
        self._db.create_function(UNPACKED, 1, self.unpack.text, deterministic=True)

    def close(self) -> None:
        self._db.close()

    def freeze(self) -> None:
        """From the next query on, see the run as it is then, whatever is written meanwhile."""
        self._db.execute("BEGIN")

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """What a query of a sibling gives (audits.py, sampled.py, attempts.py)."""
        yield from self._db.execute(query, values)

    def chunks(
        self, query: str, values: tuple[Any, ...], rows: int
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The same, so many rows at a time."""
        cursor = self._db.execute(query, values)
        while found := cursor.fetchmany(rows):
            yield found

    def meta(self, key: str, default: str = "") -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def metas(self, prefix: str) -> list[str]:
        """The values of all keys that begin so, in the order of the keys."""
        rows = self._db.execute(
            "SELECT value FROM meta WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix)
        )
        return [row[0] for row in rows]

    def arms(self) -> list[ArmRow]:
        rows = self._db.execute(
            "SELECT arm, key, provider, model, task, policy, samples, spec FROM arms ORDER BY arm"
        )
        judged = {"verifier": self._judged_by} if self._judged_by else {}
        return [ArmRow(*(*row[:7], {**json.loads(row[7]), **judged})) for row in rows]

    def judge_by(self, verifier: str) -> None:
        """Give arms as if `verifier`, whose verdicts are stored, were their own; ConfigError."""
        for arm in self.arms():
            known = self.verifiers(arm.number)
            if verifier not in known:
                raise ConfigError(
                    f"The arm {arm.key} has no verdicts of {verifier!r}; it has those of "
                    f"{', '.join(sorted(known)) or 'none'}; more come from orch verify RUN "
                    "--verifier NAME."
                )
            if arm.policy != "uniform" and verifier != arm.spec["verifier"]:
                raise ConfigError(
                    f"The arm {arm.key} stopped at problems by its own verifier (policy "
                    f"{arm.policy}): there is no curve by another one."
                )
        self._judged_by = verifier

    def problems(self, problem_set: str) -> list[ProblemRow]:
        rows = self._db.execute(
            "SELECT problem, id, digest, content FROM problems WHERE task = ? ORDER BY problem",
            (problem_set,),
        )
        return [ProblemRow(*(*row[:3], json.loads(row[3]))) for row in rows]

    def slot_counts(self, arm: int, problems: int, verifier: str) -> SlotCounts:
        """Counts per problem of one arm under one verifier."""
        # Not at import: a run reads its database at its end, and sends its first request before.
        import numpy as np

        planned, judged, passed, censored, broken = np.zeros((5, problems), np.int64)
        for query, arrays in (
            ("SELECT problem, max(first_slot + n) FROM requests WHERE arm = ? GROUP BY problem",
             (planned,)),
            ("SELECT problem, count(*) FROM samples WHERE arm = ? AND kind = 'censored'"
             " GROUP BY problem", (censored,)),
            ("SELECT problem, count(*) FILTER (WHERE kind != 'infra_error'),"
             " count(*) FILTER (WHERE kind = 'passed'),"
             " count(*) FILTER (WHERE kind = 'infra_error') FROM verdicts"
             " WHERE arm = ? AND verifier = ? GROUP BY problem", (judged, passed, broken)),
        ):  # fmt: skip
            values = (arm, verifier)[: query.count("?")]
            for problem, *numbers in self._db.execute(query, values):
                for array, number in zip(arrays, numbers, strict=True):
                    array[problem] = number
        for problem, _ in self._given_up(arm):
            broken[problem] += 1
        return SlotCounts(planned, judged, passed, censored, broken)

    def _given_up(self, arm: int) -> set[tuple[int, int]]:
        """Problem and slot of what was tried to the last and is not filled.

        A slot counts once, however many requests tried it: what is asked again in smaller
        requests is planned anew.
        """
        found: set[tuple[int, int]] = set()
        for problem, first, n in self._db.execute(
            "SELECT problem, first_slot, n FROM requests WHERE arm = ? AND request IN"
            " (SELECT request FROM failures WHERE final)",
            (arm,),
        ).fetchall():
            found.update((problem, slot) for slot in range(first, first + n))
            found -= {
                (problem, slot)
                for (slot,) in self._db.execute(
                    "SELECT slot FROM samples WHERE arm = ? AND problem = ?"
                    " AND slot BETWEEN ? AND ?",
                    (arm, problem, first, first + n - 1),
                )
            }
        return found

    def requests(self) -> Iterator[PlannedRequest]:
        """The whole plan so far, in order."""
        for row in self._db.execute(
            "SELECT r.request, r.arm, r.problem, r.first_slot, r.n, r.seed,"
            " a.request IS NOT NULL, (SELECT count(*) FROM samples s WHERE s.arm = r.arm"
            " AND s.problem = r.problem AND s.slot BETWEEN r.first_slot AND r.first_slot + r.n - 1"
            " AND s.request = r.request) FROM requests r LEFT JOIN answers a USING (request)"
            " ORDER BY r.request"
        ):
            yield PlannedRequest(*(*row[:6], bool(row[6]), row[7]))

    def highest_attempt(self) -> int:
        """The highest number of an agent's attempt; 0 where there is none."""
        row = self._db.execute("SELECT coalesce(max(attempt), 0) FROM attempts").fetchone()
        return int(row[0])

    def open_batches(self) -> list[BatchRow]:
        """The batches of which more may come, in order."""
        found: list[BatchRow] = []
        for row in self._db.execute(
            "SELECT batch, arm, tag, provider_id, state, at FROM batches WHERE state != 'done'"
            " ORDER BY batch"
        ).fetchall():
            requests = self._db.execute(
                "SELECT r.request, r.arm, r.problem, r.first_slot, r.n, r.seed, b.reservation"
                " FROM batched b JOIN requests r USING (request) WHERE b.batch = ?"
                " ORDER BY b.place",
                (row[0],),
            )
            planned = [
                (PlannedRequest(*(*one[:6], False)), int(one[6])) for one in requests.fetchall()
            ]
            found.append(BatchRow(*(*row, planned)))
        return found

    def answers_by_provider_id(self) -> dict[str, tuple[int, int]]:
        """Reservation and request of every answer, by the id that the provider gave it."""
        rows = self._db.execute(
            "SELECT provider_id, reservation, request FROM answers WHERE provider_id != ''"
        )
        text = self.unpack.text
        return {text(name): (reservation, request) for name, reservation, request in rows}

    def slots_of(self, request: int) -> set[int]:
        """The slots that a request filled."""
        rows = self._db.execute(
            "SELECT s.slot FROM requests r JOIN samples s ON s.arm = r.arm"
            " AND s.problem = r.problem AND s.slot BETWEEN r.first_slot AND r.first_slot + r.n - 1"
            " WHERE r.request = ? AND s.request = r.request",
            (request,),
        )
        return {row[0] for row in rows}

    def prompt_tokens(self, arm: int) -> dict[int, int]:
        """By problem, the exact prompt tokens that its answers told."""
        rows = self._db.execute(
            "SELECT r.problem, max(a.input_tokens + a.cached_input_tokens + a.cache_write_5m_tokens"
            " + a.cache_write_1h_tokens) FROM answers a JOIN requests r USING (request)"
            " WHERE r.arm = ? AND a.input_tokens IS NOT NULL GROUP BY r.problem",
            (arm,),
        )
        return {problem: tokens for problem, tokens in rows if tokens}

    def filled(self, arm: int) -> int:
        """How many slots of an arm are filled, censored ones included."""
        row = self._db.execute("SELECT count(*) FROM samples WHERE arm = ?", (arm,)).fetchone()
        return int(row[0])

    def unjudged(self, arm: int, verifier: str) -> Iterator[tuple[int, int, str]]:
        """Problem, slot and text of samples without a verdict of `verifier` that counts."""
        for problem, slot, text in self._db.execute(
            "SELECT s.problem, s.slot, s.text FROM samples s LEFT JOIN verdicts v"
            " ON v.arm = s.arm AND v.problem = s.problem AND v.slot = s.slot AND v.verifier = ?"
            " WHERE s.arm = ? AND s.kind = 'ok' AND (v.kind IS NULL OR v.kind = 'infra_error')",
            (verifier, arm),
        ):
            yield problem, slot, self.unpack.text(text)

    def resolved(self, arm: int, verifier: str) -> Iterator[tuple[int, int, int, bool | None]]:
        """Arm, problem, slot and whether it passed, of judged and (None) censored slots."""
        rows = self._db.execute(
            "SELECT problem, slot, kind FROM verdicts WHERE arm = ? AND verifier = ?"
            " AND kind != 'infra_error' UNION ALL"
            " SELECT problem, slot, kind FROM samples WHERE arm = ? AND kind = 'censored'",
            (arm, verifier, arm),
        )
        for problem, slot, kind in rows:
            yield arm, problem, slot, None if kind == "censored" else kind == "passed"

    def slot_requests(self, arm: int) -> Iterator[tuple[int, int, int]]:
        """Problem, slot and request of every planned slot, by problem and slot.

        A slot that a later request took over belongs to that one.
        """
        rows = self._db.execute(
            "SELECT problem, request, first_slot, n FROM requests WHERE arm = ?"
            " ORDER BY problem, request",
            (arm,),
        )
        for problem, requests in groupby(rows, key=itemgetter(0)):
            taken: dict[int, int] = {}
            for _, request, first, n in requests:
                taken.update(dict.fromkeys(range(first, first + n), request))
            for slot in sorted(taken):
                yield problem, slot, taken[slot]

    def samples(self, arm: int) -> Iterator[tuple[int, int, str]]:
        """Problem, slot and text of every sample that is not censored, by problem and slot."""
        for problem, slot, text in self._db.execute(
            "SELECT problem, slot, text FROM samples WHERE arm = ? AND kind = 'ok'"
            " ORDER BY problem, slot",
            (arm,),
        ):
            yield problem, slot, self.unpack.text(text)

    def verdicts(self, arm: int, verifier: str) -> Iterator[tuple[int, int, str, Vote]]:
        """Problem, slot, kind, and what its answer votes as, by problem and slot."""
        for problem, slot, kind, answer in self._db.execute(
            "SELECT problem, slot, kind, answer FROM verdicts WHERE arm = ? AND verifier = ?"
            " ORDER BY problem, slot",
            (arm, verifier),
        ):
            yield problem, slot, kind, vote(answer)

    def judged_requests(self, arm: int, verifier: str, most: int) -> Iterator[tuple[int, int, int]]:
        """Of each request its problem, how many judged samples it has, and how many passed.

        As far as about `most` samples reach, whole problems.
        """
        (whole,) = self.rows("SELECT count(*) FROM samples WHERE arm = ?", (arm,))
        (last,) = self.rows("SELECT max(problem) FROM requests WHERE arm = ?", (arm,))
        problems = (last[0] or 0) + 1
        yield from self._db.execute(
            "SELECT s.problem, count(*), sum(v.kind = 'passed') FROM samples s"
            " JOIN verdicts v USING (arm, problem, slot) WHERE s.arm = ? AND v.verifier = ?"
            " AND v.kind != 'infra_error' AND s.problem < ? GROUP BY s.request",
            (arm, verifier, max(problems * most // max(whole[0], 1), 1)),
        )

    def rewards(self, arm: int) -> dict[str, dict[tuple[int, int], float | None]]:
        """Per reward model, the score of each (problem, slot); None where it could not read it."""
        found: dict[str, dict[tuple[int, int], float | None]] = {}
        for model, problem, slot, reward in self._db.execute(
            "SELECT model, problem, slot, reward FROM rewards WHERE arm = ?"
            " ORDER BY model, problem, slot",
            (arm,),
        ):
            found.setdefault(model, {})[problem, slot] = reward
        return found

    def verifiers(self, arm: int) -> set[str]:
        """The verifiers of which an arm has verdicts."""
        rows = self._db.execute("SELECT DISTINCT verifier FROM verdicts WHERE arm = ?", (arm,))
        return {row[0] for row in rows}

    def verdict_kinds(self, arm: int) -> dict[str, dict[str, int]]:
        """Per verifier, how many verdicts of each kind."""
        found: dict[str, dict[str, int]] = {}
        for verifier, kind, number in self._db.execute(
            "SELECT verifier, kind, count(*) FROM verdicts WHERE arm = ? GROUP BY 1, 2", (arm,)
        ):
            found.setdefault(verifier, {})[kind] = number
        return found

    def tokens_per_problem(self, arm: int) -> list[tuple[float, float, float]]:
        """Of each problem with a sample of known tokens: those of its prompt, and the mean and
        mean square of its samples' tokens (a request's share where samples are not told apart)."""
        each = "coalesce(s.output_tokens, 1.0 * a.output_tokens / r.n)"
        return self._db.execute(
            "SELECT avg(a.input_tokens + a.cached_input_tokens + a.cache_write_5m_tokens"
            f" + a.cache_write_1h_tokens), avg({each}), avg(1.0 * {each} * {each})"
            " FROM samples s JOIN requests r USING (request) JOIN answers a USING (request)"
            " WHERE s.arm = ? AND s.kind = 'ok' AND a.output_tokens IS NOT NULL"
            " GROUP BY s.problem ORDER BY s.problem",
            (arm,),
        ).fetchall()

    def request_times(self, arm: int) -> Iterator[tuple[float, float]]:
        """When each answered request of an arm was sent and recorded (Unix time), in order."""
        yield from self._db.execute(
            "SELECT a.sent_at, a.sent_at + a.latency_s FROM answers a JOIN requests r"
            " USING (request) WHERE r.arm = ? ORDER BY a.sent_at",
            (arm,),
        )

    def events(self) -> Iterator[Event]:
        """The ledger's events, in order."""
        return stored_events(self._db)

    def settled_over_time(self, scope: str) -> list[tuple[float, int]]:
        """Time and amount of every settlement of one scope that was not nothing, in order."""
        return self._db.execute(
            "SELECT s.at, s.amount FROM ledger s JOIN ledger r ON r.kind = 'reserve'"
            " AND r.reservation = s.reservation WHERE s.kind IN ('settle', 'part')"
            " AND s.amount > 0 AND (' ' || r.scopes || ' ') LIKE '% ' || ? || ' %'"
            " ORDER BY s.event",
            (scope,),
        ).fetchall()

    def cleared_without_answer(self, scope: str) -> int:
        """Picodollars of one scope that resolutions settled for requests without an answer."""
        row = self._db.execute(
            "SELECT coalesce(sum(s.amount), 0) FROM ledger s JOIN ledger r ON r.kind = 'reserve'"
            " AND r.reservation = s.reservation WHERE s.kind = 'resolve'"
            " AND (' ' || r.scopes || ' ') LIKE '% ' || ? || ' %'"
            " AND s.reservation NOT IN (SELECT reservation FROM answers)"
            " AND s.reservation NOT IN (SELECT reservation FROM calls)",
            (scope,),
        ).fetchone()
        return int(row[0])

    def settled_without_usage(self, scope: str) -> int:
        """Picodollars of one scope that were settled for anything but an answer with usage."""
        row = self._db.execute(
            "SELECT coalesce(sum(s.amount), 0) FROM ledger s JOIN ledger r ON r.kind = 'reserve'"
            " AND r.reservation = s.reservation WHERE s.kind IN ('settle', 'part', 'resolve')"
            " AND (' ' || r.scopes || ' ') LIKE '% ' || ? || ' %' AND s.reservation NOT IN"
            " (SELECT reservation FROM answers WHERE input_tokens IS NOT NULL)"
            " AND s.reservation NOT IN (SELECT reservation FROM calls WHERE output_tokens"
            " IS NOT NULL)",
            (scope,),
        ).fetchone()
        return int(row[0])

    def refusals(self, arm: int) -> list[Refusal]:
        """What servers refused or broke off of one arm, the commonest first."""
        return stored_refusals(self._db, arm)


def _quoted(path: Path) -> str:
    return quote(os.fsencode(path.resolve()))
