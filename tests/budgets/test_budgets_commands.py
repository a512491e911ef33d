"""`orch prices`, by hand."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.prices import prices
from orchestrator.errors import ConfigError


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(prices, arguments)
    if isinstance(result.exception, ConfigError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_a_price_is_shown_with_its_source_and_dates() -> None:
    text = call("gpt-4o", "--on", "2024-07-31").output
    assert "gpt-4o at openai on 2024-07-31, dollars per million tokens" in text
    assert "  input: $5.00\n  output: $15.00\n" in text
    assert "https://openai.com" in text
    assert "holds: from 2024-05-13 until 2024-10-02 (no longer on that day)" in text


def test_tiers_hours_and_batch_are_shown() -> None:
    text = call("gpt-5.4").output
    assert "all tokens of prompts above 272,000 tokens:" in text and "batch output" in text
    assert "from 01:00 to 04:00 UTC:" in call("deepseek-v4-pro").output
    text = call("claude-3-5-sonnet", "--on", "2024-08-20").output
    assert "cache write, 1 hour: $6.00" in text and "cached input: $0.30" in text


def test_json_holds_the_whole_price() -> None:
    document = json.loads(call("deepseek-coder", "--on", "2024-07-01", "--json").output)
    assert document["on"] == "2024-07-01"
    (price,) = document["prices"]
    assert price["provider"] == "deepseek"
    assert price["bands"][0]["rates"]["output"] == "0.28"
    assert document["snapshot"]


def test_a_persons_prices_and_gpu_hours(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[models.mine]\ninput = 1\noutput = 2\n[gpu_hours]\n"my box" = "0.5"\n')
    text = call("mine", "--prices", str(file)).output
    assert "mine on " in text and str(file) in text
    assert "my box       $0.50" in call("--prices", str(file)).output
    hours = json.loads(call("--json").output)["gpu_hours"]
    assert hours["H100-SXM"] == "3.78"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no-such-model"], "no price is known for model 'no-such-model'"),
        (["gpt-4o", "--provider", "elsewhere"], "at provider 'elsewhere'"),
        (["gpt-4o", "--on", "July"], "--on is 'July'; give a date such as 2024-07-31"),
        (["gpt-4o", "--prices", "nowhere.toml"], "nowhere.toml cannot be read"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(arguments: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        call(*arguments)
