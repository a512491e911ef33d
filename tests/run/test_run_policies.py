"""Policies of other packages: found by their entry point, reported by the estimator they name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SKIPPING = '''
class Last:
    """The last problem first: an order of its own, for the tests."""

    {estimators}

    def __init__(self, plan):
        self._plan = plan
        self._problem = plan.problems - 1
        self._at = list(plan.planned)
        self.done = False

    @property
    def progress(self):
        return sum(self._at) / (self._plan.problems * self._plan.samples)

    def next(self):
        from orchestrator.schedule import Draw

        for problem in reversed(range(self._plan.problems)):
            point = self._at[problem]
            if point < self._plan.samples:
                n = min(self._plan.n_per_request, self._plan.samples - point)
                self._at[problem] += n
                return Draw(self._plan.number, problem, point, n)
        self.done = True
        return None

    def resolved(self, problem, slot, passed):
        pass

    def paid(self, problem, n, cost):
        pass
'''


@pytest.fixture
def package(tmp_path: Path):
    """Put a distribution with the policy `last` where Python finds it."""

    def put(estimators: str) -> Path:
        folder = tmp_path / "elsewhere"
        (folder / "last-1.0.dist-info").mkdir(parents=True)
        (folder / "last.py").write_text(SKIPPING.format(estimators=estimators))
        (folder / "last-1.0.dist-info/METADATA").write_text(
            "Metadata-Version: 2.1\nName: last\nVersion: 1.0\n"
        )
        (folder / "last-1.0.dist-info/entry_points.txt").write_text(
            "[orch.policies]\nlast = last:Last\nbroken = last:Nothing\n"
        )
        return folder

    return put


def asked(policy: str) -> list[str]:
    return [
        "run", "--provider", "local", "--budget", "5", "--limit", "4", "--samples", "4",
        "--policy", policy, "--name", "r", "--display", "none",
    ]  # fmt: skip


def test_a_policy_of_another_package_is_reported_by_the_estimator_it_names(orch, package, tmp_path):
    folder = package('estimators = ("unbiased",)')
    path = f"{folder}:{ROOT}"
    ended = orch(*asked("last"), "--json", PYTHONPATH=path)
    assert ended.code == 0, ended.err
    (row,) = ended.json["rows"]
    assert row["policy"] == "last" and row["estimator"] == "unbiased pass@k"
    assert row["coverage"][-1]["k"] == 4
    # The run says by itself what fits it: the package may be gone.
    shutil.rmtree(folder)
    again = orch("report", "runs/r", "--json")
    assert again.code == 0, again.err
    assert again.json["rows"][0]["coverage"] == row["coverage"]


@pytest.mark.parametrize(
    ("estimators", "policy", "words"),
    [
        ("", "last", "names no estimator"),
        ('estimators = ("median",)', "last", "names the estimator 'median'"),
        ('estimators = ("unbiased",)', "broken", "cannot be loaded"),
        ('estimators = ("unbiased",)', "lost", "unknown policy 'lost'"),
    ],
)
def test_a_policy_that_could_not_be_reported_is_refused_before_anything_is_bought(
    orch, package, tmp_path, estimators, policy, words
):
    ended = orch(*asked(policy), PYTHONPATH=f"{package(estimators)}:{ROOT}")
    assert ended.code == 2, ended.err
    assert words in ended.err and "Traceback" not in ended.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("policy", ["until-solved", "best-value"])
def test_a_forecast_of_a_policy_that_stops_at_a_success_is_refused_with_its_reason(orch, policy):
    ended = orch(
        "run", "--provider", "local", "--policy", policy, "--limit", "4", "--samples", "8",
        "--name", "r",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    reason = f"the policy {policy} stops at a first success"
    assert f"no forecast: {reason}" in " ".join(
        orch("report", "r", "--forecast", "100").out.split()
    )
    (row,) = orch("report", "r", "--forecast", "100", "--json").json["rows"]
    assert row["forecast_refused"].startswith(reason) and not row["forecasts"]
    assert "no forecast" not in orch("report", "r").out
