"""Imported outcomes: both kinds, kept and read again, and every fault named."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from orchestrator.reproduce.curves import coverage_report, printed_fit
from orchestrator.reproduce.recorded import (
    OutcomesError,
    read_counts,
    read_monkey_business,
    read_outcomes,
    save,
)
from tests.forks import run_forked

ROOT = Path(__file__).resolve().parents[2]
COUNTS = """benchmark,model,problem_idx,n,c
MATH,Pythia 160M,3,100,0
MATH,Pythia 160M,7,100,12
MATH,Pythia 160M,9,100,1
Code,Other,a,50,50
"""


def test_counts_are_read_by_configuration(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(COUNTS)
    first, second = read_counts(path)
    assert (first.task, first.model, first.problem_ids) == ("MATH", "Pythia 160M", ("3", "7", "9"))
    assert (first.n, first.c) == ((100,) * 3, (0, 12, 1))
    assert (second.n, second.c) == ((50,), (50,))


def test_monkey_business_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "MATH_Pythia-1.4B.json"
    rows = [
        {"orig_dset_idx": 11, "is_corrects": [True, False, False], "samples": ["a", "b", "c"]},
        {"orig_dset_idx": 5, "is_corrects": [False, False, False]},
    ]
    path.write_text(json.dumps(rows))
    (one,) = read_monkey_business(path)
    assert (one.task, one.model) == ("MATH", "Pythia-1.4B")
    assert (one.problem_ids, one.n, one.c) == (("11", "5"), (3, 3), (1, 0))
    assert read_outcomes(path) == [one]


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    source, kept = tmp_path / "counts.csv", tmp_path / "runs/kept.outcomes.json"
    source.write_text(COUNTS)
    save(read_counts(source), kept)
    assert read_outcomes(kept) == read_outcomes(source)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("benchmark,model,n,c\n", "no column 'problem_idx'"),
        ("", "no column 'benchmark'"),
        ("benchmark,model,problem_idx,n,c\n", "holds no outcomes"),
        (COUNTS + "MATH,Pythia 160M,3,100,0\n", "line 6: problem '3' stands there twice"),
        (COUNTS + "MATH,Pythia 160M,4,10,11\n", "line 6: 11 right answers among 10 attempts"),
        (COUNTS + "MATH,Pythia 160M,4,1e3,0\n", "line 6: n is '1e3', not a whole number"),
        (COUNTS + "MATH,Pythia 160M,4,10\n", "line 6: c is None, not a whole number"),
        (COUNTS + "MATH,Pythia 160M,4,10,-1\n", "line 6: c is '-1', not a whole number"),
    ],
)
def test_faults_in_counts_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(text)
    with pytest.raises(OutcomesError, match=words):
        read_counts(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "not a list of problems"),
        ("3", "not a list of problems"),
        ('[{"samples": ["x"]}]', "problem 0: is_corrects must be a list"),
        ('[{"is_corrects": [1, 0]}]', "problem 0: is_corrects must be a list of true and false"),
        ('[{"orig_dset_idx": 1, "is_corrects": []}, {"orig_dset_idx": 1, "is_corrects": []}]',
         "problem 1: problem '1' stands there twice"),
        ('{"kind": "orch outcomes 1", "arms": [{}]}', "is damaged"),
    ],
)  # fmt: skip
def test_faults_in_samples_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "samples.json"
    path.write_text(text)
    with pytest.raises(OutcomesError, match=words):
        read_outcomes(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for name in ("none.csv", "none.json"):
        with pytest.raises(OutcomesError, match=f"{name} cannot be read"):
            read_outcomes(tmp_path / name)


def test_the_command_imports_and_shows_the_printed_fit(tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text(COUNTS)

    def orch(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_forked(
            ["orchestrator", *arguments], cwd=tmp_path, text=True,
            capture_output=True, timeout=120, check=False,
            env={"PYTHONPATH": str(ROOT), "COLUMNS": "140", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    imported = orch("import", "counts", "counts.csv")
    assert imported.returncode == 0, imported.stderr
    assert "MATH, Pythia 160M: 3 problems, 300 attempts" in imported.stdout
    shown = orch("reproduce", "coverage", "runs/counts.outcomes.json", "--csv", "out.csv")
    assert shown.returncode == 0, shown.stderr
    assert "printed (v1)" in shown.stdout and "-6.42" in shown.stdout
    assert (tmp_path / "out.csv").read_text().count("Pythia 160M") == 7
    broken = orch("import", "counts", "none.csv")
    assert broken.returncode == 2
    assert broken.stderr.strip() == "orch: none.csv cannot be read: No such file or directory."


def test_printed_fits_are_found_whatever_the_spelling(tmp_path: Path) -> None:
    path = tmp_path / "MATH_Llama-3-8B-Instruct.json"
    path.write_text(json.dumps([{"is_corrects": [True] + [False] * 9}] * 1))
    (arm,) = coverage_report(read_outcomes(path)).arms
    printed = printed_fit(arm)
    assert printed is not None and (printed.a, printed.b) == (-1.33, -0.43)
