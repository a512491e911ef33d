"""`orch verify RUN --reward-model URL` over real runs and a real server whose rule is known."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from itertools import combinations
from pathlib import Path

import pytest
from reward_server import RewardModel, rule, serving

from providers.errors import ProviderConfigError
from providers.reward import RewardServer
from tests.forks import run_forked

ROOT = Path(__file__).resolve().parents[2]


def orch(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_forked(
        ["orchestrator", *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        timeout=250, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of the bundled model: six problems, eight samples each."""
    folder = tmp_path_factory.mktemp("bought")
    ended = orch(
        "run", "--provider", "local", "--limit", 6, "--samples", 8, "--seed", 3, "--name", "r",
        "--budget", 5, "--display", "none", "--yes", cwd=folder,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    yield folder / "runs" / "r"


@pytest.fixture
def run(bought: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bought, tmp_path / "r"))


def rewards(run: Path) -> dict[tuple[int, int], float | None]:
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        return {(p, s): r for p, s, r in db.execute("SELECT problem, slot, reward FROM rewards")}


def samples(run: Path) -> list[tuple[int, int, str, str, bool, str | None]]:
    """Problem, slot, prompt, text, right, answer."""
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        prompts = {
            number: content["prompt"]
            or "".join(message["content"] for message in content["messages"])
            for number, content in (
                (n, json.loads(c)) for n, c in db.execute("SELECT problem, content FROM problems")
            )
        }
        rows = db.execute(
            "SELECT s.problem, s.slot, s.text, v.kind = 'passed', v.answer FROM samples s"
            " JOIN verdicts v USING (arm, problem, slot)"
        ).fetchall()
    return [(p, s, prompts[p], text, bool(ok), answer) for p, s, text, ok, answer in rows]


@pytest.mark.parametrize(
    "model",
    [
        RewardModel(("classify",)),
        RewardModel(("pooling",)),
        RewardModel(("pooling",), per_token=True),
        RewardModel(("score",)),
        RewardModel(("classify", "pooling", "score"), overloaded=3),
    ],
    ids=["classify", "pooling", "per-token", "score", "overloaded"],
)
def test_every_sample_gets_the_rules_score(run: Path, model: RewardModel) -> None:
    with serving(model):
        ended = orch("verify", run, "--reward-model", model.url, "--json", cwd=run.parent)
    assert ended.returncode == 0, ended.stderr
    (found,) = json.loads(ended.stdout)
    assert (found["samples"], found["unreadable"], found["model"]) == (48, 0, model.name)
    assert found["api"] == model.apis[0]
    stored, all_samples = rewards(run), samples(run)
    assert len(stored) == len(all_samples) == 48
    for problem, slot, prompt, text, _, _ in all_samples:
        assert stored[problem, slot] == pytest.approx(rule(prompt, text), abs=1e-12)
    # Equal texts of a problem are asked about once (and one probe tells the API).
    distinct = len({(problem, text) for problem, _, _, text, _, _ in all_samples})
    assert found["asked"] == distinct
    assert distinct <= len(model.asked) <= distinct + 4


def test_best_of_n_and_the_weighted_vote_follow_from_the_stored_scores(run: Path) -> None:
    model = RewardModel()
    with serving(model):
        assert orch("verify", run, "--reward-model", model.url, cwd=run.parent).returncode == 0
    report = json.loads(orch("report", run, "--json", cwd=run.parent).stdout)
    series = {one["method"]: one for one in report["rows"][0]["selection"]}
    assert set(series) == {
        "majority", f"best of k by {model.name}", f"vote weighted by {model.name}"
    }  # fmt: skip
    by_problem = defaultdict(list)
    for problem, _, prompt, text, right, answer in samples(run):
        by_problem[problem].append((rule(prompt, text), right, answer))
    best, weighted = series[f"best of k by {model.name}"], series[f"vote weighted by {model.name}"]
    for k, precision in zip(best["k"], best["precision"], strict=True):
        by_hand = []
        for pool in by_problem.values():
            for chosen in combinations(pool, k):
                top = [one for one in chosen if one[0] == max(c[0] for c in chosen)]
                by_hand.append(sum(one[1] for one in top) / len(top))
        assert precision == pytest.approx(sum(by_hand) / len(by_hand), abs=1e-9)
    whole = []
    for pool in by_problem.values():
        votes: dict[str, float] = defaultdict(float)
        for reward, _, answer in pool:
            if answer is not None:
                votes[answer] += reward
        right = {answer: ok for _, ok, answer in pool}
        top = [answer for answer in votes if votes[answer] == max(votes.values())]
        whole.append(sum(right[answer] for answer in top) / max(len(top), 1))
    assert weighted["k"][-1] == 8
    assert weighted["precision"][-1] == pytest.approx(sum(whole) / len(whole), abs=1e-9)
    assert any("in none of the dollars" in note for note in report["rows"][0]["notes"])


def test_what_is_scored_is_not_asked_again(run: Path) -> None:
    model = RewardModel()
    with serving(model):
        orch("verify", run, "--reward-model", model.url, cwd=run.parent)
        before = len(model.asked)
        ended = orch("verify", run, "--reward-model", model.url, "--json", cwd=run.parent)
    assert json.loads(ended.stdout)[0]["asked"] == 0
    assert json.loads(ended.stdout)[0]["samples"] == 48
    assert len(model.asked) == before + 1


