"""Prices of genai-prices, the maintained catalogue, as exact Prices. Imported only when asked.

The catalogue works offline and knows cached, batch and tiered rates and times of day, but nearly
no history: where it names no start date, `valid_from` is None and the price is the one it knew
when it was published. Where a date and a time of day both decide, it cannot say so, and its
peak hours are taken for every date: dearer, never cheaper.

Rows that are no price per token of input and output, and rows outside the bounds of a credible
price, are left out, so that the model counts as unpriced.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING

from budgets.money import picodollars
from budgets.price import HIGHEST, LOWEST, Band, Price, Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
}
_PER_THOUSAND_REQUESTS = "requests_kcount"


def find_in_catalogue(model: str, provider: str, on: datetime | date) -> Price | None:
    """The catalogue's price of `model` at `provider` on a date; None where it has none."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        vendor, info = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    bands, valid_from = _bands(info, _moment(on))
    if not bands:
        return None
    return Price(
        model=model,
        provider=provider,
        source=f"genai-prices {version('genai-prices')}: {vendor.id}/{info.id}",
        bands=bands,
        valid_from=None if valid_from is None else valid_from.isoformat(),
        note="" if valid_from else "the catalogue names no date from which this price holds",
    )


def vendors(model: str, on: datetime | date) -> list[str]:
    """The vendor that the catalogue takes `model` to be of, where it has a price for it."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        vendor = get_snapshot().find_provider(model.lower(), None, None)
    except LookupError:
        return []
    return [vendor.id] if find_in_catalogue(model, vendor.id, on) else []


def _bands(info: ModelInfo, on: datetime) -> tuple[tuple[Band, ...], date | None]:
    """The bands in force on a date, and since when."""
    from genai_prices.types import ModelPrice, StartDateConstraint, TimeOfDateConstraint

    if isinstance(info.prices, ModelPrice):
        return _tiers(info.prices, _batch(info, info.prices, on), None), None
    if not info.prices:
        return (), None
    base, since = info.prices[0].prices, None
    windows: list[Band] = []
    for row in info.prices:
        if isinstance(row.constraint, TimeOfDateConstraint):
            window = (_minute(row.constraint.start_time), _minute(row.constraint.end_time))
            windows += _tiers(row.prices, _batch(info, row.prices, on), window)
        elif row.constraint is None or row.constraint.active(on):
            base = row.prices
            if isinstance(row.constraint, StartDateConstraint):
                since = row.constraint.start_date
    bands = _tiers(base, _batch(info, base, on), None)
    return ((*bands, *windows) if bands else ()), since


def _batch(info: ModelInfo, standard: ModelPrice, on: datetime) -> ModelPrice | None:
    """`standard` as the batch API bills it on a date, where the catalogue says."""
    from genai_prices.types import ModelPrice

    for variant in info.price_variants or ():
        active = variant.constraint is None or variant.constraint.active(on)
        if active and variant.when == {"processing": "batch"}:
            return ModelPrice(**{**vars(standard), **vars(variant.prices)})
    return None


def _tiers(
    price: ModelPrice, batch: ModelPrice | None, window: tuple[int, int] | None
) -> tuple[Band, ...]:
    """One band for each context length from which other rates apply; empty: no usable price."""
    starts = {0} | _starts(price) | (_starts(batch) if batch is not None else set())
    bands = []
    for above in sorted(starts):
        rates = _rates(price, above)
        if rates is None:
            return ()
        bands.append(
            Band(rates, None if batch is None else _rates(batch, above), above=above, window=window)
        )
    return tuple(bands)


def _starts(price: ModelPrice) -> set[int]:
    from genai_prices.types import TieredPrices

    values = (getattr(price, key) for key in _KEYS.values())
    return {
        tier.start for value in values if isinstance(value, TieredPrices) for tier in value.tiers
    }


def _rates(price: ModelPrice, above: int) -> Rates | None:
    """The rates for prompts just longer than `above`."""
    given: dict[str, int] = {}
    for kind, key in _KEYS.items():
        value = _value(price, key, above)
        if value is not None:
            given[kind] = picodollars(value)
    if "input" not in given or "output" not in given:
        return None
    if any(rate and not LOWEST <= rate <= HIGHEST for rate in given.values()):
        return None
    full = given["input"]
    write = given.get("cache_write", full)
    return Rates(
        input=full,
        cached_input=given.get("cached_input", full),
        cache_write_5m=write,
        cache_write_1h=given.get(
            "cache_write_1h", max(write, 2 * full) if "cache_write" in given else full
        ),
        output=given["output"],
        reasoning=given.get("reasoning", given["output"]),
        request=picodollars((_value(price, _PER_THOUSAND_REQUESTS, above) or Decimal(0)) / 1000),
    )


def _value(price: ModelPrice, key: str, above: int) -> Decimal | None:
    """Dollars per unit under `key` for prompts just longer than `above`."""
    from genai_prices.types import TieredPrices

    value: Decimal | TieredPrices | None = getattr(price, key)
    if not isinstance(value, TieredPrices):
        return value
    chosen = value.base
    for tier in value.tiers:
        if above >= tier.start:
            chosen = tier.price
    return chosen


def _moment(on: datetime | date) -> datetime:
    if not isinstance(on, datetime):
        return datetime(on.year, on.month, on.day, tzinfo=UTC)
    return on if on.tzinfo else on.replace(tzinfo=UTC)


def _minute(moment: time) -> int:
    if moment.tzinfo is not None:
        moment = datetime.combine(date(2000, 1, 1), moment).astimezone(UTC).timetz()
    return moment.hour * 60 + moment.minute
