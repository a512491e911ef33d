"""Samples looked at, exported and imported: coverage and dollars come back to the last digit."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest


@pytest.fixture
def bought(orch, serve, prices, tmp_path):
    server = serve()
    ended = orch(
        "run", "--provider", "openai", "--base-url", server.url, "--model", "orch-tiny",
        "--task", "arithmetic", "--prices", prices, "--samples", "10", "--n-per-request", "4",
        "--limit", "6", "--budget", "5", "--name", "r", "--display", "none", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    return ended.json["rows"][0]


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_coverage_and_dollars_come_back_to_the_last_digit(bought, orch, tmp_path):
    ended = orch("export", "jsonl", "r", "-o", "r.jsonl")
    assert ended.code == 0, ended.err
    rows = rows_of(tmp_path / "r.jsonl")
    assert len(rows) == 60 and {row["problem"] for row in rows} == {r["problem"] for r in rows}
    assert sum(Decimal(row["usd"]) for row in rows) == Decimal(bought["spent_usd"])
    assert orch("import", "jsonl", "r.jsonl").code == 0
    back = orch("report", "runs/r.outcomes.json", "--json").json["rows"][0]
    assert back["spent_usd"] == bought["spent_usd"]
    for ours, theirs in zip(bought["coverage"], back["coverage"], strict=True):
        for name in ("k", "mean", "low", "high", "low_like", "high_like"):
            assert ours[name] == theirs[name]
    assert back["coverage"][-1]["usd_at_k"] == bought["spent_usd"]


def test_every_format_holds_the_same_samples(bought, orch, tmp_path):
    import pyarrow.parquet as pq

    for how in ("jsonl", "csv", "parquet", "human-eval", "swebench"):
        assert orch("export", how, "r", "-o", f"out.{how}").code == 0, how
    rows = rows_of(tmp_path / "out.jsonl")
    with (tmp_path / "out.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    parquet = pq.read_table(tmp_path / "out.parquet").to_pylist()
    for name in ("problem", "text", "verdict", "usd", "arm"):
        whole = [row[name] or "" for row in rows]
        assert [row[name] for row in table] == whole
        assert [row[name] or "" for row in parquet] == whole
    for row, human, swe in zip(
        rows, rows_of(tmp_path / "out.human-eval"), rows_of(tmp_path / "out.swebench"), strict=True
    ):
        assert human == {"task_id": row["problem"], "completion": row["text"]}
        assert swe["instance_id"] == row["problem"] and swe["model_patch"] == row["text"]


def test_a_directory_of_predictions_holds_one_file_for_each_attempt(bought, orch, tmp_path):
    assert orch("export", "swebench", "r", "-o", "patches").code == 0
    assert orch("export", "swebench", "r", "-o", "all.jsonl").code == 0
    files = sorted((tmp_path / "patches").iterdir())
    assert len(files) == 10 and files[0].name.endswith(".attempt-0001.jsonl")
    found = [row for file in files for row in rows_of(file)]
    for file in files:
        issues = [row["instance_id"] for row in rows_of(file)]
        assert len(set(issues)) == len(issues) > 0
    whole = rows_of(tmp_path / "all.jsonl")
    assert sorted(map(str, found)) == sorted(map(str, whole))
    again = orch("export", "swebench", "r", "-o", "patches")
    assert again.code == 2 and "not empty" in again.err
    shut = orch("export", "jsonl", "r", "-o", "patches")
    assert shut.code == 2 and "cannot be written" in shut.err
    assert sorted((tmp_path / "patches").iterdir()) == files


def test_samples_are_shown_with_their_facts_and_filtered(bought, orch):
    shown = orch("samples", "r", "--first", "3").out
    assert shown.count("── ") == 3 and "finish reason" in shown and "$" in shown
    passed = orch("samples", "r", "--verdict", "passed")
    judged = sum(1 for line in passed.out.splitlines() if line.startswith("── "))
    assert ("passed" in passed.out) == (judged > 0)
    assert all(" passed " in line for line in passed.out.splitlines() if line.startswith("── "))
    for wrong, words in (
        (["--problem", "nowhere"], "There is no problem 'nowhere'"),
        (["--arm", "nobody"], "the arms are orch-tiny"),
        (["--grep", "no such text at all"], "No sample is like that"),
    ):
        refused = orch("samples", "r", *wrong)
        assert refused.code == 2 and words in refused.err


def test_runs_are_listed_with_state_coverage_and_dollars(bought, orch, tmp_path):
    (one,) = orch("runs", "--json").json
    assert one["state"] == "complete" and one["arms"][0]["k"] == 10
    assert one["arms"][0]["usd"] == bought["spent_usd"]
    assert one["arms"][0]["coverage"] == pytest.approx(bought["coverage"][-1]["mean"])
    (tmp_path / "runs/broken").mkdir()
    (tmp_path / "runs/broken/run.db").write_bytes(b"not a database")
    shown = orch("runs")
    assert shown.code == 0 and "complete" in shown.out and "cannot be read" in shown.out
    empty = orch("runs", "nowhere")
    assert empty.code == 2 and "no directory nowhere" in empty.err