def test_a_sample_that_cannot_be_read_ranks_last(run: Path) -> None:
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        db.execute("UPDATE samples SET text = ? WHERE problem = 3 AND slot < 2", ("1" * 900,))
    model = RewardModel(context=800)
    with serving(model):
        ended = orch("verify", run, "--reward-model", model.url, "--json", cwd=run.parent)
    (found,) = json.loads(ended.stdout)
    unread = [place for place, reward in rewards(run).items() if reward is None]
    assert unread == [(3, 0), (3, 1)] and found["unreadable"] == 2 and found["samples"] == 46
    report = json.loads(orch("report", run, "--json", cwd=run.parent).stdout)
    assert len(report["rows"][0]["selection"]) == 3


def test_of_two_classes_one_must_be_named(run: Path) -> None:
    model = RewardModel(classes=2)
    with serving(model):
        ended = orch("verify", run, "--reward-model", model.url, cwd=run.parent)
        assert ended.returncode == 2
        assert "--reward-class" in ended.stderr and "2 numbers" in ended.stderr
        wrong = orch("verify", run, "--reward-model", model.url, "--reward-class", 2,
                     cwd=run.parent)  # fmt: skip
        assert wrong.returncode == 2 and "classes 0 to 1" in wrong.stderr
        named = orch("verify", run, "--reward-model", f"{model.url}/classify",
                     "--reward-class", 1, cwd=run.parent)  # fmt: skip
    assert named.returncode == 0, named.stderr
    assert all(0 < reward < 1 for reward in rewards(run).values() if reward is not None)


def test_without_a_chat_template_the_text_goes_as_it_is(run: Path) -> None:
    model = RewardModel(("pooling",), template=False)
    with serving(model):
        ended = orch("verify", run, "--reward-model", model.url, cwd=run.parent)
        assert ended.returncode == 2 and "chat template" in ended.stderr
        plain = orch("verify", run, "--reward-model", model.url, "--reward-as-text",
                     cwd=run.parent)  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    _, _, prompt, text, _, _ = samples(run)[0]
    assert rewards(run)[0, 0] == pytest.approx(rule("", prompt + text))


def test_a_key_goes_only_where_it_is_named_for(run: Path) -> None:
    model = RewardModel(key="sesame-0123456789")
    with serving(model):
        refused = orch("verify", run, "--reward-model", model.url, cwd=run.parent,
                       OPENAI_API_KEY="other")  # fmt: skip
        assert refused.returncode == 4 and "--reward-key-env" in refused.stderr
        unset = orch("verify", run, "--reward-model", model.url, "--reward-key-env", "MY_KEY",
                     cwd=run.parent)  # fmt: skip
        assert unset.returncode == 2 and "MY_KEY" in unset.stderr
        ended = orch("verify", run, "--reward-model", model.url, "--reward-key-env", "MY_KEY",
                     cwd=run.parent, MY_KEY=model.key)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert model.key not in ended.stdout + ended.stderr + refused.stderr


def test_what_is_no_reward_model_is_said(run: Path) -> None:
    model = RewardModel(())
    with serving(model):
        ended = orch("verify", run, "--reward-model", model.url, cwd=run.parent)
    assert ended.returncode == 2
    assert "none of the reward APIs" in ended.stderr and "--runner pooling" in ended.stderr
    gone = orch("verify", run, "--reward-model", model.url, cwd=run.parent)
    assert gone.returncode == 4 and "run the same command again" in gone.stderr
    missing = orch("verify", "--reward-model", model.url, cwd=run.parent)
    assert missing.returncode == 2 and "name one" in missing.stderr
    assert orch("verify", run, "--reward-model", "localhost", cwd=run.parent).returncode == 2


def test_a_score_that_is_no_number_stops_and_keeps_what_was_scored(run: Path) -> None:
    model = RewardModel(broken=True)
    with serving(model):
        ended = orch("verify", run, "--reward-model", f"{model.url}/classify", cwd=run.parent)
    assert ended.returncode == 4
    assert "not a finite number" in ended.stderr or "did not answer in JSON" in ended.stderr
    assert all(reward is not None for reward in rewards(run).values())


def test_scores_missing_for_some_samples_are_told(run: Path) -> None:
    model = RewardModel()
    with serving(model):
        orch("verify", run, "--reward-model", model.url, cwd=run.parent)
    with closing(sqlite3.connect(run / "run.db")) as db, db:
        db.execute("DELETE FROM rewards WHERE problem = 0")
    (row,) = json.loads(orch("report", run, "--json", cwd=run.parent).stdout)["rows"]
    assert [one["method"] for one in row["selection"]] == ["majority"]
    assert any("8 of 48 judged samples have no reward" in note for note in row["notes"])


def test_the_address_may_name_the_api() -> None:
    assert RewardServer("http://localhost:1/score").api == "score"
    assert RewardServer("http://localhost:1/v1/").root == "http://localhost:1"
    assert RewardServer("http://localhost:1/v1/classify").root == "http://localhost:1"
    assert RewardServer("http://localhost:1/x/pooling").root == "http://localhost:1/x"
    assert RewardServer("http://localhost:1").api is None
    with pytest.raises(ProviderConfigError, match="`reward_model` is not"):
        RewardServer("ftp://localhost:1")


def test_scores_of_one_model_by_two_apis_stand_beside_each_other(run: Path) -> None:
    model = RewardModel(("classify", "score"))
    with serving(model):
        for api in model.apis:
            address = f"{model.url}/{api}"
            assert orch("verify", run, "--reward-model", address, cwd=run.parent).returncode == 0
    with closing(sqlite3.connect(run / "run.db")) as db:
        stored = db.execute("SELECT model, count(*) FROM rewards GROUP BY model").fetchall()
    assert stored == [(f"{model.name} (/classify)", 48), (f"{model.name} (/score)", 48)]
    report = json.loads(orch("report", run, "--json", cwd=run.parent).stdout)
    methods = {one["method"] for one in report["rows"][0]["selection"]}
    assert {f"best of k by {model.name} (/{api})" for api in model.apis} <= methods
