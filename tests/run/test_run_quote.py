"""What a plan costs is said before it is paid, and asked about where it is a lot."""

from __future__ import annotations

from decimal import Decimal

from budgets.money import picodollars
from orchestrator.cli.run import with_samples
from orchestrator.plan.study import Arm, Study
from tests.run.test_run_money import arguments, books


def test_a_dry_run_prices_the_plan_and_buys_nothing(orch, serve, prices, tmp_path):
    server = serve()
    ended = orch("run", *arguments(server, prices), "--dry-run", "--json")
    assert ended.code == 0, ended.err
    (arm,) = ended.json["arms"]
    assert arm["requests"] == 20 * 6 and arm["samples"] == 480
    # 480 samples of at most 12 tokens at 15 dollars per million, and at least that for prompts.
    assert Decimal(arm["worst_usd"]) > 480 * 12 * Decimal("0.000015")
    assert Decimal(arm["expected_usd"]) < Decimal(arm["worst_usd"])
    # At temperature 0 every sample is a request of its own, and pays for its prompt.
    greedy = orch("run", *arguments(server, prices), "--temperature", "0", "--dry-run", "--json")
    assert greedy.json["arms"][0]["requests"] == 480
    assert server.bill() == []
    assert not (tmp_path / "runs").exists()


def test_a_pilot_is_never_larger_than_its_plan():
    study = Study([Arm("local", "arithmetic"), Arm("openai", "gsm8k", "m", samples=7)])
    assert [arm.samples for arm in with_samples(study, 5).arms] == [5, 5]
    assert [arm.samples for arm in with_samples(study, 5000).arms] == [2000, 7]


def test_the_worst_of_a_dry_run_bounds_the_bill(orch, serve, prices, tmp_path):
    server = serve()
    worst = orch("run", *arguments(server, prices), "--dry-run", "--json").json["arms"][0]
    assert orch("run", *arguments(server, prices)).code == 0
    assert server.billed() <= picodollars(worst["worst_usd"])


def test_a_script_needs_yes_for_a_dear_plan(orch, serve, prices, tmp_path):
    server = serve()
    dear = [*arguments(server, prices), "--confirm-over", "0.01"]
    refused = orch("run", *dear)
    assert refused.code == 2 and "--yes" in refused.err
    assert server.bill() == [] and not (tmp_path / "runs").exists()
    assert orch("run", *dear, "--yes").code == 0


def test_a_pilot_is_bought_forecast_and_continued(orch, serve, prices, tmp_path):
    server = serve()
    ended = orch("run", *arguments(server, prices), "--pilot", "4", "--yes", "--json")
    assert ended.code == 0, ended.err
    assert "Pilot: The rest of the plan will cost about" in ended.err
    assert "Pilot: It will take about" in ended.err and "problems solved so far" in ended.err
    assert ended.json["rows"][0]["samples"] == 480
    assert books(tmp_path / "runs/r").settled == server.billed()


def test_a_script_that_does_not_agree_stops_after_the_pilot(orch, serve, prices, tmp_path):
    server = serve()
    ended = orch("run", *arguments(server, prices), "--pilot", "4")
    assert ended.code == 2 and "--yes" in ended.err
    assert len(server.bill()) == 20
    # A list of runs knows a pilot from a run that was cut off, and how it goes on.
    listed = orch("runs")
    assert listed.code == 0 and "pilot" in listed.out and "cut off" not in listed.out
    assert "go on with: orch run --resume runs/r --samples 24 --yes" in listed.out
    assert orch("run", "--resume", "r", "--samples", "24", "--yes").code == 0
    assert orch("runs", "--json").json[0]["state"] == "complete"
    assert books(tmp_path / "runs/r").settled == server.billed()


def test_confirm_over_nothing_asks_about_every_plan(orch, serve, prices, tmp_path):
    server = serve()
    always = [*arguments(server, prices), "--confirm-over", "0"]
    refused = orch("run", *always)
    assert refused.code == 2 and "--yes" in refused.err and "Add --yes" in refused.err
    assert server.bill() == [] and not (tmp_path / "runs").exists()
    assert orch("run", *always, "--yes").code == 0
    held = ["run", "--provider", "local", "--samples", "2", "--limit", "2", "--confirm-over", "0"]
    assert orch(*held).code == 2
    assert orch(*held, "--confirm-over", "-1").code == 2
    assert orch(*held, "--yes").code == 0


def test_a_dry_run_says_what_the_budget_buys(orch, serve, prices, tmp_path):
    server = serve()
    told = orch("run", *arguments(server, prices, budget="0.01", samples=200), "--dry-run")
    assert told.code == 0 and "the budget buys about k = " in told.err
    # On hours by the speed of the last run of the model, once there is one.
    local = ["run", "--provider", "local", "--limit", "4", "--samples", "40", "--budget", "1"]
    first = orch(*local, "--dry-run", "--json").json["arms"][0]
    assert first["buys_k"] is None
    assert orch(*local, "--display", "none").code == 0
    told = orch(*local, "--dry-run", "--json").json["arms"][0]
    assert told["buys_k"] == 40 and told["buys_time_s"] > 0
