"""Selection from imported samples, beside the printed figure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from orchestrator.cli.reproduce import reproduce
from orchestrator.reproduce.recorded import OutcomesError
from orchestrator.reproduce.votes import curves, printed, read_votes


def math_text(answer: str) -> str:
    return f"Work.\nFinal Answer: The final answer is ${answer}$. I hope it is correct."


def configuration(folder: Path, *, rewards: bool = True) -> Path:
    """Two problems of twenty samples: one where the majority is right, one where it is not."""
    path = folder / "MATH_Llama-3-8B-Instruct.json"
    first = ["\\frac12"] * 12 + ["\\frac{1}{2}"] * 2 + ["7"] * 6
    second = ["3"] * 5 + ["4"] * 14
    rows = [
        {
            "samples": [math_text(answer) for answer in first],
            "is_corrects": [answer != "7" for answer in first],
        },
        {
            "samples": [*(math_text(answer) for answer in second), "no answer at all"],
            "is_corrects": [answer == "3" for answer in second] + [False],
        },
    ]
    if rewards:
        for row in rows:
            row["rewards"] = [0.9 if right else 0.2 for right in row["is_corrects"]]
    path.write_text(json.dumps(rows))
    return path


def test_answers_are_read_and_vote_by_their_common_form(tmp_path: Path) -> None:
    votes = read_votes(configuration(tmp_path))
    assert (votes.task, votes.model) == ("MATH", "Llama-3-8B-Instruct")
    assert votes.problems[0].answer.tolist() == [0] * 14 + [1] * 6
    assert votes.problems[1].answer.tolist() == [0] * 5 + [1] * 14 + [-1]
    majority, best, weighted = curves(votes)
    assert majority.k.tolist() == [1, 5, 10, 20]
    assert majority.precision[0] == pytest.approx((14 / 20 + 5 / 20) / 2)
    assert majority.precision[-1] == 0.5
    assert best.precision[-1] == 1.0
    assert weighted.precision[-1] == 1.0
    assert np.all(majority.gap >= 0)


def test_without_rewards_only_the_majority_votes(tmp_path: Path) -> None:
    votes = read_votes(configuration(tmp_path, rewards=False))
    assert [curve.method for curve in curves(votes)] == ["majority"]


def test_printed_points_are_those_of_the_same_model_and_method(tmp_path: Path) -> None:
    votes = read_votes(configuration(tmp_path))
    assert printed(votes, "best-of-n", 10_000) == 30.4
    assert printed(votes, "majority", 1) == 26.1
    assert printed(votes, "majority", 5) is None


def test_the_command_prints_ours_and_theirs_and_labels_the_spread(tmp_path: Path) -> None:
    path = str(configuration(tmp_path))
    plain = CliRunner().invoke(reproduce, ["selection", path], catch_exceptions=False)
    assert plain.exit_code == 0
    assert "26.1" in plain.output and "best-of-n" in plain.output
    assert "no confidence interval" not in plain.output
    papers = CliRunner().invoke(
        reproduce, ["selection", path, "--paper-subsets"], catch_exceptions=False
    )
    assert "no confidence interval" in papers.output


@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [
        ("Code_x.json", [{}], "votes need final answers"),
        ("MATH_x.json", [], "not a list of problems"),
        ("MATH_x.json", [3], "problem 0: samples and is_corrects must be lists"),
        ("MATH_x.json", [{"samples": ["a"], "is_corrects": [True, True]}], "every sample must be"),
        ("MATH_x.json", [{"samples": ["a"], "is_corrects": [True], "rewards": []}], "one finite"),
        ("MATH_x.json", [{"samples": ["a"], "is_corrects": [True], "rewards": ["x"]}],
         "problem 0: could not convert"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, name: str, rows: object, words: str) -> None:
    (tmp_path / name).write_text(json.dumps(rows))
    with pytest.raises(OutcomesError, match=words):
        read_votes(tmp_path / name)
