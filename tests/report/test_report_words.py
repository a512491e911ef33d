"""What a person reads of an arm: one format of dollars, few notes, both prices explained."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from report_samples import arm
from rich.console import Console

from budgets.money import PICO, picodollars
from orchestrator.report.document import MOST_NOTES, print_arms, print_dollars
from orchestrator.report.fleet import fleet_sentence
from orchestrator.report.text import age_of, alike


def test_all_dollars_of_a_table_have_one_format() -> None:
    amounts = [picodollars(text) for text in ("0.0000001608", "0.00002793", "0.0003216")]
    shown = alike(amounts)
    assert list(map(shown, amounts)) == ["$0.000000161", "$0.000027930", "$0.000321600"]
    assert alike([5 * PICO, 700 * PICO])(700 * PICO) == "$700.00"
    assert alike([])(0) == "$0.00" and alike([0, 1], 6)(1) == "<$0.000001"


def test_an_age_is_one_unit() -> None:
    ages = [age_of(seconds) for seconds in (3, 119, 7200, 200_000)]
    assert ages == ["3 s", "1 min", "2 h", "2 d"]


def test_one_server_is_one() -> None:
    idle = dict.fromkeys(
        ("answers", "output_tokens", "worked_s", "places_s", "running_s", "most_kv",
         "prefix_hits", "prefix_queries", "cached_tokens", "prompt_tokens"), 0,
    )  # fmt: skip
    fleet = {"servers": [idle | {"answers": 3}], "held_s": 3600.0, "gpus_each": 2, "usd_pico": 0}
    assert fleet_sentence(fleet).startswith("1 server, 2 GPU-hours held")


def said(**options: bool) -> str:
    console = Console(width=100, record=True, file=StringIO())
    one = replace(arm("small", 1), notes=tuple(f"note number {i}" for i in range(6)))
    print_arms(console, [one], **options)
    print_dollars(console, [one])
    return console.export_text()


def test_few_notes_are_told_and_both_prices_explained() -> None:
    text = said()
    assert text.count("note: note number") == MOST_NOTES
    assert "3 more notes: orch report RUN --verbose" in text
    assert "As bought: what this run cost until" in text and "k afresh: what k new" in text
    assert said(verbose=True).count("note: note number") == 6


def test_the_first_line_says_what_was_reached() -> None:
    first = said().strip().splitlines()[0]
    one = arm("small", 1)
    assert first.startswith(f"small solves {100 * one.points[-1].mean:.1f} % of 60 problems within")


def test_what_cost_nothing_has_no_prices() -> None:
    one = arm("free", 1)
    free = [replace(point, as_bought=0, at_k=0) for point in one.points]
    console = Console(width=100, record=True, file=StringIO())
    print_arms(console, [replace(one, points=tuple(free), spent=0, uncertain=0)])
    assert "as bought" not in console.export_text()
