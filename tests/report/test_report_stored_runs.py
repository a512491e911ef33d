"""`orch report` on stored runs (operations, GPU-hours, differences) and on imported files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.flops import ModelShape, shape_of
from orchestrator.errors import ConfigError
from orchestrator.plan.prepare import BUNDLED_GPU_HOUR
from orchestrator.report.compute import KNOWN, busy_s, read_shape, read_shapes, shape_for
from providers.tiny.publish import CONFIG
from tests.forks import run_forked

ROOT = Path(__file__).resolve().parents[2]
OUTCOMES = "benchmark,model,problem_idx,n,c\n" + "".join(
    f"puzzles,{model},{i},40,{(i * step) % 41}\n"
    for model, step in (("first", 3), ("second", 5))
    for i in range(30)
)


def orch(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_forked(
        ["orchestrator", *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        timeout=250, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def report(*arguments: object, cwd: Path) -> Any:
    ended = orch("report", *arguments, "--json", cwd=cwd)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two runs of the bundled model on the same six problems."""
    folder = tmp_path_factory.mktemp("house")
    for name, seed in (("a", 3), ("b", 4)):
        ended = orch(
            "run", "--provider", "local", "--limit", 6, "--samples", 8, "--seed", seed, "--name",
            name, "--budget", 5, "--display", "none", "--yes", cwd=folder,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    yield folder


def operations_by_hand(run: Path, shape: ModelShape, k: int) -> float:
    """Token by token, from what the run stored."""

    def token(context: int) -> float:
        return 2.0 * (shape.parameters + 2 * shape.layers * shape.width * context)

    lengths: dict[int, list[int]] = defaultdict(list)
    prompts: dict[int, int] = {}
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        for problem, prompt, tokens in db.execute(
            "SELECT s.problem, a.input_tokens + a.cached_input_tokens, s.output_tokens"
            " FROM samples s JOIN answers a USING (request)"
        ):
            prompts[problem] = prompt
            lengths[problem].append(tokens)
    total = 0.0
    for problem, prompt in prompts.items():
        total += sum(token(t) for t in range(1, prompt + 1))
        answers = [sum(token(prompt + t) for t in range(1, n + 1)) for n in lengths[problem]]
        total += k * sum(answers) / len(answers)
    return total


def test_operations_are_those_of_the_stored_tokens(house: Path) -> None:
    (row,) = report("a", cwd=house)["rows"]
    shape = shape_of(CONFIG)
    with closing(sqlite3.connect(house / "runs/a/run.db")) as db, db:
        known = db.execute("SELECT count(*) FROM samples WHERE output_tokens IS NULL").fetchone()
    assert known == (0,)
    for point in row["coverage"]:
        by_hand = operations_by_hand(house / "runs/a", shape, point["k"])
        assert point["flops"] == pytest.approx(by_hand, rel=1e-9)


def test_a_config_json_gives_the_shape(house: Path, tmp_path: Path) -> None:
    config = {**CONFIG, "num_hidden_layers": 8}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for given in (tmp_path, tmp_path / "config.json", f"orch-tiny={tmp_path}"):
        (row,) = report("a", "--model-config", given, cwd=house)["rows"]
        by_hand = operations_by_hand(house / "runs/a", shape_of(config), 8)
        assert row["coverage"][-1]["flops"] == pytest.approx(by_hand, rel=1e-9)
    refused = orch("report", "a", "--model-config", tmp_path / "none", cwd=house)
    assert refused.returncode == 2 and "none cannot be read" in refused.stderr


def test_gpu_hours_stand_beside_the_dollars(house: Path) -> None:
    (row,) = report("a", cwd=house)["rows"]
    dollars = float(row["spent_usd"]) + float(row["uncertain_usd"])
    assert row["gpu_hours"] == pytest.approx(dollars / float(BUNDLED_GPU_HOUR), rel=1e-9)
    assert row["gpu_hours"] > 0
    assert "GPU-hours" in orch("report", "a", cwd=house).stdout


def test_runs_of_one_model_on_the_same_problems_are_not_separable(house: Path) -> None:
    documents = report("a", "b", cwd=house)
    assert [one["run"] for one in documents] == ["runs/a", "runs/b"]
    for document in documents:
        (found,) = document["differences"]
        assert found["paired"] and found["problems"] == 6 and found["k"] == 8
        assert not found["separable"] and "not separable" in found["sentence"]
        assert found["low"] <= found["mean"] <= found["high"]


def test_marginal_dollars_and_a_split_of_the_budget(house: Path) -> None:
    (row,) = report("a", cwd=house)["rows"]
    points, steps = row["coverage"], row["marginal_usd_per_solve"]
    assert [(one["k_from"], one["k_to"]) for one in steps] == [(1, 2), (2, 5), (5, 8)]
    for (low, high), one in zip(pairwise(points), steps, strict=True):
        gained = 6 * (high["mean"] - low["mean"])
        paid = float(high["usd_at_k"]) - float(low["usd_at_k"])
        if gained:
            assert float(one["usd"]) == pytest.approx(paid / gained, rel=1e-6)
    documents = report("a", "b", "--split", "1", cwd=house)
    split = documents[0]["split"]
    assert max(split["attempts"].values()) <= 8 and "cover most" in split["sentence"]
    assert split["low"] < split["coverage"] < split["high"]
    assert split["coverage"] >= max(d["rows"][0]["coverage"][-1]["mean"] for d in documents)
    assert Decimal(split["usd"]) <= Decimal(split["budget_usd"]) == 1
    assert "buys no round" in orch("report", "a", "--split", "0", cwd=house).stdout
    refused = orch("report", "a", "--split", "much", cwd=house)
    assert refused.returncode == 2 and "--split" in refused.stderr


def test_imported_outcomes_are_reported_like_a_run(tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text(OUTCOMES)
    ended = orch("import", "counts", "counts.csv", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    document = report("runs/counts.outcomes.json", cwd=tmp_path)
    assert [row["model"] for row in document["rows"]] == ["first", "second"]
    for row in document["rows"]:
        assert row["spent_usd"] is None and row["gpu_hours"] is None
        assert row["coverage"][-1]["k"] == 40 and row["fits"]
    (found,) = document["differences"]
    assert found["paired"] and found["problems"] == 30
    shown = orch("report", "runs/counts.outcomes.json", "--csv", "out.csv", cwd=tmp_path)
    assert shown.returncode == 0 and "these problems" in shown.stdout
    assert (tmp_path / "out.csv").read_text().count("imported") == 12
    again = orch("reproduce", "coverage", "runs/counts.outcomes.json", cwd=tmp_path)
    assert again.returncode == 0 and "log space" in again.stdout


def test_a_run_and_imported_outcomes_stand_side_by_side(house: Path, tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    file.write_text(OUTCOMES)
    documents = report("a", file, cwd=house)
    assert [len(one["rows"]) for one in documents] == [1, 2]
    ours, theirs = documents[0]["rows"][0], documents[1]["rows"][0]
    assert ours["coverage"][0]["usd_at_k"] is not None
    assert set(ours) == set(theirs) and set(ours["coverage"][0]) == set(theirs["coverage"][0])


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama38b"),
        ("Llama-3-70B-Instruct", "llama370b"),
        ("Llama 3 8B", "llama38b"),
        ("google/gemma-2b-it", "gemma2b"),
        ("EleutherAI/pythia-6.9b-deduped", "pythia69b"),
        ("Pythia 160M", "pythia160m"),
        ("deepseek-ai/DeepSeek-Coder-V2-Instruct", "deepseekcoderv2"),
    ],
)
def test_the_papers_models_are_known(name: str, known: str) -> None:
    assert shape_for(name, {}) == shape_of(KNOWN[known])


def test_nothing_is_guessed_of_other_models(tmp_path: Path) -> None:
    for name in ("gpt-4o", "DeepSeek-Coder-V2-Lite-Instruct", "gemma-2-2b", "Llama-3-8B-Vision"):
        assert shape_for(name, {}) is None
    given = {"": ModelShape(1, 2, 3), "named": ModelShape(4, 5, 6)}
    assert shape_for("named", given) == ModelShape(4, 5, 6)
    assert shape_for("orch-tiny", given) == ModelShape(1, 2, 3)
    (tmp_path / "config.json").write_text(json.dumps({"text_config": CONFIG}))
    assert shape_for(str(tmp_path), {}) == shape_of(CONFIG)
    assert read_shapes([f"x={tmp_path}"]) == {"x": shape_of(CONFIG)}


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "not JSON"), ("[]", "no object"), ("{}", "hidden_size"),
     ('{"hidden_size": 8, "num_hidden_layers": 1, "vocab_size": "x"}', "invalid literal")],
)  # fmt: skip
def test_a_broken_config_is_named(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_shape(tmp_path)


def test_time_in_flight_counts_overlaps_once() -> None:
    assert busy_s(iter([(0.0, 4.0), (1.0, 2.0), (3.0, 6.0), (10.0, 11.0)])) == 7.0
    assert busy_s(iter([])) == 0.0


def test_money_that_did_not_reach_every_problem_is_reported_in_every_form(
    house: Path, tmp_path: Path
) -> None:
    """Requests of two choices, cut in the first round: some problems have two, the others none."""
    for name in ("cut", "other"):
        shutil.copytree(house / "runs/a", tmp_path / "runs" / name)
        with contextlib.closing(sqlite3.connect(tmp_path / "runs" / name / "run.db")) as db:
            db.execute("DELETE FROM verdicts WHERE slot >= 5 OR problem >= 4")
            db.commit()
        (tmp_path / "runs" / name / "run.seal").unlink()
    shown = report("cut", "other", "--figures", "f", "--html", "p.html", cwd=tmp_path)
    assert [point["k"] for point in shown[0]["rows"][0]["coverage"]] == [1, 2, 5]
    alone = orch("report", "cut", "--split", "5", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
