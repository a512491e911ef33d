"""The paper's figure 7 from imported samples: majority vote, best-of-N and weighted vote.

Answers are read from the samples by the paper's own rules (verifiers/answer_paper.py), equal
ones by their common form; whether a sample is right is what was recorded. Rewards come from a
list `rewards` beside the samples; the released files have none, and then only the majority
vote is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.analysis.selection import (
    METHODS,
    Judged,
    Method,
    SelectionCurve,
    over_problems,
    paper_subsets,
)
from orchestrator.reproduce.recorded import OutcomesError, read_json

KS = (1, 5, 10, 20, 50, 100, 250, 500, 1000, 5000, 10_000)
"""Where figure 7 has its points."""

PRINTED_K = (1, 10, 100, 1000, 10_000)
PRINTED: dict[tuple[str, str, Method], tuple[float, ...]] = {
    ("math", "8b", "majority"): (26.1, 33.7, 38.8, 39.7, 39.9),
    ("math", "8b", "best-of-n"): (25.8, 33.3, 33.2, 32.5, 30.4),
    ("math", "8b", "weighted"): (25.5, 35.4, 38.7, 40.0, 39.8),
    ("math", "70b", "majority"): (45.5, 53.2, 55.5, 55.1, 54.1),
    ("math", "70b", "best-of-n"): (45.6, 50.8, 51.0, 49.8, 48.1),
    ("math", "70b", "weighted"): (45.8, 54.0, 55.9, 55.7, 55.5),
    ("gsm8k", "8b", "majority"): (75.1, 84.1, 85.9, 86.5, 86.7),
    ("gsm8k", "8b", "best-of-n"): (75.0, 83.3, 82.8, 83.0, 82.4),
    ("gsm8k", "8b", "weighted"): (75.5, 84.7, 86.2, 86.4, 85.9),
    ("gsm8k", "70b", "majority"): (91.8, 95.7, 96.1, 96.1, 96.1),
    ("gsm8k", "70b", "best-of-n"): (91.6, 93.6, 92.3, 90.7, 89.7),
    ("gsm8k", "70b", "weighted"): (92.0, 95.7, 96.1, 96.1, 96.1),
}
"""Percent, read off the vector figure of arXiv 2407.21787v1 at PRINTED_K, Llama-3 Instruct."""


@dataclass(frozen=True, slots=True)
class Votes:
    """The samples of one configuration, ready to be selected from."""

    task: str
    model: str
    problems: list[Judged]

    def methods(self) -> list[Method]:
        """Those whose needs the samples meet."""
        scored = all(one.reward is not None for one in self.problems)
        return [method for method in METHODS if method == "majority" or scored]


def read_votes(path: Path) -> Votes:
    """One configuration's JSON file (TASK_MODEL.json) with samples; raises OutcomesError."""
    task, _, model = path.stem.partition("_")
    read = _reader(path, task)
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise OutcomesError(f"{path} is not a list of problems.")
    return Votes(task, model, [_judged(path, i, row, read) for i, row in enumerate(rows)])


def _reader(path: Path, task: str) -> Callable[[str], str | None]:
    from verifiers.answer_paper import gsm8k_answer, math_answer, normalised

    def math(text: str) -> str | None:
        answer = math_answer(text)
        return None if answer is None else normalised(answer)

    readers = {"gsm8k": gsm8k_answer, "math": math}
    if task.lower() not in readers:
        raise OutcomesError(
            f"{path}: votes need final answers, which GSM8K and MATH have; name the file "
            "GSM8K_MODEL.json or MATH_MODEL.json."
        )
    return readers[task.lower()]


def _judged(path: Path, number: int, row: Any, read: Callable[[str], str | None]) -> Judged:
    where = f"{path}, problem {number}"
    samples, right = (
        (row.get("samples"), row.get("is_corrects")) if isinstance(row, dict) else (0, 0)
    )
    if not isinstance(samples, list) or not isinstance(right, list) or not samples:
        raise OutcomesError(f"{where}: samples and is_corrects must be lists that are not empty.")
    if len(samples) != len(right) or not all(isinstance(one, str) for one in samples):
        raise OutcomesError(f"{where}: every sample must be a text with one entry in is_corrects.")
    classes: dict[str, int] = {}
    answers = [read(text) for text in samples]
    numbers = [-1 if one is None else classes.setdefault(one, len(classes)) for one in answers]
    rewards = row.get("rewards")
    try:
        return Judged(
            np.array(numbers, dtype=np.int64),
            np.array(right, dtype=np.bool_),
            None if rewards is None else np.array(rewards, dtype=np.float64),
        )
    except (ValueError, TypeError) as error:
        raise OutcomesError(f"{where}: {error}.") from None


def curves(votes: Votes, *, subsets: bool = False, seed: int = 0) -> list[SelectionCurve]:
    """Each method at figure 7's k: in expectation, or over the paper's 100 random subsets."""
    ks = [k for k in KS if k <= min(len(one.answer) for one in votes.problems)]
    how = paper_subsets if subsets else over_problems
    return [how(votes.problems, ks, method, seed=seed) for method in votes.methods()]


def printed(votes: Votes, method: Method, k: int) -> float | None:
    """The paper's percentage there; None where it prints none."""
    size = next((size for size in ("70b", "8b") if size in votes.model.lower()), "")
    row = PRINTED.get((votes.task.lower(), size, method))
    instruct = "instruct" in votes.model.lower()
    return row[PRINTED_K.index(k)] if row and instruct and k in PRINTED_K else None


def table(votes: Votes, found: Sequence[SelectionCurve]) -> list[list[str]]:
    """Rows of text: method, k, ours, spread, the paper's, coverage, gap."""
    rows = []
    for curve in found:
        for i, k in enumerate(curve.k.tolist()):
            theirs = printed(votes, curve.method, k)
            spread = None if curve.sd_over_subsets is None else curve.sd_over_subsets[i]
            rows.append(
                [
                    curve.method, f"{k:,}", f"{100 * curve.precision[i]:.1f}",
                    "" if spread is None else f"{100 * spread:.1f}",
                    "" if theirs is None else f"{theirs:.1f}",
                    f"{100 * curve.coverage[i]:.1f}", f"{100 * curve.gap[i]:.1f}",
                ]
            )  # fmt: skip
    return rows
