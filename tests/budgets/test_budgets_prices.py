"""Prices: exact, dated, tiered, by the hour of day, and never below what may be billed."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from budgets.catalogue import find_in_catalogue
from budgets.money import picodollars
from budgets.price import HIGHEST, LOWEST, Price
from budgets.price_book import PriceBook, Unpriced
from budgets.price_file import PriceFileError, parse_prices
from budgets.usage import Usage

MID_2024 = datetime(2024, 7, 31, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BOOK = PriceBook.load()


def priced(toml: str, model: str = "m") -> Price:
    (price,) = (price for price in parse_prices(toml.encode(), "test") if price.model == model)
    return price


TIERED = """
[models.m]
input = "2.50"
output = 15
cached_input = 0.25
batch = { input = 1.25, output = "7.5" }
tiers = [{ above = 272000, input = "5", output = "22.50", cached_input = "0.50" }]
"""
HOURS = """
[models.m]
input = "0.66"
output = "1.98"
hours = [{ from = 01:00:00, until = 04:00:00, input = "1.32", output = "3.96" },
         { from = 22:00:00, until = 00:30:00, input = "1.00", output = "3.00" }]
"""


def test_one_token_at_a_fraction_of_a_cent_per_million_is_not_zero() -> None:
    price = priced('[models.m]\ninput = "0.0028"\noutput = 0.0028')
    assert price.cost(Usage(input_tokens=1)) == 2800
    assert price.cost(Usage(output_tokens=1)) == 2800


@pytest.mark.parametrize(
    ("model", "provider", "per_million"),
    [
        ("gpt-4o", "openai", ("5.00", "15.00", "5.00", "5.00")),
        ("gpt-4o-2024-05-13", "openai", ("5.00", "15.00", "5.00", "5.00")),
        ("claude-3-5-sonnet-20240620", "anthropic", ("3.00", "15.00", "0.30", "3.75")),
        ("claude-3-5-sonnet", "anthropic", ("3.00", "15.00", "0.30", "3.75")),
        ("deepseek-coder", "deepseek", ("0.14", "0.28", "0.014", "0.14")),
    ],
)
def test_the_papers_models_at_mid_2024_prices(
    model: str, provider: str, per_million: tuple[str, ...]
) -> None:
    price = BOOK.find(model, provider, MID_2024)
    million = 1_000_000
    usages = (
        Usage(input_tokens=million),
        Usage(output_tokens=million),
        Usage(cached_input_tokens=million),
        Usage(cache_write_5m_tokens=million),
    )
    assert [price.cost(usage) for usage in usages] == [picodollars(usd) for usd in per_million]
    assert "https://" in price.source
    assert price.valid_from is not None


def test_the_date_decides() -> None:
    before = BOOK.find("gpt-4o", "openai", date(2024, 10, 1))
    after = BOOK.find("gpt-4o", "openai", date(2024, 10, 2))
    assert before.rates.input == picodollars("5")
    assert after.rates.input == picodollars("2.50")
    assert "genai-prices" in after.source


def test_a_persons_own_price_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('[models."gpt-4o"]\ninput = "1.00"\noutput = "2.00"\nsource = "my contract"')
    book = PriceBook.load(file)
    price = book.find("gpt-4o", "openai", MID_2024)
    assert price.rates.output == picodollars("2")
    assert price.source == f"{file}: my contract"
    assert book.snapshot != BOOK.snapshot
    file.write_text('[models."gpt-4o"]\ninput = "1.00"\noutput = "2.01"\nsource = "my contract"')
    assert PriceBook.load(file).snapshot not in (book.snapshot, BOOK.snapshot)


def test_a_persons_price_may_be_for_one_provider_and_one_time_only(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(
        """
