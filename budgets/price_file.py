"""The TOML in which prices are written: a person's own, and ours with dates.

    [models."my-model"]            # one table a model, or [[models."my-model"]] for several dates
    provider = "openai"            # optional: only at this provider
    input = "3.00"                 # dollars per million tokens; strings or numbers, read exactly
    output = "15.00"
    cached_input = "0.30"          # default: as input
    cache_write = "3.75"           # written for five minutes; default: as input
    cache_write_1h = "6.00"        # default: twice the input, where cache_write is given
    reasoning = "15.00"            # default: as output
    request = "0.005"              # dollars per request; default: 0
    valid_from = 2024-05-13        # first day
    valid_until = 2024-10-02       # first day no longer
    source = "https://..."
    batch = { input = "1.50", output = "7.50" }
    tiers = [{ above = 272000, input = "6.00", output = "22.50" }]
    hours = [{ from = 00:30:00, until = 16:30:00, input = "6.00", output = "30.00" }]   # UTC

    [gpu_hours]
    "my-gpu" = "2.50"              # dollars per hour of one GPU

A tier or a span of hours gives its own `input` and `output`; what else it leaves out falls back
as in the main table, from its own values. Every rate must lie between $0.001 and $1,000 per
million (zero is allowed): within these bounds no price a million times off, written per token or
the reverse, can pass. `unusual = true` in a model's table lifts them for that model.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from budgets.given import read_given
from budgets.money import MoneyError, picodollars, usd
from budgets.price import HIGHEST, LOWEST, Band, Price, Rates

MILLION = 1_000_000
_RATES = ("input", "output", "cached_input", "cache_write", "cache_write_1h", "reasoning")
_CONDITIONS = {"tiers": {"above"}, "hours": {"from", "until"}, "batch": set[str]()}
_MODEL = {
    *_RATES,
    "request",
    "provider",
    "valid_from",
    "valid_until",
    "source",
    "note",
    "unusual",
    *_CONDITIONS,
}


class PriceFileError(ValueError):
    """A price file that cannot be used; the text names the file, the place and the remedy."""


def read_file(path: Path) -> bytes:
    """The bytes of a price file; raises PriceFileError."""
    try:
        return read_given(path)
    except OSError as error:
        raise PriceFileError(f"the price file {path} cannot be read: {error.strerror}") from error


def parse_prices(content: bytes, name: str) -> list[Price]:
    """Every price in a TOML document called `name`; raises PriceFileError."""
    models = _document(content, name).get("models", {})
    if not isinstance(models, dict):
        raise PriceFileError(f'{name}: `models` must hold tables such as [models."NAME"]')
    prices = []
    for model, rows in models.items():
        for number, row in enumerate(rows if isinstance(rows, list) else [rows], start=1):
            where = f'{name}, [models."{model}"]'
            if isinstance(rows, list):
                where += f" number {number}"
            prices.append(_Row(where, row).price(model, name))
    return prices


def parse_gpu_hours(content: bytes, name: str) -> dict[str, int]:
    """Picodollars per hour of one GPU by its name; raises PriceFileError."""
    hours = _document(content, name).get("gpu_hours", {})
    if not isinstance(hours, dict):
        raise PriceFileError(f'{name}: `gpu_hours` must hold lines such as "H100" = "2.50"')
    result = {}
    for gpu, value in hours.items():
        raw = value.get("usd_per_hour") if isinstance(value, dict) else value
        result[gpu] = _amount(raw, f"{name}, [gpu_hours], {gpu!r}")
    return result


def _document(content: bytes, name: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(content.decode(), parse_float=Decimal)
    except UnicodeDecodeError as error:
        raise PriceFileError(f"{name} is not UTF-8 text: {error}") from error
    except RecursionError:
        raise PriceFileError(f"{name} is nested too deeply to hold prices") from None
    except ValueError as error:  # also a number of thousands of digits
        raise PriceFileError(f"{name} is not valid TOML: {error}") from error
    unknown = set(document) - {"models", "gpu_hours"}
    if unknown:
        raise PriceFileError(
            f'{name}: unknown key {sorted(unknown)[0]!r}; prices are written as [models."NAME"] '
            "and [gpu_hours]"
        )
    return document


class _Row:
    """One table of one model."""

    def __init__(self, where: str, row: Any) -> None:
        if not isinstance(row, dict):
            raise PriceFileError(f'{where} must be a table with `input = "..."`, `output = "..."`')
        self.where = where
        self.row: Mapping[str, Any] = row
        self._known(row, _MODEL, where)

    def price(self, model: str, name: str) -> Price:
        source = self._text("source")
        return Price(
            model=model,
            provider=self._text("provider"),
            source=f"{name}: {source}" if source else name,
            bands=tuple(self._bands()),
            valid_from=self._day("valid_from"),
            valid_until=self._day("valid_until"),
            note=self._text("note"),
        )

    def _bands(self) -> list[Band]:
        batch = self.row.get("batch")
        bands = [
            Band(
                rates=self._rates(self.row, self.where),
                batch=None if batch is None else self._part(batch, "batch", None),
            )
        ]
        for number, tier in enumerate(self._list("tiers"), start=1):
            rates = self._part(tier, "tiers", number)
            above = tier["above"]
            if type(above) is not int or above < 1:
                raise PriceFileError(
                    f"{self.where}, tiers {number}: `above` must be a number of prompt tokens"
                )
            bands.append(Band(rates, above=above))
        bands.sort(key=lambda band: band.above)
        if self._list("hours") and self._list("tiers"):
            raise PriceFileError(f"{self.where}: `tiers` and `hours` cannot be combined")
        for number, span in enumerate(self._list("hours"), start=1):
            rates = self._part(span, "hours", number)
            window = (self._minute(span["from"]), self._minute(span["until"]))
            bands.append(Band(rates, window=window))
        return bands

    def _rates(self, values: Mapping[str, Any], where: str) -> Rates:
        given = {
            kind: _amount(values[kind], f"{where}, {kind}") for kind in _RATES if kind in values
        }
        for kind in ("input", "output"):
            if kind not in given:
                raise PriceFileError(
                    f'{where} lacks `{kind}`: write {kind} = "..." in dollars per million tokens'
                )
        if not self.row.get("unusual", False):
            for kind, rate in given.items():
                _credible(rate, f"{where}, {kind}")
        return Rates.of(given, _amount(self.row.get("request", 0), f"{self.where}, request"))

    def _part(self, part: Any, key: str, number: int | None) -> Rates:
        where = f"{self.where}, {key}" + (f" {number}" if number else "")
        if not isinstance(part, dict):
            raise PriceFileError(f"{where} must be a table")
        self._known(part, {*_RATES, *_CONDITIONS[key]}, where)
        for needed in _CONDITIONS[key]:
            if needed not in part:
                raise PriceFileError(f"{where} lacks `{needed}`")
        return self._rates(part, where)

    @staticmethod
    def _known(values: Mapping[str, Any], known: set[str], where: str) -> None:
        unknown = sorted(set(values) - known)
        if unknown:
            raise PriceFileError(
                f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}"
            )

    def _list(self, key: str) -> list[Any]:
        value = self.row.get(key, [])
        if not isinstance(value, list):
            raise PriceFileError(f"{self.where}: `{key}` must be a list of tables")
        return value

    def _text(self, key: str) -> str:
        value = self.row.get(key, "")
        if not isinstance(value, str):
            raise PriceFileError(f"{self.where}: `{key}` must be text")
        return value

    def _day(self, key: str) -> str | None:
        value = self.row.get(key)
        if isinstance(value, str):
            try:
                value = date.fromisoformat(value)
            except ValueError:
                raise PriceFileError(
                    f"{self.where}: `{key}` must be a date such as 2024-05-13"
                ) from None
        if isinstance(value, datetime) or not isinstance(value, date | None):
            raise PriceFileError(f"{self.where}: `{key}` must be a date such as 2024-05-13")
        return None if value is None else value.isoformat()

    def _minute(self, value: Any) -> int:
        if isinstance(value, str):
            try:
                value = time.fromisoformat(value)
            except ValueError:
                value = None
        if not isinstance(value, time) or value.second or value.microsecond:
            raise PriceFileError(
                f"{self.where}: `from` and `until` must be whole minutes in UTC such as 16:30:00"
            )
        return value.hour * 60 + value.minute


def _amount(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise PriceFileError(f'{where}: {value!r} is not an amount; write dollars such as "3.00"')
    try:
        amount = picodollars(value)
    except MoneyError as error:
        raise PriceFileError(f"{where}: {error}") from None
    if amount < 0:
        raise PriceFileError(f"{where}: {value} is negative; a price is zero or more")
    return amount


def _credible(rate: int, where: str) -> None:
    if rate and not LOWEST <= rate <= HIGHEST:
        factor, unit = (
            (MILLION, "per token") if rate < LOWEST else (1, "per billion tokens or in cents")
        )
        guess = f"; written per million it is {usd(rate * factor)}" if factor > 1 else ""
        raise PriceFileError(
            f"{where}: ${usd(rate)} per million tokens is not a credible price (between "
            f"${usd(LOWEST)} and ${usd(HIGHEST)} are): is it {unit}{guess}? Prices are dollars "
            "per million tokens; `unusual = true` in the model's table accepts it as it is"
        )
