"""A rule that does not fit how a model answers is told while the run goes on."""

from __future__ import annotations

import json
from pathlib import Path

from tests.forks import run_forked


def run(place: Path, *options: str) -> str:
    problems = [(a, b) for a in (2, 5) for b in (1, 3)]
    lines = [{"id": f"{a}+{b}", "prompt": f"{a}+{b}=", "answer": f"{a + b}.0"} for a, b in problems]
    (place / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run_forked(
        ["orchestrator", "run", "--provider", "local", "--task", str(place / "mine.jsonl"),
         "--max-tokens", "8", "--samples", "60", "--budget", "5", "--out", str(place / "runs"),
         *options], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_rule_that_passes_nothing_is_told_with_one_that_would(tmp_path: Path) -> None:
    told = " ".join(run(tmp_path, "--verifier", "exact").split())
    assert "0 of 200 passed by exact;" in told and "would by stated: --verifier stated" in told


def orch(*words: str) -> tuple[int, str]:
    done = run_forked(["orchestrator", *words], capture_output=True, text=True)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_a_report_by_another_stored_rule(tmp_path: Path) -> None:
    run(tmp_path, "--verifier", "exact")
    (made,) = (tmp_path / "runs").iterdir()
    code, told = orch("report", str(made), "--verifier", "stated")
    assert code == 2 and "no verdicts of 'stated'; it has those of exact" in told
    assert orch("verify", str(made), "--verifier", "stated")[0] == 0
    code, told = orch("report", str(made), "--verifier", "stated", "--json")
    (arm,) = json.loads(told)["rows"]
    assert code == 0 and arm["verifier"] == "stated" and arm["solved"] > 0
    code, told = orch("report", str(made), "--json")
    (arm,) = json.loads(told)["rows"]
    assert code == 0 and arm["verifier"] == "exact" and arm["solved"] == 0


def test_a_rule_that_passes_something_is_not(tmp_path: Path) -> None:
    assert "would by" not in run(tmp_path)
