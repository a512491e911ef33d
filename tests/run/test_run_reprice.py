"""`orch report --prices-on DATE`: an old run's dollars by other prices, to the last unit."""

from __future__ import annotations

import csv
import json
import math
from fractions import Fraction
from pathlib import Path

import pytest

from budgets.money import usd
from tests.hostile.bill import Line, read_bill
from tests.hostile.server import hostile_process
from tests.run.conftest import REPORT_ONLY

# Two dated rows of a person's own; the paper's mid-2024 price of gpt-4o comes along with orch.
DATED = """
[[models.hostile]]
input = "3.00"
output = "15.00"
valid_until = 2025-01-01
source = "the first list"

[[models.hostile]]
input = "0.70"
output = "0.0028"
cached_input = "0.10"
valid_from = 2025-01-01
source = "the second list"
"""


def at(lines: list[Line], input_usd: str, output_usd: str) -> int:
    """The bill at other dollars per million tokens, reckoned apart from the price book."""
    rates = Fraction(input_usd), Fraction(output_usd)
    return sum(
        math.ceil((line.prompt_tokens * rates[0] + line.output_tokens * rates[1]) * 10**6)
        for line in lines
        if line.pico
    )


def command(url: str, provider: str, model: str, *more: object) -> list[object]:
    return [
        "run", "--provider", provider, "--base-url", f"{url}/v1", "--model", model,
        "--api-key-env", "SOME_KEY", "--task", "arithmetic", "--limit", "4", "--samples", "6",
        "--n-per-request", "2", "--name", "r", "--json", *more,
    ]  # fmt: skip


def dollars(report) -> tuple[str, str]:
    return report["rows"][0]["spent_usd"], report["rows"][0]["uncertain_usd"]


@pytest.mark.parametrize("day", ["2024-12-31", "2025-01-01"])
def test_a_run_is_repriced_by_its_stored_usage_on_two_dates(day, orch, tmp_path):
    (tmp_path / "p.toml").write_text(DATED)
    with hostile_process(tmp_path / "bill.jsonl") as url:
        given = command(url, "compatible", "hostile", "--prices", "p.toml", "--budget", "1")
        ended = orch(*given, SOME_KEY="k")
    assert ended.code == 0, ended.err
    bill = read_bill(tmp_path / "bill.jsonl")
    assert dollars(ended.json) == (usd(at(bill, "0.70", "0.0028")), "0.00")
    before = (tmp_path / "runs/r/run.db").read_bytes()

    found = orch("report", "r", "--json", "--prices-on", day, ORCH_PRICES="p.toml").json
    rates = ("3.00", "15.00") if day < "2025" else ("0.70", "0.0028")
    assert dollars(found) == (usd(at(bill, *rates)), "0.00")
    assert found["repriced"]["on"] == day and len(found["repriced"]["snapshot"]) == 16
    row, bought = found["rows"][0], ended.json["rows"][0]
    assert row["coverage"][-1]["usd_as_bought"] == row["spent_usd"]
    assert set(row) >= set(bought)
    assert [point["mean"] for point in row["coverage"]] == [
        point["mean"] for point in bought["coverage"]
    ]
    source = "the first list" if day < "2025" else "the second list"
    assert day in row["notes"][0] and source in row["notes"][1]
    # The run itself stays as it was, and what the environment names reprices nothing by itself.
    assert (tmp_path / "runs/r/run.db").read_bytes() == before
    again = orch("report", "r", "--json", ORCH_PRICES="p.toml").json["rows"][0]
    assert again.keys() - bought.keys() == REPORT_ONLY
    assert {key: again[key] for key in bought} == bought


