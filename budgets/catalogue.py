"""Prices of genai-prices, the maintained catalogue, as exact Prices. Imported only when asked.

The catalogue works offline and knows cached, batch and tiered rates and times of day, but nearly
no history: where it names no start date, `valid_from` is None and the price is the one it knew
when it was published. What it cannot say stands here as data: from when an id could be asked for
(data/births.toml), from when hours were peak hours and on which days, and which batch APIs bill
half for every model.

Rows that are no price per token of input and output, and rows outside the bounds of a credible
price, are left out, so that the model counts as unpriced.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
BIRTHS = Path(__file__).parent / "data" / "births.toml"


class Halved(NamedTuple):
    """A batch API that bills half, for every model."""

    since: date
    kinds: tuple[str, ...]


HALVED = {
    # https://www.anthropic.com/news/message-batches-api; discounts of cache and batch add up.
    "anthropic": Halved(date(2024, 10, 8), tuple(_KEYS)),
    # https://platform.openai.com/docs/changelog, 2024-04-15; no rate for cached input is named.
    "openai": Halved(date(2024, 4, 15), ("input", "output")),
}
"""By vendor, where the catalogue has no batch price of a model."""


class Peak(NamedTuple):
    """From when a catalogue's daily window is one of peak hours, and of weekdays only."""

    since: date = date.min
    weekdays_since: date = date.max


_V4_PEAK = Peak(date(2026, 8, 17), date(2026, 8, 23))
PEAKS = {("deepseek", (60, 240)): _V4_PEAK, ("deepseek", (360, 600)): _V4_PEAK}
"""https://api-docs.deepseek.com/quick_start/pricing: what a catalogue's window cannot say."""

_PER_THOUSAND_REQUESTS = "requests_kcount"


def find_in_catalogue(model: str, provider: str, on: datetime | date) -> Price | None:
    """The catalogue's price of `model` at `provider` on a date; None where it has none."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        vendor, info = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    moment = _moment(on)
    born = born_on(vendor.id, model)
    if born is not None and moment.date() < born:
        return None
    bands, valid_from = _bands(info, moment, vendor.id)
    if not bands:
        return None
    return Price(
        model=model,
        provider=provider,
        source=f"genai-prices {version('genai-prices')}: {vendor.id}/{info.id}",
        bands=bands,
        valid_from=None if valid_from is None else valid_from.isoformat(),
        note="" if valid_from else "the catalogue names no date from which this price holds",
        tiers=_service_tiers(info, moment),
    )


@cache
def _births() -> dict[str, dict[str, date]]:
    return tomllib.loads(BIRTHS.read_text(encoding="utf-8"))


_DATED = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)(?!\d)")


def born_on(vendor: str, model: str) -> date | None:
    """The first day on which a model could be asked for; None where it is not known."""
    name = model.lower().rsplit("/", 1)[-1]
    for births in (_births().get(vendor, {}), *_births().values()):
        if name in births:
            return births[name]
    for found in _DATED.finditer(name):
        with contextlib.suppress(ValueError):
            return date(int(found[1]), int(found[2]), int(found[3]))
    return None


def vendors(model: str, on: datetime | date) -> list[str]:
    """The vendor that the catalogue takes `model` to be of, where it has a price for it."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        vendor = get_snapshot().find_provider(model.lower(), None, None)
    except LookupError:
        return []
    return [vendor.id] if find_in_catalogue(model, vendor.id, on) else []


def _bands(info: ModelInfo, on: datetime, vendor: str) -> tuple[tuple[Band, ...], date | None]:
    """The bands in force on a date, and since when."""
    from genai_prices.types import ModelPrice, StartDateConstraint, TimeOfDateConstraint

    if isinstance(info.prices, ModelPrice):
        return _tiers(info.prices, _batch(info, info.prices, on, vendor), None), None
    if not info.prices:
        return (), None
    base, since = info.prices[0].prices, None
    windows: list[Band] = []
    for row in info.prices:
        if isinstance(row.constraint, TimeOfDateConstraint):
            window = (_minute(row.constraint.start_time), _minute(row.constraint.end_time))
            peak = PEAKS.get((vendor, window), Peak())
            if on.date() >= peak.since:
                weekdays = on.date() >= peak.weekdays_since
                batch = _batch(info, row.prices, on, vendor)
                windows += _tiers(row.prices, batch, window, weekdays)
        elif row.constraint is None or row.constraint.active(on):
            base = row.prices
            if isinstance(row.constraint, StartDateConstraint):
                since = row.constraint.start_date
    bands = _tiers(base, _batch(info, base, on, vendor), None)
    return ((*bands, *windows) if bands else ()), since


def _batch(info: ModelInfo, standard: ModelPrice, on: datetime, vendor: str) -> ModelPrice | None:
    """`standard` as the batch API bills it on a date, where that is known."""
    for when, price in _variants(info, standard, on):
        if when == {"processing": "batch"}:
            return price
    halved = HALVED.get(vendor)
    if halved is None or on.date() < halved.since:
        return None
    return _half(standard, halved.kinds)


def _variants(
    info: ModelInfo, standard: ModelPrice, on: datetime
) -> Iterator[tuple[dict[str, str], ModelPrice]]:
    from genai_prices.types import ModelPrice

    for variant in info.price_variants or ():
        if variant.constraint is None or variant.constraint.active(on):
            yield dict(variant.when), ModelPrice(**{**vars(standard), **vars(variant.prices)})


def _half(price: ModelPrice, kinds: tuple[str, ...]) -> ModelPrice:
    from genai_prices.types import ModelPrice, Tier, TieredPrices

    def half(value: Decimal | TieredPrices) -> Decimal | TieredPrices:
        if isinstance(value, TieredPrices):
            tiers = [Tier(start=tier.start, price=tier.price / 2) for tier in value.tiers]
            return TieredPrices(base=value.base / 2, tiers=tiers)
        return value / 2

    halves = {
        _KEYS[kind]: half(getattr(price, _KEYS[kind]))
        for kind in kinds
        if getattr(price, _KEYS[kind]) is not None
    }
    return ModelPrice(**{**vars(price), **halves})


def _service_tiers(info: ModelInfo, on: datetime) -> dict[str, tuple[Band, ...]]:
    """The bands of each service tier, by the word for it in an answer."""
    from genai_prices.types import ModelPrice, StartDateConstraint

    if isinstance(info.prices, ModelPrice):
        standard = info.prices
    else:
        active = [
            row for row in info.prices
            if row.constraint is None
            or (isinstance(row.constraint, StartDateConstraint) and row.constraint.active(on))
        ]  # fmt: skip
        standard = active[-1].prices if active else info.prices[0].prices
    found = {}
    for when, price in _variants(info, standard, on):
        word = when.get("service_tier") or when.get("speed") or ""
        bands = _tiers(price, None, None) if word not in ("", "default") else ()
        if bands:
            found[word] = bands
    return found


def _tiers(
    price: ModelPrice,
    batch: ModelPrice | None,
    window: tuple[int, int] | None,
    weekdays: bool = False,
) -> tuple[Band, ...]:
    """One band for each context length from which other rates apply; empty: no usable price."""
    starts = {0} | _starts(price) | (_starts(batch) if batch is not None else set())
    bands = []
    for above in sorted(starts):
        rates = _rates(price, above)
        if rates is None:
            return ()
        bands.append(
            Band(rates, None if batch is None else _rates(batch, above), above, window, weekdays)
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
    per_thousand = _value(price, _PER_THOUSAND_REQUESTS, above) or Decimal(0)
    return Rates.of(given, picodollars(per_thousand / 1000))


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
