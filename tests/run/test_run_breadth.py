"""Breadth first under any cap: whole rounds over all problems before any is deepened."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

DEAR = """
[models."orch-tiny"]
input = "15.00"
output = "75.00"
"""


@pytest.fixture
def dear(tmp_path: Path) -> Path:
    path = tmp_path / "dear.toml"
    path.write_text(DEAR)
    return path


def asked(server, prices: Path, **more: object) -> list[object]:
    given = {
        "provider": "openai", "base-url": server.url, "model": "orch-tiny", "task": "arithmetic",
        "prompt-style": "completion", "limit": 20, "samples": 200, "budget": "0.10",
        "max-tokens": 12, "prices": prices, "name": "r", "display": "none", **more,
    }  # fmt: skip
    return ["run", *(part for name, value in given.items() for part in (f"--{name}", value))]


def depths(run: Path) -> list[int]:
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        return sorted(n for (n,) in db.execute("SELECT count(*) FROM samples GROUP BY problem"))


def test_a_cap_below_the_first_round_still_covers_every_problem(orch, serve, dear, tmp_path):
    """About 110 attempts for 20 problems: five each, and not 37 at three of them."""
    ended = orch(*asked(serve(), dear), "--json")
    assert ended.code == 3, ended.err
    (row,) = ended.json["rows"]
    assert row["problems"] == 20
    assert row["coverage"][-1]["k"] >= 5
    assert len(depths(tmp_path / "runs/r")) == 20
    assert depths(tmp_path / "runs/r")[0] >= 5


@pytest.mark.parametrize("policy", ["until-solved", "best-value"])
def test_other_policies_begin_with_every_problem_too(orch, serve, dear, tmp_path, policy):
    ended = orch(*asked(serve(), dear, policy=policy), "--json")
    assert ended.code == 3, ended.err
    assert len(depths(tmp_path / "runs/r")) == 20
    assert ended.json["rows"][0]["coverage"]


def test_arms_share_the_cap_so_that_each_has_whole_rounds(orch, serve, tmp_path):
    server = serve()
    (tmp_path / "prices.toml").write_text(
        DEAR + '[models."orch-tiny-b"]\ninput = "15.00"\noutput = "75.00"\n'
    )
    (tmp_path / "study.toml").write_text(
        '[study]\nbudget = "0.10"\nlimit = 20\nprices = "prices.toml"\n'
        + "".join(
            f'[[arms]]\nprovider = "openai"\nbase_url = "{server.url}"\nmodel = "orch-tiny"\n'
            f'task = "arithmetic"\nprompt_style = "completion"\nmax_tokens = 12\nsamples = {n}\n'
            f"temperature = {warmth}\n"
            for n, warmth in ((200, 1.0), (100, 0.7))
        )
    )
    ended = orch("run", "study.toml", "--name", "r", "--display", "none", "--json")
    assert ended.code == 3, ended.err
    first, second = ended.json["rows"]
    assert first["coverage"][-1]["k"] >= 2 and second["coverage"][-1]["k"] >= 1


def test_where_not_even_one_attempt_each_fits_those_asked_are_told(orch, serve, dear, tmp_path):
    ended = orch(*asked(serve(), dear, budget="0.006"), "--json")
    assert ended.code == 3, ended.err
    (row,) = ended.json["rows"]
    bought = len(depths(tmp_path / "runs/r"))
    assert 1 <= bought < 20
    assert row["problems"] == 20 and row["asked"] == bought
    point = row["coverage"][0]
    # Those never asked count as unsolved in the lower bound.
    assert point["low"] <= point["mean"] * bought / 20
    assert "--limit" in ended.err
