"""The format of price files: what is wrong is named, and the schema says what the parser does."""

import json
import re
import tomllib
from datetime import date, time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import budgets
from budgets import price_file
from budgets.money import picodollars
from budgets.price_file import PriceFileError, parse_gpu_hours, parse_prices

DATA = Path(budgets.__file__).parent / "data"
SCHEMA = json.loads((DATA / "prices.schema.json").read_text())
ROW = '[models."m"]\ninput = "3"\noutput = "15"\n'

GOOD = [
    ROW,
    "[models.m]\ninput = 3\noutput = 15.5\n",
    ROW + 'cached_input = ".3"\ncache_write = "3.75"\ncache_write_1h = 6\nreasoning = 1e1\n',
    ROW + "valid_from = 2024-05-13\nvalid_until = \"2024-10-02\"\nsource = 'x'\nnote = 'y'\n",
    ROW + 'provider = "openai"\nrequest = "0.005"\nbatch = { input = 1, output = 2 }\n',
    ROW + "tiers = [{ above = 128000, input = 6, output = 30 }]\n",
    ROW + 'hours = [{ from = 16:30:00, until = "00:30", input = 1, output = 2 }]\n',
    ROW.replace('"3"', '"0.0000001"') + "unusual = true\n",
    '[[models."m"]]\ninput = 1\noutput = 2\n[[models."m"]]\ninput = 3\noutput = 4\n',
    '[gpu_hours]\na = "2.5"\nb = 3\nc = { usd_per_hour = 1, source = "x" }\n',
    "",
]

BAD = [
    ("models = 3", "must hold tables"),
    ("[models]\nm = 3", 'must be a table with `input = "..."`'),
    ("[model.m]\ninput = 1\noutput = 2", "unknown key 'model'"),
    ("[models.m]\noutput = 2", r'\[models."m"\] lacks `input`'),
    ("[models.m]\ninput = 2", "lacks `output`"),
    (ROW + "inputs = 3", "unknown key 'inputs'; known are batch, cache_write"),
    (ROW.replace('"3"', "true"), "input: True is not an amount"),
    (ROW.replace('"3"', '"three"'), "input: 'three' is not an amount of dollars"),
    (ROW.replace('"3"', '"nan"'), "'nan' is not a finite amount"),
    (ROW.replace('"3"', "-3"), "-3 is negative"),
    (ROW.replace('"3"', "[3]"), "not an amount"),
    (ROW + "valid_from = 2024", "`valid_from` must be a date such as 2024-05-13"),
    (ROW + 'valid_from = "May"', "`valid_from` must be a date such as 2024-05-13"),
    (ROW + "provider = 3", "`provider` must be text"),
    (ROW + "tiers = 3", "`tiers` must be a list"),
    (ROW + "tiers = [{ input = 6, output = 30 }]", "tiers 1 lacks `above`"),
    (ROW + "tiers = [{ above = 0, input = 6, output = 30 }]", "`above` must be a number of prompt"),
    (ROW + "tiers = [{ above = 9, input = 6 }]", "tiers 1 lacks `output`"),
    (ROW + "hours = [{ from = 1, until = 2, input = 6, output = 3 }]", "whole minutes in UTC"),
    (ROW + "batch = 0.5", "batch must be a table"),
    ("[gpu_hours]\na = true", r"\[gpu_hours\], 'a': True is not an amount"),
]


def as_json(document: Any) -> Any:
    """A TOML document in JSON's types, as editors check it against the schema."""
    if isinstance(document, dict):
        return {key: as_json(value) for key, value in document.items()}
    if isinstance(document, list):
        return [as_json(value) for value in document]
    return document.isoformat() if isinstance(document, date | time) else document


def valid(toml: str) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(as_json(tomllib.loads(toml)))


@pytest.mark.parametrize("toml", GOOD)
def test_good_files_pass_parser_and_schema(toml: str) -> None:
    parse_prices(toml.encode(), "file")
    parse_gpu_hours(toml.encode(), "file")
    assert valid(toml)


