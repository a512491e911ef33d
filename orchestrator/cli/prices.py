"""orch prices: What a model costs, on which date, from which source."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import json_option

if TYPE_CHECKING:
    from budgets.price import Band, Price, Rates
    from budgets.price_book import PriceBook


@click.command()
@click.argument("model", required=False)
@click.option("--provider", help="At this provider; default: wherever a price is known.")
@click.option("--on", metavar="DATE", help="On this date, such as 2024-07-31; default: today.")
@click.option(
    "--prices",
    "file",
    type=click.Path(path_type=Path),
    envvar="ORCH_PRICES",
    metavar="FILE",
    help="TOML with prices of your own.",
)
@json_option
def prices(
    model: str | None, provider: str | None, on: str | None, file: Path | None, as_json: bool
) -> None:
    """The price of MODEL, with its source and date; without MODEL, examples of GPU hours."""
    from budgets.price_book import PriceBook, Unpriced
    from budgets.price_file import PriceFileError
    from orchestrator.errors import ConfigError

    try:
        book = PriceBook.load(file)
        if model is None:
            _show_gpu_hours(book, as_json)
            return
        day = _day(on)
        providers = [provider] if provider else book.providers(model, day) or ["any"]
        found = [book.find(model, name, day) for name in providers]
    except (PriceFileError, Unpriced) as error:
        raise ConfigError(f"{error}.") from None
    if as_json:
        document: dict[str, Any] = {
            "model": model,
            "on": day.date().isoformat(),
            "snapshot": book.snapshot,
            "prices": [price.to_dict() for price in found],
        }
        click.echo(json.dumps(document, indent=2))
        return
    for price in found:
        for line in describe(price, day):
            click.echo(line)


def describe(price: Price, day: datetime) -> list[str]:
    """A price in lines for a person."""
    at = f" at {price.provider}" if price.provider else ""
    lines = [f"{price.model}{at} on {day:%Y-%m-%d}, dollars per million tokens"]
    for band in price.bands:
        lines += _band(band)
    lines.append(f"  source: {price.source}")
    if price.valid_from or price.valid_until:
        since = f"from {price.valid_from} " if price.valid_from else ""
        until = f"until {price.valid_until} (no longer on that day)" if price.valid_until else "on"
        lines.append(f"  holds: {since}{until}")
    if price.note:
        lines.append(f"  note: {price.note}")
    return lines


def _band(band: Band) -> list[str]:
    lines = []
    if band.above:
        lines.append(f"  all tokens of prompts above {band.above:,} tokens:")
    if band.window is not None:
        start, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in band.window)
        lines.append(f"  from {start} to {end} UTC:")
    indent = "    " if lines else "  "
    lines += [indent + line for line in _rates(band.rates)]
    if band.batch is not None:
        lines += [f"{indent}batch {line}" for line in _rates(band.batch)]
    return lines


def _rates(rates: Rates) -> list[str]:
    from budgets.money import usd

    shown = [("input", rates.input)]
    if rates.cached_input != rates.input:
        shown.append(("cached input", rates.cached_input))
    if rates.cache_write_5m != rates.input:
        shown.append(("cache write, 5 minutes", rates.cache_write_5m))
        shown.append(("cache write, 1 hour", rates.cache_write_1h))
    shown.append(("output", rates.output))
    if rates.reasoning != rates.output:
        shown.append(("reasoning", rates.reasoning))
    lines = [f"{name}: ${usd(rate)}" for name, rate in shown]
    return lines + ([f"each request: ${usd(rates.request)}"] if rates.request else [])


def _show_gpu_hours(book: PriceBook, as_json: bool) -> None:
    from budgets.money import usd

    hours = {name: usd(hour) for name, hour in sorted(book.gpu_hours.items())}
    if as_json:
        click.echo(json.dumps({"snapshot": book.snapshot, "gpu_hours": hours}, indent=2))
        return
    click.echo("Examples of dollars per hour of one GPU; give your own with --gpu-hour:")
    width = max(map(len, hours))
    for name, hour in hours.items():
        click.echo(f"  {name.ljust(width)}  ${hour}")
    click.echo("For a model: orch prices MODEL [--provider P] [--on DATE]")


def _day(text: str | None) -> datetime:
    from orchestrator.errors import ConfigError

    if text is None:
        return datetime.now(UTC)
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--on is {text!r}; give a date such as 2024-07-31.") from None
    return day if day.tzinfo else day.replace(tzinfo=UTC)
