"""What a provider's response headers say about its limits, as plain numbers.

Understood: `x-ratelimit-{limit,remaining,reset}-{requests,tokens,...}` (OpenAI, Azure, Groq, ...;
resets such as `6m0s`, `120ms`, `59.7`), `anthropic-ratelimit-{requests,tokens,input-tokens,
output-tokens}-{limit,remaining,reset}` (resets as RFC 3339 moments), `retry-after` (seconds or an
HTTP date, or `30s` as some write) and `retry-after-ms`, `x-queue-time` (TGI). Names are lower case.
A header that cannot be read is as if it were not there: a provider's slip must not stop a run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MINUTE_S = 60.0
DAY_S = 86_400.0
LONGEST_WAIT_S = 31 * DAY_S

KINDS = ("requests", "tokens", "input-tokens", "output-tokens")

_NAMES: list[tuple[str, bool, str, str, str]] = [
    (kind, exact, name.format("limit"), name.format("remaining"), name.format("reset"))
    for kind in KINDS
    for name, exact in (
        (f"x-ratelimit-{{}}-{kind}", True),
        (f"anthropic-ratelimit-{kind}-{{}}", False),
    )
]
"""Kind, whether its resets are exact, and the names of the headers with limit, rest and reset."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_HALF_AN_HOUR_S = 1800.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer said about one limit."""

    kind: str
    """One of KINDS."""
    limit: float | None
    remaining: float | None
    reset_s: float | None
    """Seconds until the limit is whole again."""
    period_s: float = MINUTE_S
    """The span that the limit is for."""


def read_limits(headers: Mapping[str, str], now: datetime | None = None) -> list[Reading]:
    """Every limit that `headers` tell of; `now` (default: the clock) turns moments to seconds."""
    readings = []
    for kind, exact, limit_name, remaining_name, reset_name in _NAMES:
        limit = _number(headers.get(limit_name))
        remaining = _number(headers.get(remaining_name))
        if limit is None and remaining is None:
            continue
        reset_s = parse_reset(headers.get(reset_name, ""), now)
        # Anthropic's limits are per minute, and its resets too coarse to tell.
        period_s = _period(limit, remaining, reset_s) if exact else MINUTE_S
        readings.append(Reading(kind, limit, remaining, reset_s, period_s))
    split = {"input-tokens", "output-tokens"} <= {reading.kind for reading in readings}
    # Beside its split limits Anthropic repeats the tightest of them as `tokens`.
    return [reading for reading in readings if not (split and reading.kind == "tokens")]


def _period(limit: float | None, remaining: float | None, reset_s: float | None) -> float:
    """A day where the reset shows that the limit refills so slowly, else a minute.

    A limit that refills evenly and lacks `used` of `limit` is whole after used / limit of its
    period: 1 request of 10,000 used and 8.64 s to go is a limit per day.
    """
    if limit and remaining is not None and reset_s:
        used = limit - remaining
        if used > 0 and reset_s * limit / used > _HALF_AN_HOUR_S:
            return DAY_S
    return MINUTE_S


def parse_reset(text: str, now: datetime | None = None) -> float | None:
    """Seconds from `6m0s`, `120ms`, `59.7`, or until an RFC 3339 moment; None: unreadable."""
    text = text.strip()
    if _DURATION.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    number = _number(text)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _until(moment, now)


def parse_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait by `retry-after-ms` or `retry-after`; None where neither can be read.

    What asks to wait for more than a month is a slip, and counts as unreadable.
    """
    millis = _number(headers.get("retry-after-ms"))
    seconds = (
        _wait(headers.get("retry-after", "").strip(), now) if millis is None else millis / 1000
    )
    return seconds if seconds is not None and seconds <= LONGEST_WAIT_S else None


QUEUED: Mapping[str, float] = {"x-queue-time": 0.001}
"""Headers in which a server says how long a request waited in its queue, and their unit in seconds:
TGI."""


def queued_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a request waited in its server's queue; None where it does not say."""
    told = [(_number(headers.get(name)), unit) for name, unit in QUEUED.items()]
    return next((value * unit for value, unit in told if value is not None), None)


def _wait(text: str, now: datetime | None) -> float | None:
    seconds = _number(text)
    if seconds is not None:
        return seconds
    if _DURATION.fullmatch(text):
        return parse_reset(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return _until(moment, now)


def _until(moment: datetime, now: datetime | None) -> float:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) and value >= 0 else None
