"""The example package, installed from outside the tree: one of each thing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "orch_example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example as pip installs it, so that its entry points are found."""
    target = tmp_path_factory.mktemp("installed")
    # A copy, since building leaves files beside the source.
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "orch_example")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
            "--no-index", "--target", target, source,
        ],
        check=True, timeout=240,
    )  # fmt: skip
    return target


def asked(orch: Callable[..., Any], installed: Path, *arguments: object) -> Any:
    root = Path(__file__).resolve().parents[2]
    return orch(
        "run", "--provider", "dice", "--model", "fair-die", "--gpu-hour", "0", *arguments,
        PYTHONPATH=f"{root}:{installed}",
    )  # fmt: skip


def test_a_strangers_task_provider_verifier_and_policy_make_a_run(
    orch: Callable[..., Any], installed: Path
) -> None:
    ran = asked(
        orch, installed, "--task", "rounding", "--policy", "hardest-last", "--samples", 40, "--json"
    )
    assert ran.code == 0, ran.err
    (row,) = ran.json["rows"]
    assert (row["task"], row["verifier"], row["policy"]) == ("rounding", "nearest", "hardest-last")
    assert row["samples"] == 240
    assert row["estimator"] == "unbiased pass@k"
    # A fair die: one throw in six is right, and all but one problem in a thousand is solved by 40.
    assert row["solved"] == 6
    assert 0.05 < row["coverage"][0]["mean"] < 0.35


def test_a_strangers_provider_gets_the_headers_that_a_person_gave(
    orch: Callable[..., Any], installed: Path, tmp_path: Path
) -> None:
    loaded = ("--task", "rounding", "--samples", 3, "--header", "X-Loaded: yes")
    ran = asked(orch, installed, *loaded, "--out", tmp_path, "--name", "r", "--json")
    assert ran.code == 0, ran.err
    (row,) = ran.json["rows"]
    assert row["solved"] == 1, "every throw is a six, and one problem's answer"
    # They belong to what the run is: a resume with others is refused, and a key is none.
    other = asked(orch, installed, "--resume", tmp_path / "r", "--header", "X-Loaded: no")
    assert other.code == 2 and "header" in other.err, other.err
    key = asked(orch, installed, *loaded, "--header", "Authorization: x", "--out", tmp_path / "k")
    assert key.code == 2 and "Authorization" in key.err and not (tmp_path / "k").exists()


def test_a_strangers_command_is_listed_and_runs(
    orch: Callable[..., Any], installed: Path, tmp_path: Path
) -> None:
    ran = asked(orch, installed, "--task", "rounding", "--samples", 2, "--out", tmp_path / "mine")
    assert ran.code == 0, ran.err
    root = Path(__file__).resolve().parents[2]
    path = f"{root}:{installed}"
    assert "solved" in orch("--help", PYTHONPATH=path).out
    (run,) = (tmp_path / "mine").iterdir()
    said = orch("solved", run, PYTHONPATH=path)
    assert said.code == 0, said.err
    assert said.out.strip().endswith("of 6")


def test_a_policy_without_an_estimator_is_refused_before_anything_is_bought(
    orch: Callable[..., Any], installed: Path, tmp_path: Path
) -> None:
    refused = asked(
        orch, installed, "--task", "rounding", "--policy", "no-estimator", "--out", tmp_path / "x"
    )
    assert refused.code == 2
    assert "no-estimator" in refused.err and "estimator" in refused.err
    assert not (tmp_path / "x").exists()
