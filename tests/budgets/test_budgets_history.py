"""Real ids on real days: what they cost then, and no price where nobody could have paid one."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from budgets.catalogue import born_on
from budgets.money import usd
from budgets.price_book import PriceBook, Unpriced
from budgets.usage import Usage

BOOK = PriceBook.load()

# Provider, model, and on three days: dollars per million tokens of input and output at the
# standard rate (the dearest hour), or None before it could be asked for. Sources: the pages that
# budgets/data/prices.toml and births.toml name, and genai-prices.
HISTORY: list[tuple[str, str, dict[str, tuple[str, str] | None]]] = [
    ("deepseek", "deepseek-chat", {
        "2024-04-30": None, "2024-07-31": ("0.14", "0.28"), "2025-11-15": ("0.28", "0.42")}),
    ("deepseek", "deepseek-chat", {
        "2025-02-20": ("0.27", "1.10"), "2025-06-01": ("0.27", "1.10"),
        "2025-09-15": ("0.56", "1.68")}),
    ("deepseek", "deepseek-reasoner", {
        "2024-12-31": None, "2025-02-01": ("0.55", "2.19"), "2025-11-15": ("0.28", "0.42")}),
    ("deepseek", "deepseek-coder", {
        "2024-06-01": None, "2024-07-31": ("0.14", "0.28"), "2025-01-15": ("0.14", "0.28")}),
    ("openai", "gpt-4o", {
        "2024-05-01": None, "2024-07-31": ("5.00", "15.00"), "2025-11-15": ("2.50", "10.00")}),
    ("openai", "gpt-4o-2024-08-06", {
        "2024-08-01": None, "2024-09-01": ("2.50", "10.00"), "2025-11-15": ("2.50", "10.00")}),
    ("openai", "gpt-4o-mini", {
        "2024-07-01": None, "2024-07-31": ("0.15", "0.60"), "2026-11-01": ("0.15", "0.60")}),
    ("openai", "gpt-3.5-turbo", {
        "2023-02-01": None, "2023-08-01": ("1.50", "2.00"), "2024-07-31": ("0.50", "1.50")}),
    ("openai", "gpt-4", {
        "2023-03-01": None, "2023-08-01": ("30.00", "60.00"), "2024-07-31": ("30.00", "60.00")}),
    ("openai", "gpt-4-turbo", {
        "2024-04-01": None, "2024-07-31": ("10.00", "30.00"), "2025-11-15": ("10.00", "30.00")}),
    ("openai", "o1", {
        "2024-12-01": None, "2025-01-15": ("15.00", "60.00"), "2025-11-15": ("15.00", "60.00")}),
    ("openai", "o1-mini", {
        "2024-09-01": None, "2024-10-01": ("3.00", "12.00"), "2025-03-01": ("1.10", "4.40")}),
    ("openai", "o3", {
        "2025-04-01": None, "2025-05-01": ("10.00", "40.00"), "2025-07-01": ("2.00", "8.00")}),
    ("openai", "gpt-4.1", {
        "2025-04-01": None, "2025-05-01": ("2.00", "8.00"), "2026-11-01": ("2.00", "8.00")}),
    ("openai", "gpt-5", {
        "2025-08-01": None, "2025-09-01": ("1.25", "10.00"), "2026-11-01": ("1.25", "10.00")}),
    ("anthropic", "claude-3-haiku-20240307", {
        "2024-03-10": None, "2024-07-31": ("0.25", "1.25"), "2025-11-15": ("0.25", "1.25")}),
    ("anthropic", "claude-3-5-sonnet-20241022", {
        "2024-10-01": None, "2024-11-01": ("3.00", "15.00"), "2025-06-01": ("3.00", "15.00")}),
    ("anthropic", "claude-3-5-haiku-20241022", {
        "2024-10-30": None, "2024-11-15": ("1.00", "5.00"), "2025-06-01": ("0.80", "4.00")}),
    ("anthropic", "claude-opus-4-20250514", {
        "2025-05-01": None, "2025-06-01": ("15.00", "75.00"), "2026-01-15": ("15.00", "75.00")}),
    ("anthropic", "claude-sonnet-4-5", {
        "2025-09-01": None, "2025-10-15": ("3.00", "15.00"), "2026-11-01": ("3.00", "15.00")}),
    ("gemini", "gemini-1.5-flash", {
        "2024-05-01": None, "2024-07-31": ("0.35", "1.05"), "2025-03-01": ("0.075", "0.30")}),
    ("mistral", "mistral-large-2407", {
        "2024-07-01": None, "2024-08-15": ("3.00", "9.00"), "2024-11-15": ("2.00", "6.00")}),
    ("mistral", "open-mistral-nemo", {
        "2024-07-01": None, "2024-08-15": ("0.30", "0.30"), "2024-11-15": ("0.15", "0.15")}),
    ("mistral", "mistral-large-latest", {
        "2024-02-01": None, "2024-08-01": ("3.00", "9.00"), "2025-03-01": ("2.00", "6.00")}),
    ("groq", "llama-3.3-70b-versatile", {
        "2024-12-01": None, "2025-01-15": ("0.59", "0.79"), "2025-11-15": ("0.59", "0.79")}),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "model", "days"), HISTORY)
def test_what_it_cost_then(
    provider: str, model: str, days: dict[str, tuple[str, str] | None]
) -> None:
    assert len(days) == 3
    for day, wanted in days.items():
        on = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
        if wanted is None:
            with pytest.raises(Unpriced):
                BOOK.find(model, provider, on)
            continue
        price = BOOK.find(model, provider, on)
        dearest = max((band.rates for band in price.bands if not band.above),
                      key=lambda rates: rates.output)  # fmt: skip
        assert (usd(dearest.input), usd(dearest.output)) == wanted, f"{model} on {day}"


def test_an_id_says_or_the_table_knows_when_it_was_born() -> None:
    assert born_on("anthropic", "claude-3-haiku-20240307") == date(2024, 3, 13)
    assert born_on("openai", "gpt-4o-2024-11-20") == date(2024, 11, 20)
    assert born_on("openrouter", "openai/gpt-4o") == date(2024, 5, 13)
    assert born_on("openai", "a-model-of-9999-99-99") is None


def test_weekends_are_off_peak_where_the_vendor_says_so() -> None:
    used = Usage(input_tokens=1_000_000)
    price = BOOK.find("deepseek-v4-flash", "deepseek", datetime(2026, 10, 1, tzinfo=UTC))
    at_two = {day: price.cost(used, at=datetime(2026, 10, day, 2, tzinfo=UTC)) for day in (2, 3, 4)}
    at_noon = price.cost(used, at=datetime(2026, 10, 2, 12, tzinfo=UTC))
    assert at_two[3] == at_two[4] == at_noon < at_two[2], "Friday is peak, the weekend is not"
    before = BOOK.find("deepseek-v4-flash", "deepseek", datetime(2026, 8, 1, tzinfo=UTC))
    assert len(before.bands) == 1, "flat before peak hours were brought in"


def test_older_claudes_cost_half_in_a_batch() -> None:
    used = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    for model in ("claude-3-haiku-20240307", "claude-opus-4-20250514"):
        price = BOOK.find(model, "anthropic", datetime(2025, 11, 15, tzinfo=UTC))
        assert 2 * price.cost(used, batch=True) == price.cost(used)
    early = BOOK.find("claude-3-haiku-20240307", "anthropic", datetime(2024, 7, 31, tzinfo=UTC))
    assert early.cost(used, batch=True) == early.cost(used), "there was no batch API yet"


def test_service_tiers_are_priced_where_they_are_known() -> None:
    price = BOOK.find("gpt-5", "openai", datetime(2026, 11, 1, tzinfo=UTC))
    used = Usage(input_tokens=1_000_000)
    costs = {tier: price.at_tier(tier) for tier in ("flex", "", "priority", "quantum")}
    assert costs["quantum"] is None
    flex, standard, priority = (costs[tier] for tier in ("flex", "", "priority"))
    assert flex and standard and priority
    assert flex.cost(used) < standard.cost(used) < priority.cost(used)
    assert type(price).from_dict(price.to_dict()) == price