@pytest.mark.parametrize(("toml", "complaint"), BAD)
def test_bad_files_are_refused_by_both_with_the_place_named(toml: str, complaint: str) -> None:
    with pytest.raises(PriceFileError, match=complaint) as refusal:
        parse_prices(toml.encode(), "my.toml")
        parse_gpu_hours(toml.encode(), "my.toml")
    assert str(refusal.value).startswith("my.toml")
    assert "\n" not in str(refusal.value)
    if complaint != "'nan' is not a finite amount":
        assert not valid(toml)


def test_tiers_and_hours_together_are_refused() -> None:
    both = ROW + (
        "tiers = [{ above = 9, input = 6, output = 30 }]\n"
        "hours = [{ from = 01:00:00, until = 02:00:00, input = 6, output = 30 }]"
    )
    with pytest.raises(PriceFileError, match="cannot be combined"):
        parse_prices(both.encode(), "my.toml")


def test_broken_toml_and_broken_text_are_named() -> None:
    with pytest.raises(PriceFileError, match=r"my.toml is not valid TOML: .*line 1"):
        parse_prices(b"models =\n", "my.toml")
    with pytest.raises(PriceFileError, match="is not UTF-8"):
        parse_prices(b"\xff\xfe", "my.toml")


@pytest.mark.parametrize("value", ["0.000003", '"0.000003"', "3e-6", '"3e-6"'])
def test_a_price_per_token_is_caught_and_rewritten(value: str) -> None:
    with pytest.raises(PriceFileError) as refusal:
        parse_prices(ROW.replace('"3"', value).encode(), "my.toml")
    assert str(refusal.value) == (
        'my.toml, [models."m"], input: $0.000003 per million tokens is not a credible price '
        "(between $0.001 and $1000.00 are): is it per token; written per million it is 3.00? "
        "Prices are dollars per million tokens; `unusual = true` in the model's table accepts it "
        "as it is"
    )


@pytest.mark.parametrize("value", ["3000000", '"3_000"', "1000.01"])
def test_a_price_far_too_high_is_caught(value: str) -> None:
    with pytest.raises(PriceFileError, match=r"not a credible price|not an amount"):
        parse_prices(ROW.replace('"3"', value).encode(), "my.toml")


def test_numbers_are_read_exactly() -> None:
    (price,) = parse_prices(b"[models.m]\ninput = 0.1\noutput = 0.3", "f")
    assert price.rates.input == picodollars("0.1")
    assert price.rates.output == picodollars("0.3")


@pytest.mark.parametrize("name", ["prices.toml", "gpu_hours.toml"])
def test_our_own_files_follow_the_schema_and_name_a_source(name: str) -> None:
    text = (DATA / name).read_text()
    assert valid(text)
    document = tomllib.loads(text)
    rows = [row for rows in document.get("models", {}).values() for row in rows]
    rows += list(document.get("gpu_hours", {}).values())
    assert rows
    for row in rows:
        assert "valid_from" in row or "date" in row
        assert row["source"]


def test_the_example_at_the_head_of_the_module_is_valid() -> None:
    documentation = price_file.__doc__ or ""
    example = "\n".join(line[4:] for line in documentation.splitlines() if line.startswith("    "))
    # It shows tiers and hours, of which a model may have one.
    for other in ("tiers", "hours"):
        toml = re.sub(rf"(?m)^{other} = .*$", "", example)
        (price,) = parse_prices(toml.encode(), "the docstring")
        assert price.model == "my-model"
        assert parse_gpu_hours(toml.encode(), "the docstring") == {"my-gpu": picodollars("2.5")}
        assert valid(toml)


def test_the_example_in_the_documentation_is_valid() -> None:
    page = DATA.parents[1] / "docs" / "money.md"
    if not page.is_file():
        pytest.skip("the documentation is not beside this installation")
    (toml,) = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    (price,) = parse_prices(toml.encode(), "docs/money.md")
    assert [band.above for band in price.bands] == [0, 272_000]
    assert valid(toml)
