"""The bundled model is as weak as promised, on problems that it has never seen."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from providers.tiny import problems
from providers.tiny.exact import answer_probabilities, answer_probability, coverage
from providers.tiny.llama import Model

TASK = Path(__file__).resolve().parents[2] / "orchestrator" / "tasks" / "arithmetic.jsonl"
RECORDS = [json.loads(line) for line in TASK.read_text().splitlines()]


@pytest.fixture(scope="module")
def chances() -> np.ndarray:
    return answer_probabilities((record["prompt"], record["answer"]) for record in RECORDS)


def test_coverage_is_within_the_promised_bounds(chances: np.ndarray) -> None:
    assert len(chances) >= 100
    assert 0.01 <= coverage(chances, 1) <= 0.03
    assert coverage(chances, 1000) > 0.8


def test_difficulty_is_graded(chances: np.ndarray) -> None:
    difficulty = np.array([record["difficulty"] for record in RECORDS])
    means = [chances[difficulty == level].mean() for level in sorted(set(difficulty))]
    assert len(means) >= 3
    assert means == sorted(means, reverse=True)


def test_problems_are_distinct_and_their_answers_right() -> None:
    assert len({record["id"] for record in RECORDS}) == len(RECORDS)
    keys = set()
    for record in RECORDS:
        expression = record["prompt"].removesuffix("=")
        operation = "*" if "*" in expression else "+"
        numbers = [int(number) for number in expression.split(operation)]
        found = int(np.prod(numbers)) if operation == "*" else sum(numbers)
        assert record["answer"] == str(found)
        keys.add((operation, tuple(sorted(numbers))))
    assert len(keys) == len(RECORDS)


def test_the_task_file_is_what_the_training_script_holds_out() -> None:
    held_out = problems.draw_set(16, random.Random("held out 0"), ())
    assert [(problem.prompt, problem.answer) for problem in held_out] == [
        (record["prompt"], record["answer"]) for record in RECORDS
    ]


def test_training_never_draws_a_held_out_problem_in_any_order() -> None:
    held_out = problems.draw_set(16, random.Random("held out 0"), ())
    keys = {problem.key for problem in held_out}
    drawn = problems.draw_training(20_000, random.Random(1), keys)
    assert not keys & {problem.key for problem in drawn}
    unguarded = problems.draw_training(20_000, random.Random(1), ())
    assert keys & {problem.key for problem in unguarded}
    validation = problems.draw_set(64, random.Random("validation 0"), keys)
    assert not keys & {problem.key for problem in validation}


def test_exact_chances_of_all_short_answers_add_up(model: Model) -> None:
    """The chances of every text of at most two digits never pass one, and miss only the rest."""
    numbers = [str(number) for number in range(10)]
    texts = numbers + [first + second for first in numbers for second in numbers]
    total = sum(answer_probability(model, "12+34=", text) for text in texts)
    assert 0.9 < total < 1
    assert answer_probability(model, "12+34=", "46", temperature=0) in (0.0, 1.0)


def test_coverage_formula() -> None:
    assert coverage([0.5, 0.0], 1) == pytest.approx(0.25)
    assert coverage([0.5, 0.0], 3) == pytest.approx(0.4375)
    assert coverage([1e-12], 1000) == pytest.approx(1e-9)
    assert coverage([1.0], 2) == 1
