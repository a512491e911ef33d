"""The PriceBook: prices by model, provider and date, from three sources.

It looks in the user's own file first, then in the dated file that comes along
(budgets/data/prices.toml), then in genai-prices. A model that none of them prices is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

from budgets.catalogue import find_in_catalogue, vendors
from budgets.price import Price
from budgets.price_file import parse_gpu_hours, parse_prices, read_file

_DATA = Path(__file__).parent / "data"
PRICES = _DATA / "prices.toml"
GPU_HOURS = _DATA / "gpu_hours.toml"


class Unpriced(Exception):
    """A model whose price is not known; the text says what to do."""


class PriceBook:
    """Prices by model, provider and date, from up to three sources.

    >>> from datetime import datetime, UTC
    >>> from budgets import PriceBook, Usage, usd
    >>> book = PriceBook.load()
    >>> price = book.find("gpt-4o", "openai", datetime(2024, 7, 31, tzinfo=UTC))
    >>> usd(price.cost(Usage(input_tokens=1_000, output_tokens=100)))
    '0.0065'
    """

    def __init__(
        self,
        users: Iterable[Price],
        own: Iterable[Price],
        snapshot: str,
        gpu_hours: Mapping[str, int] | None = None,
    ) -> None:
        self._users = tuple(users)
        self._own = tuple(own)
        self.snapshot = snapshot
        """Names everything that can change a price: library version, our files, the user's."""
        self.gpu_hours: Mapping[str, int] = dict(gpu_hours or {})
        """Picodollars per hour of one GPU by name: examples, and the user's own over them."""

    @classmethod
    def load(cls, user_file: Path | None = None) -> PriceBook:
        """The book with `user_file` (TOML) over it; raises price_file.PriceFileError."""
        own, examples = PRICES.read_bytes(), GPU_HOURS.read_bytes()
        digest = hashlib.sha256(f"genai-prices {version('genai-prices')}".encode())
        users: list[Price] = []
        gpu_hours = parse_gpu_hours(examples, "orch's examples of GPU hours")
        for content in (own, examples):
            digest.update(b"\0" + content)
        if user_file is not None:
            content = read_file(user_file)
            digest.update(b"\0" + content)
            users = parse_prices(content, str(user_file))
            gpu_hours |= parse_gpu_hours(content, str(user_file))
        snapshot = digest.hexdigest()[:16]
        return cls(users, parse_prices(own, "orch's dated prices"), snapshot, gpu_hours)

    def providers(self, model: str, on: datetime | date) -> list[str]:
        """The providers at which a price of `model` is known on a date, nearest source first.

        A person's row that names no provider stands for any, as "".
        """
        iso = _iso_day(on)
        own = [
            price.provider
            for price in (*self._users, *self._own)
            if _holds(price, model, price.provider, iso)
        ]
        return list(dict.fromkeys([*own, *vendors(model, on)]))

    def find(self, model: str, provider: str, on: datetime | date) -> Price:
        """The price of `model` at `provider` on a date; raises Unpriced."""
        found = self.stated(model, provider, on) or self.listed(model, provider, on)
        if found is None:
            raise Unpriced(_what_to_do(model, provider, _iso_day(on)))
        return found

    def stated(self, model: str, provider: str, on: datetime | date) -> Price | None:
        """The price that the person's own file states, None where it has none."""
        return _in_force(self._users, model, provider, _iso_day(on))

    def listed(self, model: str, provider: str, on: datetime | date) -> Price | None:
        """The published price, whatever the person's own file says; None where none is known."""
        day = _iso_day(on)
        own = _in_force(self._own, model, provider, day)
        if own is not None:
            return own
        dated = _rows(self._own, model, provider)
        if any(price.valid_from is not None and day < price.valid_from for price in dated):
            # Before the first known day, or between two known spans: nobody knows.
            return None
        found = find_in_catalogue(model, provider, on)
        return _last(dated) if dated and found is None else found


def _rows(prices: Iterable[Price], model: str, provider: str) -> list[Price]:
    """Every dated row of a model, the earliest first."""
    named = [
        price for price in prices
        if price.model.lower() == model.lower() and price.provider in ("", provider)
    ]  # fmt: skip
    return sorted(named, key=lambda price: price.valid_from or "")


def _last(dated: Sequence[Price]) -> Price:
    """The last price that is known, with its age said."""
    last = dated[-1]
    return replace(last, note=f"the last known price; not checked since {last.valid_until}")


def _in_force(prices: Iterable[Price], model: str, provider: str, day: str) -> Price | None:
    """Where rows overlap the one that came into force last holds."""
    valid = [price for price in prices if _holds(price, model, provider, day)]
    return max(valid, key=lambda price: price.valid_from or "", default=None)


def _iso_day(on: datetime | date) -> str:
    day = on.astimezone(UTC) if isinstance(on, datetime) and on.tzinfo else on
    return day.strftime("%Y-%m-%d")


def _holds(price: Price, model: str, provider: str, day: str) -> bool:
    return (
        price.model.lower() == model.lower()
        and price.provider in ("", provider)
        and (price.valid_from is None or price.valid_from <= day)
        and (price.valid_until is None or day < price.valid_until)
    )


def _what_to_do(model: str, provider: str, day: str) -> str:
    return (
        f"no price is known for model {model!r} at provider {provider!r} on {day}, and nothing is "
        "sent under a budget without one; put its dollars per million tokens into a file such as "
        f'prices.toml, `[models."{model}"]` with `input = "3.00"` and `output = "15.00"` '
        "(0 for a server that bills nothing per token), and give that file as `prices`"
    )
