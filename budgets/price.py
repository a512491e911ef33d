"""What one model costs at one provider on one date: exact rates, rounded up once per request.

A Price's bands are complete sets of rates; the last band that matches a request bills all of its
tokens: a band may need a prompt above a length (tiers) or a time of day (peak hours, UTC). Rates
are picodollars per *million* tokens, so that a price of $0.0028 per million times one token is
exact.

`cost` prices a known Usage; `worst` bounds a request before it is sent, at the dearest rate that
could apply to it. Wherever something is unknown (no batch rate, no cached rate, no time of day
given) the dearer reading is taken, so that the ledger never counts too little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from budgets.money import picodollars, usd
from budgets.usage import Usage

PER_MILLION = 1_000_000
EXPLICIT_CACHE = frozenset({"anthropic"})
"""Providers that write prompt caches only where a request asks for it. Everywhere else a known
cache-write rate may apply to any prompt."""

LOWEST = picodollars("0.001")
HIGHEST = picodollars("1000")
"""Bounds of a credible rate, in picodollars per million tokens. In November 2026 the catalogue
of genai-prices spans 0.0011 to 600."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Picodollars per million tokens of each kind; `request` is picodollars per request."""

    input: int
    cached_input: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int
    request: int = 0

    @classmethod
    def of(cls, given: Mapping[str, int], request: int = 0) -> Rates:
        """The rates of a row that gives `input`, `output` and what else it knows by kind.

        A kind that is not given costs what it can cost at most: cached tokens the full input, an
        hour's cache write twice the input (as Anthropic prices it) where writes are priced at all.
        """
        full = given["input"]
        write = given.get("cache_write", full)
        hour = max(write, 2 * full) if "cache_write" in given else full
        return cls(
            input=full,
            cached_input=given.get("cached_input", full),
            cache_write_5m=write,
            cache_write_1h=given.get("cache_write_1h", hour),
            output=given["output"],
            reasoning=given.get("reasoning", given["output"]),
            request=request,
        )

    def cost(self, usage: Usage) -> int:
        """Picodollars for `usage`, rounded up."""
        tokens = (
            usage.input_tokens * self.input
            + usage.cached_input_tokens * self.cached_input
            + usage.cache_write_5m_tokens * self.cache_write_5m
            + usage.cache_write_1h_tokens * self.cache_write_1h
            + (usage.output_tokens - usage.reasoning_tokens) * self.output
            + usage.reasoning_tokens * self.reasoning
        )
        return self.request - (-tokens // PER_MILLION)

    def worst(self, prompt_tokens: int, output_tokens: int, cache_write: bool) -> int:
        """Picodollars at the dearest kind for each token, rounded up."""
        prompt = max(self.input, self.cached_input)
        if cache_write:
            prompt = max(prompt, self.cache_write_5m, self.cache_write_1h)
        tokens = prompt_tokens * prompt + output_tokens * max(self.output, self.reasoning)
        return self.request - (-tokens // PER_MILLION)

    def to_dict(self) -> dict[str, str]:
        """Dollars per million tokens (`request`: dollars per request) as decimal strings."""
        return {field.name: usd(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, str]) -> Rates:
        """The inverse of `to_dict`."""
        return cls(**{field.name: picodollars(raw[field.name]) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Band:
    """Rates with the condition under which they apply."""

    rates: Rates
    batch: Rates | None = None
    """Rates of the provider's batch API; None: not known, the full rates are taken."""
    above: int = 0
    """Applies to prompts of more tokens than this, to all of their tokens."""
    window: tuple[int, int] | None = None
    """Minutes of the day in UTC, from (inclusive) and until (exclusive); may pass midnight."""
    weekdays: bool = False
    """Whether the window is one of Mondays to Fridays (UTC) only."""

    def covers(self, minute: int, weekday: int = 0) -> bool:
        """Whether `minute` of the day in UTC (`weekday`: 0 is Monday) lies in the window."""
        if self.window is None:
            return True
        if self.weekdays and weekday > 4:
            return False
        start, end = self.window
        return start <= minute < end if start <= end else minute >= start or minute < end

    def chosen(self, batch: bool) -> Rates:
        return self.batch if batch and self.batch is not None else self.rates

    def to_dict(self) -> dict[str, Any]:
        return {
            "rates": self.rates.to_dict(),
            "batch": None if self.batch is None else self.batch.to_dict(),
            "above": self.above,
            "window": None if self.window is None else list(self.window),
            "weekdays": self.weekdays,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Band:
        return cls(
            rates=Rates.from_dict(raw["rates"]),
            batch=None if raw["batch"] is None else Rates.from_dict(raw["batch"]),
            above=raw["above"],
            window=None if raw["window"] is None else (raw["window"][0], raw["window"][1]),
            weekdays=raw.get("weekdays", False),
        )


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs at one provider; see the module's contract."""

    model: str
    provider: str
    source: str
    """Where the price was read: the file or library, and the page that it names."""
    bands: tuple[Band, ...]
    """The first has no condition."""
    valid_from: str | None = None
    """The first day (ISO date, UTC) it is known to hold; None: the source names none."""
    valid_until: str | None = None
    """The first day it no longer holds; None: not known to have ended."""
    note: str = ""
    tiers: Mapping[str, tuple[Band, ...]] = field(default_factory=dict)
    """Bands of other service tiers (priority, flex, fast), by the word an answer has for them."""

    @property
    def rates(self) -> Rates:
        """The rates that apply where no condition does."""
        return self.bands[0].rates

    @property
    def free(self) -> bool:
        """Whether nothing at all is billed (a server of one's own, stated as zero)."""
        return all(
            not any(getattr(band.rates, field.name) for field in fields(Rates))
            for band in self.bands
        )

    def cost(self, usage: Usage, *, at: datetime | None = None, batch: bool = False) -> int:
        """Picodollars for `usage`, exact and rounded up once.

        `at` is when the request was billed (with a time zone); without it the dearest time of
        day is taken. Which tier applies follows from the prompt's length.
        """
        if len(self.bands) == 1:
            return self.bands[0].chosen(batch).cost(usage)
        prompt = usage.prompt_tokens
        if at is not None:
            minute = _minute_of_day(at)
            return self._at(minute, prompt, _weekday(at)).chosen(batch).cost(usage)
        return max(
            self._at(minute, prompt).chosen(batch).cost(usage) for minute in self._turning_points()
        )

    def at_tier(self, tier: str) -> Price | None:
        """This price at another service tier ("": the standard one); None where it is not known."""
        if not tier:
            return self
        bands = self.tiers.get(tier)
        return None if bands is None else replace(self, bands=bands)

    def cheapest(self, usage: Usage) -> int:
        """The least that any known rate, at any time of day, makes of `usage`."""
        every = [*self.bands, *(band for bands in self.tiers.values() for band in bands)]
        rates = [one for band in every for one in (band.rates, band.batch) if one is not None]
        return min(one.cost(usage) for one in rates)

    def worst(
        self,
        *,
        prompt_tokens: int,
        output_tokens: int,
        n: int = 1,
        batch: bool = False,
        cache_write: bool = False,
    ) -> int:
        """Picodollars that a request can cost at most.

        `prompt_tokens` bounds the prompt, `output_tokens` each of the `n` choices. Every band
        that a prompt up to that length can fall into, at any time of day, is considered.
        `cache_write`: the request asks the provider to write its prompt cache.
        """
        writes = cache_write or self.provider not in EXPLICIT_CACHE
        return max(
            band.chosen(batch).worst(prompt_tokens, output_tokens * n, writes)
            for band in self.bands
            if not band.above or prompt_tokens > band.above
        )

    def _at(self, minute: int, prompt_tokens: int, weekday: int = 0) -> Band:
        for band in reversed(self.bands):
            if (not band.above or prompt_tokens > band.above) and band.covers(minute, weekday):
                return band
        raise AssertionError("the first band has no condition")

    def _turning_points(self) -> set[int]:
        """The minutes at which another window may begin to apply."""
        return {0} | {minute for band in self.bands for minute in band.window or ()}

    def to_dict(self) -> dict[str, Any]:
        """A JSON document from which `from_dict` makes the same price; money as strings."""
        return {
            "model": self.model,
            "provider": self.provider,
            "source": self.source,
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
            "note": self.note,
            "bands": [band.to_dict() for band in self.bands],
            "tiers": {
                tier: [band.to_dict() for band in bands] for tier, bands in self.tiers.items()
            },
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Price:
        """The inverse of `to_dict`."""
        return cls(
            model=raw["model"],
            provider=raw["provider"],
            source=raw["source"],
            bands=tuple(Band.from_dict(band) for band in raw["bands"]),
            valid_from=raw["valid_from"],
            valid_until=raw["valid_until"],
            note=raw["note"],
            tiers={
                tier: tuple(Band.from_dict(band) for band in bands)
                for tier, bands in raw.get("tiers", {}).items()
            },
        )


def _weekday(at: datetime) -> int:
    return at.astimezone(UTC).weekday()


def _minute_of_day(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone; prices by the time of day need one")
    at = at.astimezone(UTC)
    return at.hour * 60 + at.minute
