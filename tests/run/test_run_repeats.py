"""Equal texts are counted, said, and judged once."""

from __future__ import annotations

import contextlib
import json
import sqlite3

from orchestrator.engine.repeats import Repeats


def test_nothing_is_said_where_nothing_repeats():
    repeats = Repeats()
    for slot in range(50):
        repeats.see(0, 0, [f"{slot} {choice}" for choice in range(3)])
    assert (repeats.within, repeats.across) == (0, 0)
    assert repeats.sentences() == []


def test_copies_within_a_request():
    repeats = Repeats()
    repeats.see(0, 0, ["a", "b", "a", "a"])
    repeats.see(0, 1, ["c"])
    assert (repeats.choices, repeats.within) == (3, 2)
    (said,) = repeats.sentences()
    assert said.startswith("2 of 3 further choices") and "ignores" not in said
    assert repeats.warnings() == []


def test_a_server_that_copies_one_choice_is_named():
    repeats = Repeats()
    for problem in range(10):
        repeats.see(0, problem, [f"long answer {problem}"] * 4)
    (said,) = repeats.sentences()
    assert "30 of 30" in said and "ignores n" in said
    assert repeats.warnings() == [said]


def test_a_server_that_ignores_seeds_is_named():
    repeats = Repeats()
    for _ in range(5):
        for problem in range(10):
            repeats.see(0, problem, [f"long answer {problem}"])
            repeats.see(1, problem, [f"another {problem}"])
    (said,) = repeats.sentences()
    assert "80 of 80" in said and "ignores seeds" in said


def test_a_thousand_samples_cost_as_many_checks_as_are_distinct(orch, tmp_path):
    for split in ("train", "test"):
        rows = [{"question": f"{i}+{i}=", "answer": f"#### {2 * i}"} for i in range(2)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ended = orch(
        "run", "--provider", "local", "--task", "gsm8k", "--data", tmp_path, "--subset", "all",
        "--few-shot-count", "0", "--samples", "1000", "--max-tokens", "4", "--name", "r",
        "--display", "plain",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    with contextlib.closing(sqlite3.connect(tmp_path / "runs/r/run.db")) as db:
        (distinct,) = db.execute(
            "SELECT count(*) FROM (SELECT DISTINCT problem, text FROM samples)"
        ).fetchone()
        (judged,) = db.execute("SELECT count(*) FROM verdicts").fetchone()
    assert judged == 2000 and 2 < distinct < 1000
    # A plain fact: kept, not told.
    kept = json.loads((tmp_path / "runs/r/summary.json").read_text())["session_notes"]
    said = " ".join(kept)
    assert "identical" not in ended.out + ended.err
    assert f"{2000 - distinct:,} of 2,000 samples were identical to one judged before" in said
