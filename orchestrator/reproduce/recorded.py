"""Outcomes that others recorded, read from their files: counts, or whole samples.

    counts           CSV with the columns benchmark, model, problem_idx, n, c
    monkey_business  JSON of ScalingIntelligence/monkey_business: a list of problems, each with
                     `is_corrects` (booleans), and `samples`, `orig_dset_idx` where it has them

Every fault is an OutcomesError that names the file, the row and what to do. What was read can be
kept as one JSON file (`save`), which `orch report` and `orch reproduce` take like a run.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budgets.given import read_given
from budgets.money import picodollars, usd
from orchestrator.errors import ConfigError
from orchestrator.store.whole import replace_text
from orchestrator.tasks.base import MOST_TASK_BYTES

KIND = "orch outcomes 1"
MOST = 1_000_000
"""Attempts at a problem: a curve over more takes minutes and gigabytes."""
COLUMNS = ("benchmark", "model", "problem_idx", "n", "c")


class OutcomesError(ConfigError):
    """A file of outcomes that cannot be read."""


@dataclass(frozen=True, slots=True)
class RecordedOutcomes:
    """One model's counts on one task."""

    task: str
    model: str
    problem_ids: tuple[str, ...]
    n: tuple[int, ...]
    c: tuple[int, ...]
    spent: int | None = None
    """Picodollars of all attempts; None: not recorded."""
    name: str = ""
    """What the arm was called where it was sampled; empty: its model."""


def read_counts(path: Path) -> list[RecordedOutcomes]:
    """Every configuration of a counts file, in the file's order; raises OutcomesError."""
    try:
        text = read_given(path, MOST_TASK_BYTES).decode("utf-8-sig")
        with io.StringIO(text, newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise OutcomesError(
                    f"{path} has no column {missing[0]!r}; a counts file has the columns "
                    f"{', '.join(COLUMNS)}."
                )
            rows = list(enumerate(reader, start=2))
    except OSError as error:
        raise OutcomesError(f"{path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise OutcomesError(f"{path} is not a CSV file in UTF-8: {error}.") from None
    found: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for number, row in rows:
        where = f"{path}, line {number}"
        if None in row:
            raise OutcomesError(f"{where}: there are more cells than the header names.")
        n, c = _count(where, row, "n"), _count(where, row, "c")
        if n > MOST:
            raise OutcomesError(f"{where}: {n:,} attempts; orch reads up to {MOST:,} a problem.")
        if c > n:
            raise OutcomesError(f"{where}: {c} right answers among {n} attempts.")
        problems = found.setdefault((row["benchmark"], row["model"]), {})
        if row["problem_idx"] in problems:
            raise OutcomesError(f"{where}: problem {row['problem_idx']!r} stands there twice.")
        problems[row["problem_idx"]] = (n, c)
    if not found:
        raise OutcomesError(f"{path} holds no outcomes: it needs one line per problem.")
    return [_outcomes(task, model, problems) for (task, model), problems in found.items()]


def _count(where: str, row: dict[str, Any], name: str) -> int:
    text = str(row[name] or "").strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise OutcomesError(f"{where}: {name} is {row[name]!r}, not a whole number.")
    return int(text)


def read_monkey_business(path: Path) -> list[RecordedOutcomes]:
    """One configuration of the released samples; raises OutcomesError.

    Task and model are taken from the file's name, TASK_MODEL.json, as in the released set.
    """
    rows = read_json(path)
    if isinstance(rows, dict):
        rows = rows.get("rows") or rows.get("test")
    if not isinstance(rows, list) or not rows:
        raise OutcomesError(
            f"{path} is not a list of problems; give one configuration's JSON file of "
            "monkey_business."
        )
    problems: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        where = f"{path}, problem {number}"
        verdicts = row.get("is_corrects") if isinstance(row, dict) else None
        if not isinstance(verdicts, list) or not all(isinstance(one, bool) for one in verdicts):
            raise OutcomesError(f"{where}: is_corrects must be a list of true and false.")
        name = str(row.get("orig_dset_idx", row.get("problem_idx", number)))
        if name in problems:
            raise OutcomesError(f"{where}: problem {name!r} stands there twice.")
        problems[name] = (len(verdicts), sum(verdicts))
    task, _, model = path.stem.partition("_")
    return [_outcomes(task, model or path.stem, problems)]


def save(outcomes: Sequence[RecordedOutcomes], path: Path) -> None:
    """Keep outcomes as one JSON file; raises OutcomesError."""
    document = {
        "kind": KIND,
        "arms": [
            {
                "task": one.task,
                "model": one.model,
                "problem_ids": one.problem_ids,
                "n": one.n,
                "c": one.c,
                "spent_usd": None if one.spent is None else usd(one.spent),
                "name": one.name,
            }
            for one in outcomes
        ],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, json.dumps(document) + "\n")
    except OSError as error:
        raise OutcomesError(f"{path} cannot be written: {error.strerror}.") from None


def read_outcomes(path: Path) -> list[RecordedOutcomes]:
    """Outcomes of any kind: a saved file, counts (.csv), or samples (.json)."""
    if path.suffix == ".csv":
        return read_counts(path)
    content = read_json(path)
    if not (isinstance(content, dict) and content.get("kind") == KIND):
        return read_monkey_business(path)
    try:
        return [_kept(arm) for arm in content["arms"]]
    except (KeyError, TypeError, ValueError) as error:
        raise OutcomesError(f"{path} is damaged ({error!r}); import the outcomes again.") from None


def _kept(arm: dict[str, Any]) -> RecordedOutcomes:
    """One arm of a saved file; raises ValueError, KeyError or TypeError where it is damaged."""
    one = RecordedOutcomes(
        str(arm["task"]), str(arm["model"]), tuple(map(str, arm["problem_ids"])),
        tuple(map(int, arm["n"])), tuple(map(int, arm["c"])),
        None if arm.get("spent_usd") is None else picodollars(str(arm["spent_usd"])),
        str(arm.get("name", "")),
    )  # fmt: skip
    pairs = list(zip(one.n, one.c, strict=True))
    if not pairs or len(set(one.problem_ids)) != len(pairs):
        raise ValueError("its problems are not one entry each")
    if not all(0 <= c <= n <= MOST for n, c in pairs):
        raise ValueError("its counts make no sense")
    return one


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises OutcomesError."""
    try:
        return json.loads(read_given(path, MOST_TASK_BYTES))
    except OSError as error:
        raise OutcomesError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # also a number of thousands of digits
        raise OutcomesError(f"{path} is not JSON: {error}.") from None
    except RecursionError:
        raise OutcomesError(f"{path} is nested too deeply to hold outcomes.") from None


def _outcomes(task: str, model: str, problems: dict[str, tuple[int, int]]) -> RecordedOutcomes:
    n, c = zip(*problems.values(), strict=True)
    return RecordedOutcomes(task, model, tuple(problems), n, c)