[[models."gpt-4o"]]
provider = "openai"
input = 1
output = 2
valid_from = 2024-07-01
valid_until = 2024-08-01
[[models."gpt-4o"]]
provider = "openai"
input = 3
output = 4
valid_from = "2024-07-15"
"""
    )
    book = PriceBook.load(file)
    assert book.find("gpt-4o", "openai", date(2024, 7, 1)).rates.input == picodollars("1")
    assert book.find("gpt-4o", "openai", date(2024, 7, 15)).rates.input == picodollars("3")
    assert book.find("gpt-4o", "openai", date(2024, 6, 30)).rates.input == picodollars("5")
    with pytest.raises(Unpriced):
        book.find("gpt-4o", "somebody-else", MID_2024)


def test_an_unpriced_model_is_refused_with_what_to_do() -> None:
    with pytest.raises(Unpriced) as refusal:
        BOOK.find("my-finetune", "openai", MID_2024)
    text = str(refusal.value)
    assert "'my-finetune'" in text and "'openai'" in text and "2024-07-31" in text
    assert '[models."my-finetune"]' in text and "give that file as `prices`" in text
    assert "\n" not in text


@pytest.mark.parametrize("model", ["text-embedding-3-small", "whisper-1", "no-such-model"])
def test_what_has_no_price_per_token_both_ways_counts_as_unpriced(model: str) -> None:
    assert find_in_catalogue(model, "openai", NOW) is None


def test_a_tier_bills_every_token_of_a_long_prompt() -> None:
    price = priced(TIERED)
    at = Usage(input_tokens=272_000, output_tokens=1000)
    above = Usage(input_tokens=200_000, cached_input_tokens=72_001, output_tokens=1000)
    assert price.cost(at) == picodollars("0.695")
    assert price.cost(above) == picodollars(Decimal("1.0360005") + Decimal("0.0225"))


def test_the_catalogues_tiers_come_along() -> None:
    price = BOOK.find("gpt-5.4", "openai", NOW)
    assert [band.above for band in price.bands] == [0, 272_000]
    assert price.cost(Usage(input_tokens=300_000)) == 2 * 300_000 * price.rates.input // 10**6


def test_batch_rates_apply_where_known_and_full_rates_where_not() -> None:
    price = priced(TIERED)
    short, long = Usage(input_tokens=1000, output_tokens=1000), Usage(input_tokens=300_000)
    assert price.cost(short, batch=True) == picodollars("0.00875")
    assert price.cost(long, batch=True) == price.cost(long)
    catalogued = BOOK.find("gpt-4o", "openai", NOW)
    assert catalogued.cost(short, batch=True) * 2 == catalogued.cost(short)


@pytest.mark.parametrize(
    ("clock", "rate"),
    [
        ("00:00", "1.00"),
        ("00:29", "1.00"),
        ("00:30", "0.66"),
        ("01:00", "1.32"),
        ("03:59", "1.32"),
        ("04:00", "0.66"),
        ("21:59", "0.66"),
        ("22:00", "1.00"),
    ],
)
def test_the_time_of_day_decides(clock: str, rate: str) -> None:
    at = datetime.fromisoformat(f"2026-11-22T{clock}:00+00:00")
    assert priced(HOURS).cost(Usage(input_tokens=10**6), at=at) == picodollars(rate)


def test_other_time_zones_are_understood_and_none_is_refused() -> None:
    price, usage = priced(HOURS), Usage(input_tokens=10**6)
    beijing = datetime.fromisoformat("2026-11-22T10:00:00+08:00")
    assert price.cost(usage, at=beijing) == picodollars("1.32")
    with pytest.raises(ValueError, match="time zone"):
        price.cost(usage, at=datetime(2026, 11, 22, 3))


def test_without_a_time_the_dearest_hour_counts() -> None:
    assert priced(HOURS).cost(Usage(output_tokens=10**6)) == picodollars("3.96")
    assert priced(HOURS).worst(prompt_tokens=0, output_tokens=10**6) == picodollars("3.96")


def test_the_catalogues_hours_come_along() -> None:
    price = BOOK.find("deepseek-v4-pro", "deepseek", NOW)
    peak = datetime(2026, 11, 23, 2, tzinfo=UTC)
    usage = Usage(input_tokens=1000, output_tokens=1000)
    assert price.cost(usage, at=peak) == 2 * price.cost(usage, at=peak.replace(hour=20))
    assert price.valid_from == "2026-08-17"
    assert BOOK.find("deepseek-v4-pro", "deepseek", date(2026, 8, 1)).valid_from is None


def test_a_fee_per_request_and_reasoning_of_its_own_price() -> None:
    price = priced(
        '[models.m]\ninput = 1\noutput = 2\nreasoning = 3\nrequest = "0.005"\ncache_write = "1.25"'
    )
    usage = Usage(output_tokens=10, reasoning_tokens=4, cache_write_1h_tokens=5)
    assert price.cost(usage) == picodollars("0.005") + 12_000_000 + 12_000_000 + 10_000_000
    assert price.worst(prompt_tokens=0, output_tokens=10) == picodollars("0.005") + 30_000_000


def test_explicit_caches_are_reserved_only_where_asked_for() -> None:
    claude = BOOK.find("claude-3-5-sonnet", "anthropic", MID_2024)
    plain = claude.worst(prompt_tokens=10**6, output_tokens=0)
    cached = claude.worst(prompt_tokens=10**6, output_tokens=0, cache_write=True)
    assert (plain, cached) == (picodollars("3"), picodollars("6"))
    automatic = BOOK.find("gpt-6-sol", "openai", NOW)
    assert automatic.worst(prompt_tokens=10**6, output_tokens=0) > automatic.cost(
        Usage(input_tokens=10**6)
    )


PRICES = st.sampled_from(
    [
        priced(TIERED),
        priced(HOURS),
        priced('[models.m]\ninput = "0.0028"\noutput = "0.0011"\ncached_input = "0.9"'),
        BOOK.find("claude-3-5-sonnet", "anthropic", MID_2024),
        BOOK.find("deepseek-v4-pro", "deepseek", NOW),
        BOOK.find("gpt-6-sol", "openai", NOW),
    ]
)


@given(
    price=PRICES,
    kinds=st.lists(st.integers(0, 400_000), min_size=5, max_size=5),
    outputs=st.lists(st.integers(0, 9000), min_size=1, max_size=5),
    slack=st.integers(0, 10**5),
    batch=st.booleans(),
    minute=st.none() | st.integers(0, 1439),
)
def test_no_usage_within_its_bounds_costs_more_than_the_worst_case(
    price: Price, kinds: list[int], outputs: list[int], slack: int, batch: bool, minute: int | None
) -> None:
    usage = Usage(
        input_tokens=kinds[0],
        cached_input_tokens=kinds[1],
        cache_write_5m_tokens=kinds[2],
        cache_write_1h_tokens=kinds[3],
        output_tokens=sum(outputs),
        reasoning_tokens=min(kinds[4], sum(outputs)),
    )
    worst = price.worst(
        prompt_tokens=usage.prompt_tokens + slack,
        output_tokens=max(outputs),
        n=len(outputs),
        batch=batch,
        cache_write=True,
    )
    at = None if minute is None else datetime(2026, 1, 1, *divmod(minute, 60), tzinfo=UTC)
    assert price.cost(usage, at=at, batch=batch) <= worst


@given(
    rate=st.decimals(min_value="0.001", max_value="1000", places=9),
    tokens=st.integers(0, 10**9),
)
def test_costs_are_exact_and_rounded_up_once(rate: Decimal, tokens: int) -> None:
    price = priced(f'[models.m]\ninput = "{rate}"\noutput = 1')
    exact = Fraction(rate) * tokens * 10**6
    cost = price.cost(Usage(input_tokens=tokens))
    assert 0 <= cost - exact < 1


@given(PRICES)
def test_a_price_is_stored_and_read_back_whole(price: Price) -> None:
    assert Price.from_dict(json.loads(json.dumps(price.to_dict()))) == price


def test_free_models_are_free() -> None:
    price = priced("[models.m]\ninput = 0\noutput = 0")
    assert price.free
    assert price.worst(prompt_tokens=10**6, output_tokens=10**6, n=100) == 0
    assert not priced(TIERED).free


def test_the_whole_catalogue_is_read_and_agrees_with_its_own_arithmetic() -> None:
    """Every model of the catalogue, both libraries' arithmetic side by side."""
    from genai_prices import Usage as TheirUsage
    from genai_prices.data_snapshot import get_snapshot

    compared = 0
    for vendor in get_snapshot().providers:
        if vendor.id in ("openrouter", "novita", "together"):
            continue
        for model in vendor.models:
            price = find_in_catalogue(model.id, vendor.id, NOW)
            if price is None:
                continue
            for prompt in (1000, 150_000, 250_001, 300_000):
                theirs = model.calc_price(
                    TheirUsage(input_tokens=prompt, output_tokens=777),
                    vendor,
                    genai_request_timestamp=NOW,
                )
                ours = price.cost(Usage(input_tokens=prompt, output_tokens=777), at=NOW)
                expected = picodollars(theirs.total_price)
                found = price.source.rpartition("/")[2]
                if found == model.id:
                    assert ours == expected, (vendor.id, model.id)
                    compared += 1
    assert compared > 2000


