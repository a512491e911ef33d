"""A run does not depend on where it was started, and says what was left out of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from orchestrator.tasks.arithmetic import DATA
from tests.forks import run_forked
from tests.run.conftest import environment


def problems(path: Path, count: int = 3) -> None:
    """The first problems of the bundled task as a person's own file, with ids p0, p1, ..."""
    lines = [json.loads(line) for line in DATA.read_text().splitlines()[:count]]
    rows = [{"id": f"p{n}", **{k: line[k] for k in ("prompt", "answer")}}
            for n, line in enumerate(lines)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def orch_in(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_forked(
        ["orchestrator", *map(str, arguments)], cwd=folder, env=environment(), capture_output=True,
        text=True, timeout=240,
    )  # fmt: skip


def test_a_run_with_relative_paths_is_resumed_from_elsewhere(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    problems(here / "mine.jsonl")
    (here / "prices.toml").write_text('[models."m"]\ninput = "1"\noutput = "1"\n')
    (here / "study.toml").write_text(
        '[study]\nprices = "prices.toml"\n'
        '[[arms]]\nprovider = "local"\ntask = "mine.jsonl"\nsamples = 2\n'
        'max_tokens = 12\nexclude = ["p1"]\n'
    )
    # Beside the study file, though the command is given elsewhere.
    ended = orch_in(elsewhere, "run", "../here/study.toml", "--name", "r", "--json")
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout)["rows"]
    assert row["task"] == "mine.jsonl" and row["problems"] == 2
    assert "1 problem is left out by the study's `exclude`: p1" in row["notes"]
    run = elsewhere / "runs" / "r"
    ended = orch_in(tmp_path, "run", "--resume", run, "--samples", "3", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["rows"][0]["samples"] == 6
    # From the working directory, by the command line; and the file may move.
    assert orch_in(here, "run", "--provider", "local", "--task", "mine.jsonl", "--samples", "2",
                   "--max-tokens", "12",
                   "--out", tmp_path, "--name", "two").returncode == 0  # fmt: skip
    (here / "mine.jsonl").rename(elsewhere / "mine.jsonl")
    missing = orch_in(tmp_path, "run", "--resume", "two", "--out", tmp_path, "--samples", "4")
    assert missing.returncode == 2 and str(here / "mine.jsonl") in missing.stderr
    ended = orch_in(elsewhere, "run", "--resume", tmp_path / "two", "--task", "mine.jsonl",
                    "--samples", "4", "--json")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout)["rows"]
    assert row["samples"] == 12 and row["problems"] == 3
    # Another file's problems are another study.
    problems(elsewhere / "mine.jsonl", 4)
    ended = orch_in(elsewhere, "run", "--resume", tmp_path / "two", "--task", "mine.jsonl")
    assert ended.returncode == 2 and "problems" in ended.stderr


def test_unsound_problems_can_be_left_out_of_a_run(tmp_path: Path) -> None:
    rows = [
        {
            "task_id": f"T/{number}",
            "prompt": f"def f{number}(x):\n    '''Double x.'''\n",
            "entry_point": f"f{number}",
            "canonical_solution": "    return 2 * x\n",
            "test": f"def check(candidate):\n    assert candidate(2) == {4 if number else 5}\n",
        }
        for number in range(3)
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = orch_in(
        tmp_path, "run", "--provider", "local", "--task", "humaneval", "--data", "test.jsonl",
        "--samples", "5", "--exclude-unsound", "--dry-run", "--json",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "the reference solutions of 1 of 3 problems fail" in ended.stderr
    (arm,) = json.loads(ended.stdout)["arms"]
    assert arm["problems"] == 2 and arm["samples"] == 10


def test_a_report_shows_another_verifiers_verdicts(tmp_path: Path) -> None:
    problems(tmp_path / "mine.jsonl")
    ended = orch_in(
        tmp_path, "run", "--provider", "local", "--task", "mine.jsonl",
        "--samples", "8", "--max-tokens", "12", "--name", "r",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    judged = orch_in(tmp_path, "verify", "r", "--verifier", "exact-last-line")
    assert judged.returncode == 0, judged.stderr
    shown = json.loads(orch_in(tmp_path, "report", "r", "--json").stdout)
    (other,) = shown["rows"][0]["other_verifiers"]
    assert other["verifier"] == "exact-last-line" and other["judged"] == 24
    assert [point["k"] for point in other["coverage"]] == [1, 2, 5, 8]
    assert "exact-last-line accepts" in orch_in(tmp_path, "report", "r").stdout
