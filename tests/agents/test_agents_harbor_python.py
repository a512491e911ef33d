"""Which interpreter has Harbor, asked of programs that answer as such interpreters do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.tasks.harbor_python import NoHarbor, check_agent, find_python, harbor_in
from tests.agents.book import ROOT


def answering(path: Path, words: str, status: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{words}\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def nothing_else_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_harbor_is_found_where_it_is_named_and_in_the_usual_places(tmp_path: Path) -> None:
    elsewhere = answering(tmp_path / "env" / "python3", "echo 0.26.4")
    assert find_python(elsewhere) == elsewhere
    with pytest.raises(NoHarbor, match=r"No interpreter .*/pip install 'harbor==0\.26\.\*'"):
        find_python("")
    answering(tmp_path / "bin" / "python3", "", status=1)
    tool = answering(tmp_path / "tool" / "python", "echo 0.26.0")
    (tmp_path / "bin" / "harbor").write_text(f"#!{tool}\nimport harbor\n")
    (tmp_path / "bin" / "harbor").chmod(0o755)
    assert find_python("") == tool
    home = answering(tmp_path / "home" / "harbor" / "bin" / "python", "echo 0.26.1")
    assert find_python("") == home and harbor_in(home) == "0.26.1"


def test_another_harbor_and_no_harbor_are_told_apart(tmp_path: Path) -> None:
    old = answering(tmp_path / "env" / "python", "echo 0.25.0")
    with pytest.raises(NoHarbor, match=r"has Harbor 0\.25\.0, and orch speaks with 0\.26"):
        find_python(old)
    none = answering(tmp_path / "none" / "python", "echo no such package >&2", status=1)
    with pytest.raises(NoHarbor, match="has no Harbor; make an environment"):
        find_python(none)
    with pytest.raises(NoHarbor, match="is no program"):
        find_python(str(tmp_path / "nowhere"))


def test_an_agent_that_harbor_has_not_is_named_before_anything_is_bought(tmp_path: Path) -> None:
    python = answering(tmp_path / "env" / "python", "echo mini-swe-agent codex")
    check_agent("codex", python)
    check_agent("own_module:Own", python)
    with pytest.raises(NoHarbor, match="no agent named codx; it has codex, mini-swe-agent"):
        check_agent("codx", python)


def test_doctor_says_what_harbor_lacks(tmp_path: Path) -> None:
    old = answering(tmp_path / "env" / "python", "echo 0.25.0")
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "doctor", "--json", f"--harbor-python={old}"],
        capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    (found,) = [one for one in json.loads(done.stdout) if one["name"] == "Harbor"]
    assert not found["works"] and "0.25.0" in found["detail"] and "harbor==0.26" in found["advice"]