def test_no_price_of_the_catalogue_survives_being_a_million_times_off() -> None:
    from genai_prices.data_snapshot import get_snapshot

    seen = 0
    for vendor in get_snapshot().providers:
        for model in vendor.models:
            price = find_in_catalogue(model.id, vendor.id, NOW)
            if price is None:
                continue
            for rate in (price.rates.input, price.rates.output, price.rates.cached_input):
                if rate:
                    assert LOWEST <= rate <= HIGHEST
                    assert rate * 10**6 > HIGHEST
                    assert Fraction(rate, 10**6) < LOWEST
                    seen += 1
    assert seen > 3000


def test_examples_of_gpu_hours_and_a_persons_own(tmp_path: Path) -> None:
    assert BOOK.gpu_hours["H100-SXM"] == picodollars("3.78")
    file = tmp_path / "prices.toml"
    file.write_text('[gpu_hours]\n"H100-SXM" = "2"\n"my box" = 0.11')
    hours = PriceBook.load(file).gpu_hours
    assert (hours["H100-SXM"], hours["my box"]) == (picodollars("2"), picodollars("0.11"))
    assert "L4" in hours


def test_a_missing_price_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriceFileError, match=r"nowhere.toml cannot be read: No such file"):
        PriceBook.load(tmp_path / "nowhere.toml")
