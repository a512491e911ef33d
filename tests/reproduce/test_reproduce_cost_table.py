"""The cost table through the real pipeline, and bugs that must not pass unseen."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from budgets.money import picodollars
from orchestrator.analysis.coverage import CoverageCurve, coverage_curve, mean_coverage, pass_at_k
from orchestrator.report import estimate
from orchestrator.reproduce.cost_table import CostTable, read_cost_table, reproduce_cost_table
from orchestrator.reproduce.published import load_published
from tests.forks import run_forked

ROOT = Path(__file__).resolve().parents[2]
DEEPSEEK, GPT, CLAUDE = "DeepSeek-Coder-V2-Instruct", "GPT-4o", "Claude 3.5 Sonnet"


def test_the_recorded_outcomes_give_the_published_points() -> None:
    published = load_published()
    for model in published.models:
        assert len(model.right()) == published.paper.problems
        assert max(model.right()) <= model.recorded
    right = published.models[0].right()
    for k, percent in published.curve.percent.items():
        ours = 100 * mean_coverage([250] * 300, right, int(k))
        assert ours == pytest.approx(percent, abs=0.002)


def test_everything_that_goes_in_is_marked_and_nothing_that_comes_out_goes_in() -> None:
    published = load_published()
    for model in published.models:
        assert {model.outcomes_mark, model.tokens_mark} <= {"published", "derived", "inferred"}
        assert model.outcomes_source and model.tokens_source
    # The published results are compared with, never read by what computes ours.
    source = (ROOT / "orchestrator/reproduce/cost_table.py").read_text()
    replaying = (ROOT / "orchestrator/reproduce/replaying.py").read_text()
    for name in ("solved_percent", "total_usd", "usd_per_attempt"):
        assert name not in source and name not in replaying


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What `orch reproduce cost-table --json` prints for five attempts."""
    folder = tmp_path_factory.mktemp("table")
    ended = run_forked(
        ["orchestrator", "reproduce", "cost-table", "--attempts", "5",
         "--json", "--out", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    document["folder"] = folder
    yield document


def row(document: dict[str, Any], model: str) -> dict[str, Any]:
    return next(one for one in document["rows"] if one["model"] == model)


def test_the_table_has_one_row_per_model_in_the_reports_schema(printed: dict[str, Any]) -> None:
    assert [one["model"] for one in printed["rows"]] == [DEEPSEEK, GPT, CLAUDE]
    for one in printed["rows"]:
        assert one["problems"] == 300 and one["infra_errors"] == 0 and one["censored"] == 0
        assert {"k", "mean", "low", "high", "usd_as_bought", "usd_at_k"} <= set(one["coverage"][0])
        assert {"fits", "forecasts", "selection", "marginal_usd_per_solve"} <= set(one)
    assert row(printed, DEEPSEEK)["samples"] == 1500
    # Which problem has which outcome is not published: no pair of them means anything.
    assert printed["differences"] == []


def test_five_attempts_solve_what_was_published_give_or_take_three_deviations(
    printed: dict[str, Any],
) -> None:
    five = row(printed, DEEPSEEK)["coverage"][-1]
    assert five["k"] == 5
    assert 100 * five["mean"] == pytest.approx(29.6, abs=3 * 1.4)
    assert 100 * row(printed, GPT)["coverage"][0]["mean"] == pytest.approx(24.0)
    assert 100 * row(printed, CLAUDE)["coverage"][0]["mean"] == pytest.approx(80 / 3)


def test_dollars_are_exact_to_the_ledgers_unit(printed: dict[str, Any]) -> None:
    # Tokens times picodollars per token, by hand.
    bills = {
        DEEPSEEK: 1500 * (45_000 * 140_000 + 3_000 * 280_000),
        GPT: 300 * (21_600 * 5_000_000 + 1_460 * 15_000_000),
        CLAUDE: 300 * (42_053 * 3_000_000 + 2_831 * 15_000_000),
    }
    for model, bill in bills.items():
        assert picodollars(row(printed, model)["spent_usd"]) == bill
        assert picodollars(row(printed, model)["uncertain_usd"]) == 0
    with closing(sqlite3.connect(printed["folder"] / "table/run/run.db")) as db, db:
        (settled,) = db.execute("SELECT sum(amount) FROM ledger WHERE kind = 'settle'").fetchone()
        (attempts,) = db.execute("SELECT count(*) FROM answers").fetchone()
    assert settled == sum(bills.values())
    assert attempts == 1500 + 300 + 300


def test_the_document_says_what_is_compared_and_how_sure_it_is(printed: dict[str, Any]) -> None:
    found = printed["reproduction"]
    assert "replayed from published statistics" in found["remark"]
    assert "no new measurement" in found["remark"]
    assert {one["mark"] for one in found["inputs"]} == {"published", "derived", "inferred"}
    assert len(found["inputs"]) == 9
    table = {one["model"]: one for one in found["table"]}
    assert table[GPT]["published"]["solved_percent"] == 24.0
    assert float(table[GPT]["usd_per_attempt"]) == pytest.approx(0.13, abs=0.001)
    assert float(table[CLAUDE]["usd_per_attempt"]) == pytest.approx(0.17, abs=0.002)
    assert float(table[DEEPSEEK]["usd_per_attempt"]) == pytest.approx(0.0072, abs=0.0001)
    assert table[GPT]["relative"] == pytest.approx(3.6, abs=0.1)
    assert table[CLAUDE]["relative"] == pytest.approx(4.7, abs=0.1)
    differences = {one["minus"]: one for one in found["differences"]}
    assert not differences[CLAUDE]["separable"]
    assert differences[CLAUDE]["high"] - differences[CLAUDE]["mean"] == pytest.approx(
        0.072, abs=0.01
    )


def test_the_same_seed_replays_the_same_attempts(printed: dict[str, Any], tmp_path: Path) -> None:
    with closing(sqlite3.connect(printed["folder"] / "table/run/run.db")) as db, db:
        first = db.execute(
            "SELECT arm, problem, slot, text FROM samples ORDER BY 1, 2, 3"
        ).fetchall()
    reproduce_cost_table(tmp_path / "again", attempts=5, seed=0)
    with closing(sqlite3.connect(tmp_path / "again/run/run.db")) as db, db:
        again = db.execute(
            "SELECT arm, problem, slot, text FROM samples ORDER BY 1, 2, 3"
        ).fetchall()
    assert first == again


def test_in_eighty_columns_no_figure_is_cut_short(tmp_path: Path) -> None:
    ended = run_forked(
        ["orchestrator", "reproduce", "cost-table", "--attempts", "5",
         "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
        env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    table, _, _ = ended.stdout.partition("is priced today")
    assert "…" not in table
    for figure in ("attempts", "relative", "(29.62)", "($10.8)", "$0.13", "(4.7x)", "22.0 to"):
        assert figure in table


def test_live_says_what_it_needs(tmp_path: Path) -> None:
    """Without the harness, its issues or a key, one sentence and nothing on disk."""
    keys = ("DEEPSEEK_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")
    ended = run_forked(
        ["orchestrator", "reproduce", "cost-table", "--live"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env={name: text for name, text in os.environ.items() if name not in keys}
        | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == 2, ended.stdout
    assert "swebench" in ended.stderr.lower().replace("-", "")
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


# All 250 recorded attempts of every problem: the published curve, and four bugs that break it.


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curve")
    return reproduce_cost_table(folder, attempts=250, seed=0).directory


def agrees(table: CostTable) -> bool:
    """Whether the eight published points are met within 0.05."""
    return len(table.curve) == 8 and all(
        abs(ours - theirs) <= 0.05 for _, ours, theirs in table.curve
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_attempts_give_the_eight_published_points(whole_run: Path) -> None:
    table = read_cost_table(whole_run)
    assert agrees(table)
    first = table.rows[0].row
    assert first.spent == 75_000 * (45_000 * 140_000 + 3_000 * 280_000)
    assert first.solved == 168
    steps = [(part.k_from, part.k_to) for part in table.marginals]
    assert steps[0] == (1, 2) and steps[-1] == (100, 250)
    prices = [part.per_solve for part in table.marginals]
    assert all(price is not None for price in prices)
    assert prices[-1] > 50 * prices[0]  # type: ignore[operator]
    assert {one.model: one.estimated for one in table.overtaken} == {GPT: 3, CLAUDE: 4}
    # Five attempts are not separable from one of either; some more are.
    apart = {one.model: one.separable or 0 for one in table.overtaken}
    assert 5 < apart[GPT] <= apart[CLAUDE] <= 50


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_plug_in_estimator_is_seen(whole_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plug_in(n: Any, c: Any, ks: Any) -> CoverageCurve:
        curve = coverage_curve(n, c, ks)
        rates = np.asarray(c) / np.asarray(n)
        mean = 1.0 - ((1.0 - rates) ** np.asarray(ks)[:, None]).mean(axis=1)
        return replace(curve, mean=mean, low=mean, high=mean, low_like=mean, high_like=mean)

    monkeypatch.setattr(estimate, "coverage_curve", plug_in)
    assert not agrees(read_cost_table(whole_run))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_k_off_by_one_is_seen(whole_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def off(n: Any, c: Any, ks: Any) -> CoverageCurve:
        curve = coverage_curve(n, c, ks)
        later = np.minimum(np.asarray(ks) + 1, np.asarray(n).min())
        mean = pass_at_k(np.asarray(n), np.asarray(c), later[:, None]).mean(axis=1)
        return replace(curve, mean=mean, low=mean, high=mean, low_like=mean, high_like=mean)

    monkeypatch.setattr(estimate, "coverage_curve", off)
    assert not agrees(read_cost_table(whole_run))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_duplicate_in_five_is_seen(whole_run: Path, tmp_path: Path) -> None:
    """A server that answers every fifth request with a copy of the one before."""
    spoilt = meddled(
        whole_run,
        tmp_path,
        "UPDATE verdicts SET kind = (SELECT o.kind FROM verdicts o WHERE o.arm = verdicts.arm"
        " AND o.problem = verdicts.problem AND o.slot = verdicts.slot - 1"
        " AND o.verifier = verdicts.verifier) WHERE arm = 0 AND slot % 5 = 4",
    )
    assert not agrees(read_cost_table(spoilt))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_failures_of_ours_scored_as_wrong_answers_are_seen(whole_run: Path, tmp_path: Path) -> None:
    spoilt = meddled(
        whole_run,
        tmp_path,
        "UPDATE verdicts SET kind = 'failed' WHERE arm = 0 AND (problem * 7 + slot) % 10 = 3",
    )
    assert not agrees(read_cost_table(spoilt))


def meddled(run: Path, folder: Path, change: str) -> Path:
    """A copy of a run in whose store a statement of SQL was carried out."""
    copied = folder / "run"
    shutil.copytree(run, copied)
    with closing(sqlite3.connect(copied / "run.db")) as db, db:
        db.execute(change)
    return copied
