"""Rate-limit headers in the shapes that providers send them."""

from datetime import UTC, datetime, timedelta

import pytest

from budgets.headers import DAY_S, MINUTE_S, Reading, parse_reset, parse_retry_after, read_limits

NOW = datetime(2026, 11, 22, 19, 52, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("1d", 86400),
        ("59.70", 59.7),
        ("0", 0),
        ("2026-11-22T19:53:02Z", 60),
        ("2026-11-22T19:52:02.250000+00:00", 0.25),
        ("2026-11-22T19:00:00Z", 0),
        ("soon", None),
        ("", None),
        ("6m0", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_resets(text: str, seconds: float | None) -> None:
    assert parse_reset(text, NOW) == pytest.approx(seconds) if seconds else True
    assert (parse_reset(text, NOW) is None) == (seconds is None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "17"}, 17),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Sun, 22 Nov 2026 19:52:32 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 19:00:00 GMT"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "99"}, 1.5),
        ({"retry-after": "later"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, NOW) == seconds


def test_retry_after_as_a_date_is_reckoned_from_the_clock() -> None:
    at = datetime.now(UTC) + timedelta(seconds=120)
    text = at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    found = parse_retry_after({"retry-after": text})
    assert found is not None and 100 < found <= 120


def test_openai() -> None:
    headers = {
        "x-ratelimit-limit-requests": "5000",
        "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-reset-requests": "12ms",
        "x-ratelimit-limit-tokens": "450000",
        "x-ratelimit-remaining-tokens": "449000",
        "x-ratelimit-reset-tokens": "133ms",
    }
    assert read_limits(headers, NOW) == [
        Reading("requests", 5000, 4999, 0.012, MINUTE_S),
        Reading("tokens", 450000, 449000, 0.133, MINUTE_S),
    ]


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "period"),
    [
        ("10000", "9999", "8.64s", DAY_S),
        ("14400", "14370", "2m59.56s", DAY_S),
        ("200", "0", "24h0m0s", DAY_S),
        ("500", "499", "120ms", MINUTE_S),
        ("500", "0", "1m0s", MINUTE_S),
        ("500", "500", "0s", MINUTE_S),
        ("500", "499", "gone", MINUTE_S),
    ],
)
def test_limits_per_day_are_told_from_limits_per_minute(
    limit: str, remaining: str, reset: str, period: float
) -> None:
    (reading,) = read_limits(
        {
            "x-ratelimit-limit-requests": limit,
            "x-ratelimit-remaining-requests": remaining,
            "x-ratelimit-reset-requests": reset,
        },
        NOW,
    )
    assert reading.period_s == period


def test_anthropic() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "48",
        "anthropic-ratelimit-requests-reset": "2026-11-22T19:52:05Z",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-input-tokens-remaining": "27000",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-22T19:52:08Z",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "8000",
        "anthropic-ratelimit-output-tokens-reset": "2026-11-22T19:52:02Z",
        "anthropic-ratelimit-tokens-limit": "38000",
        "anthropic-ratelimit-tokens-remaining": "35000",
        "anthropic-ratelimit-tokens-reset": "2026-11-22T19:52:02Z",
    }
    assert read_limits(headers, NOW) == [
        Reading("requests", 50, 48, 3, MINUTE_S),
        Reading("input-tokens", 30000, 27000, 6, MINUTE_S),
        Reading("output-tokens", 8000, 8000, 0, MINUTE_S),
    ]


def test_what_cannot_be_read_is_as_if_it_were_not_there() -> None:
    assert read_limits({"x-ratelimit-limit-requests": "lots"}, NOW) == []
    assert read_limits({}, NOW) == []
