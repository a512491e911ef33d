"""Arms that use one server paid by the hour: each carries its part, and the parts add up."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

from budgets.money import picodollars
from orchestrator.store.accounts import money_of_arms, read_accounts
from orchestrator.store.reader import RunReader

STUDY = """
[study]
budget = "50"

[[arms]]
name = "hot"
provider = "local"
temperature = 1.0

[[arms]]
name = "cool"
provider = "local"
temperature = 0.7
"""


def test_arms_carry_their_parts_of_a_shared_server(orch, tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text(STUDY)
    ended = orch("run", "two.toml", "--limit", "4", "--samples", "30", "--name", "r")
    assert ended.code == 0, ended.err
    # The run's end answers the question between its arms, as the report does.
    report = orch("report", "r", "--json").json
    assert report["equal"][0]["sentence"] in " ".join(ended.out.split())
    with closing(RunReader(tmp_path / "runs/r")) as reader:
        ledger = read_accounts(reader)
        paid = money_of_arms(reader, ledger)
    assert sum(one.settled for one in paid.values()) == ledger.totals().settled
    assert sum((one.share for one in paid.values()), Fraction(0)) == 1
    spent = [picodollars(row["spent_usd"]) for row in report["rows"]]
    assert spent == [paid[0].settled, paid[1].settled] and min(spent) > 0
    assert all(row["gpu_hours"] > 0 and row["coverage"][0]["usd_at_k"] for row in report["rows"])
    listed = orch("runs", "--json").json[0]["arms"]
    assert [picodollars(arm["usd"]) for arm in listed] == spent
    orch("export", "jsonl", "r", "-o", "x.jsonl")
    orch("import", "jsonl", "x.jsonl", "--to", "x.json")
    again = orch("report", "x.json", "--json").json
    assert [picodollars(row["spent_usd"]) for row in again["rows"]] == spent