def test_the_papers_price_of_mid_2024_and_what_is_uncertain(orch, tmp_path):
    """gpt-4o was $5/$15 then; a lost answer is repriced at its worst case by the day's rates."""
    script = "ok,ok,ok,ok,no_usage,ok"
    (tmp_path / "today.toml").write_text('[models.gpt-4o]\ninput = "2.50"\noutput = "10.00"\n')
    with hostile_process(tmp_path / "bill.jsonl", script=script, model="gpt-4o") as url:
        given = command(url, "openai", "gpt-4o", "--prices", "today.toml", "--max-concurrent", "1")
        ended = orch(*given, "--max-tokens", "100", SOME_KEY="k")
    assert ended.code == 0, ended.err
    bill = read_bill(tmp_path / "bill.jsonl")
    known = [line for line in bill if line.fault == "ok"]
    (lost,) = [line for line in bill if line.fault == "no_usage"]
    assert dollars(ended.json)[0] == usd(at(known, "2.50", "10.00"))

    shown = ["report", "r", "--prices-on", "2024-07-31"]
    found = orch(*shown, "--json").json
    # The first request of that problem was answered, so its prompt is known exactly.
    assert bill[0].prompt == lost.prompt and bill[4] == lost
    spent, uncertain = dollars(found)
    assert spent == usd(at(known, "5.00", "15.00"))
    assert uncertain == usd((lost.prompt_tokens * 5 + 2 * 100 * 15) * 10**6)
    assert not any("no usage to reprice" in note for note in found["rows"][0]["notes"])

    files = ["--html", "p.html", "--csv", "p.csv", "--markdown", "p.md", "--latex", "p.tex"]
    text = orch(*shown, *files)
    said = " ".join(text.out.split())
    assert "Dollars are repriced from stored usage at the prices of 2024-07-31" in said
    assert "this is not what was paid" in said and "openai.com" in said
    assert "at the prices of 2024-07-31" in said and " spent" not in said
    for name in ("p.html", "p.md", "p.tex"):
        written = (tmp_path / name).read_text().replace("\\", "")
        assert "repriced from stored usage at the prices of 2024-07-31" in written, name
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["repriced_on"] for row in rows} == {"2024-07-31"}
    assert rows[-1]["spent_usd"] == spent


def test_what_a_bill_cleared_up_keeps_its_dollars(orch, tmp_path):
    (tmp_path / "p.toml").write_text(DATED)
    with hostile_process(tmp_path / "bill.jsonl", script="reset_after,ok") as url:
        given = command(url, "compatible", "hostile", "--prices", "p.toml", "--max-retries", "0")
        assert orch(*given, SOME_KEY="k").code == 1
    bill = read_bill(tmp_path / "bill.jsonl")
    settled = at([line for line in bill if line.fault == "ok"], "0.70", "0.0028")
    assert orch("budget", "resolve", "r", "--usd", usd(settled + 12345)).code == 0
    found = orch("report", "r", "--json", "--prices", "p.toml", "--prices-on", "2024-06-01").json
    answered = at([line for line in bill if line.fault == "ok"], "3.00", "15.00")
    assert dollars(found) == (usd(answered + 12345), "0.00")
    assert any(f"${usd(12345)} of it has no usage" in note for note in found["rows"][0]["notes"])


def test_time_of_a_server_cannot_be_repriced_and_says_so(orch, tmp_path):
    with hostile_process(tmp_path / "bill.jsonl") as url:
        ended = orch(*command(url, "compatible", "hostile", "--gpu-hour", "1"), SOME_KEY="k")
    assert ended.code == 0, ended.err
    found = orch("report", "r", "--json", "--prices-on", "2024-07-31").json
    assert dollars(found) == dollars(ended.json)
    assert (
        "not repriced: the server of hostile was paid by the hour" in found["rows"][0]["notes"][0]
    )
    assert "hostile was paid by the hour" in " ".join(
        orch("report", "r", "--prices-on", "2024-07-31").out.split()
    )


def test_what_cannot_be_repriced_is_refused_in_a_sentence(orch, tmp_path):
    (tmp_path / "p.toml").write_text(DATED.replace("[[models.hostile]]", "[[models.other]]", 1))
    with hostile_process(tmp_path / "bill.jsonl") as url:
        given = command(url, "compatible", "hostile", "--prices", "p.toml")
        assert orch(*given, SOME_KEY="k").code == 0
    for arguments, complaint in (
        (["--prices-on", "2024-06-01", "--prices", "p.toml"], "no price is known for model"),
        (["--prices-on", "July"], "give a date such as 2024-07-31"),
        (["--prices", "nowhere.toml"], "nowhere.toml cannot be read"),
    ):
        ended = orch("report", "r", *arguments)
        assert ended.code == 2 and complaint in ended.err, ended.err
        assert "Traceback" not in ended.err and not ended.out
    assert json.loads(orch("report", "r", "--json").out)["rows"]
    assert Path(tmp_path / "runs/r/run.db").exists()
