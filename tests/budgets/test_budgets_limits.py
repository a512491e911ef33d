"""The limiter in virtual time: windows, pauses, learning, concurrency."""

import asyncio
from bisect import bisect_left
from collections.abc import Mapping

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from budgets.concurrency import Concurrency
from budgets.limiter import CannotClear, Limiter
from budgets.profile import Profile, ProfileError
from budgets.usage import Usage
from tests.budgets.budgets_virtual_time import run_virtual


def now() -> float:
    return asyncio.get_running_loop().time()


def limiter(**options: object) -> Limiter:
    return Limiter(clock=asyncio.get_running_loop().time, **options)  # type: ignore[arg-type]


async def send(
    limits: Limiter, requests: int, *, tokens: tuple[int, int] = (10, 10), latency_s: float = 0.0
) -> list[float]:
    """Dispatch requests that all succeed after `latency_s`; the times at which each was sent."""
    sent: list[float] = []

    def answer(sent_at: float) -> None:
        limits.done(outcome="ok", sent_at=sent_at)

    for _ in range(requests):
        await limits.admit(*tokens)
        sent.append(now())
        asyncio.get_running_loop().call_later(latency_s, answer, now())
    await asyncio.sleep(latency_s + 0.1)
    assert limits.in_flight == 0
    return sent


def most_in_a_window(times: list[float], window_s: float = 60.0) -> int:
    return max(
        bisect_left(times, start + window_s - 1e-6) - index for index, start in enumerate(times)
    )


@settings(max_examples=20, deadline=None)
@given(limit=st.integers(1, 3000), latency_s=st.floats(0, 3))
def test_no_minute_sees_more_requests_than_the_limit(limit: int, latency_s: float) -> None:
    async def main() -> list[float]:
        limits = limiter(requests_per_minute=limit, concurrency="5000")
        return await send(limits, min(3 * limit, 1500), latency_s=latency_s)

    sent = run_virtual(main())
    assert most_in_a_window(sent) <= limit
    if len(sent) == 3 * limit:
        assert sent[-1] - sent[0] <= 60.0 * 3 * 1.03, "and nearly all of it is used"


@settings(max_examples=40, deadline=None)
@given(
    limit=st.integers(1000, 10**6), sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=60)
)
def test_no_minute_sees_more_tokens_than_the_limit_and_one_request(
    limit: int, sizes: list[int]
) -> None:
    async def main() -> list[tuple[float, int]]:
        limits = limiter(tokens_per_minute=limit, concurrency="100000")
        sent = []
        for size in sizes * 20:
            await limits.admit(size, 0)
            sent.append((now(), size))
        return sent

    sent = run_virtual(main())
    times = [at for at, _ in sent]
    for index, start in enumerate(times):
        end = bisect_left(times, start + 60.0 - 1e-6)
        assert sum(size for _, size in sent[index:end]) <= limit * (1 + 1 / 60) + max(sizes)
    total = sum(size for _, size in sent)
    assert times[-1] - times[0] <= 60.0 * total / limit * 1.05 + 1


def test_a_request_larger_than_a_minute_is_paid_off_before_the_next() -> None:
    async def main() -> list[float]:
        limits = limiter(output_tokens_per_minute=8000, concurrency="64")
        sent = []
        for _ in range(3):
            await limits.admit(1, 16_000)
            sent.append(now())
        return sent

    first, second, third = run_virtual(main())
    assert second - first == pytest.approx(120, rel=0.03)
    assert third - second == pytest.approx(120, rel=0.03)


def test_a_fixed_concurrency_is_never_passed() -> None:
    async def main() -> tuple[int, float, str]:
        limits = limiter(concurrency="7")
        most = 0
        waiting = ""

        async def watch() -> None:
            nonlocal most, waiting
            while True:
                most = max(most, limits.in_flight)
                waiting = waiting or limits.limited_by()
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        sent = await send(limits, 70, latency_s=1.0)
        watching.cancel()
        return most, sent[-1] - sent[0], waiting

    most, took, waiting = run_virtual(main())
    assert most == 7
    assert took == pytest.approx(9.0)
    assert waiting == "concurrency (7, as set)"


def test_auto_doubles_while_it_is_used_and_stops_where_nothing_waits() -> None:
    async def main() -> tuple[int, int]:
        limits = limiter(concurrency="auto")
        await send(limits, 2000, latency_s=1.0)
        busy = limits.concurrency
        idle = limiter(concurrency="auto")
        for _ in range(500):
            await idle.admit(1, 1)
            idle.done(outcome="ok", sent_at=now())
        return busy, idle.concurrency

    busy, idle = run_virtual(main())
    assert busy > 256
    assert idle == 8, "one at a time proves nothing about eight"


def test_one_congestion_is_one_cut_and_its_echoes_are_not() -> None:
    concurrency = Concurrency.parse("auto")
    concurrency.start_at(100)
    concurrency.congested(sent_at=90.0, now=100.0, why="rate limited")
    assert concurrency.limit == 70
    for late in range(50):
        concurrency.congested(sent_at=90.0 + late / 10, now=100.0 + late / 10, why="rate limited")
    assert concurrency.limit == 70
    concurrency.congested(sent_at=122.0, now=123.0, why="timeout")
    assert concurrency.limit == 49
    whys = [change.why for change in concurrency.history]
    assert (whys.count("rate limited"), whys.count("timeout")) == (1, 1)


@pytest.mark.parametrize(
    ("text", "least", "most", "start"),
    [("auto", 1, 1024, 8), ("64", 64, 64, 64), ("8-256", 8, 256, 8), (" 3-3 ", 3, 3, 3)],
)
def test_concurrency_is_read(text: str, least: int, most: int, start: int) -> None:
    read = Concurrency.parse(text)
    assert not read.full(0, 0, 1, now=0.0), "one request may always be sent"
    assert (read.least, read.most, read.limit) == (least, most, start)


@pytest.mark.parametrize("text", ["", "0", "-3", "9-3", "0-5", "many", "1.5", "4-"])
def test_what_is_no_concurrency_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write auto, a number such as 64, or a range such as"):
        Concurrency.parse(text)


def test_one_429_pauses_everything_for_what_it_asks() -> None:
    async def main() -> tuple[float, str]:
        limits = limiter(concurrency="50")
        began = now()
        for _ in range(20):
            await limits.admit(1, 1)
        limits.done(outcome="rate_limited", sent_at=began, retry_after_s=17)
        waiting = asyncio.create_task(limits.admit(1, 1))
        await asyncio.sleep(1)
        said = limits.limited_by()
        for _ in range(19):
            limits.done(outcome="ok", sent_at=began)
        await waiting
        return now() - began, said

    waited, said = run_virtual(main())
    assert waited == pytest.approx(17)
    assert said == "a 429 with Retry-After 17 s"


def test_429s_without_retry_after_back_off_and_their_echoes_do_not() -> None:
    async def main() -> list[float]:
        limits = limiter(concurrency="50")
        waits = []
        for _ in range(5):
            sent_at = now()
            for _ in range(10):
                await limits.admit(1, 1)
            await asyncio.sleep(0.5)
            begun = now()
            for _ in range(9):
                limits.done(outcome="rate_limited", sent_at=sent_at)
            await limits.admit(1, 1)
            limits.done(outcome="rate_limited", sent_at=sent_at)  # an echo, after the pause
            limits.done(outcome="other", sent_at=now())
            waits.append(now() - begun)
            await asyncio.sleep(0.001)
        return waits

    assert run_virtual(main()) == pytest.approx([1, 2, 4, 8, 16])


def test_a_pause_nobody_waits_for_stops_with_its_reason() -> None:
    async def main() -> None:
        limits = limiter(patience_s=600)
        await limits.admit(1, 1)
        limits.done(outcome="rate_limited", sent_at=now(), retry_after_s=7200)
        await limits.admit(1, 1)

    with pytest.raises(CannotClear, match="Retry-After 7200 s: the pause of 7200 s is longer"):
        run_virtual(main())


OPENAI = {
    "x-ratelimit-limit-requests": "600",
    "x-ratelimit-remaining-requests": "599",
    "x-ratelimit-reset-requests": "100ms",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-tokens": "29000",
    "x-ratelimit-reset-tokens": "2s",
}


def test_limits_are_learnt_from_headers() -> None:
    async def main() -> dict[str, float]:
        limits = limiter()
        await limits.admit(10, 990)
        limits.done(outcome="ok", sent_at=now(), headers=OPENAI)
        return limits.limits

    assert run_virtual(main()) == {"requests": 600, "tokens": 30_000}


def test_a_limit_given_by_hand_is_a_ceiling_and_a_profile_is_not() -> None:
    async def main() -> tuple[float, float]:
        by_hand = limiter(requests_per_minute=100, tokens_per_minute=10**6)
        await by_hand.admit(1, 1)
        by_hand.done(outcome="ok", sent_at=now(), headers=OPENAI)
        assert by_hand.limits["tokens"] == 30_000, "headers may lower it"
        named = Limiter.from_profile(
            "openai-tier1", model="gpt-4o", clock=asyncio.get_running_loop().time
        )
        await named.admit(1, 1)
        named.done(outcome="ok", sent_at=now(), headers=OPENAI)
        return by_hand.limits["requests"], named.limits["requests"]

    assert run_virtual(main()) == (100, 600)


def test_what_the_server_says_is_left_counts() -> None:
    async def main() -> float:
        limits = limiter(requests_per_minute=600, concurrency="50")
        await limits.admit(1, 1)
        spent = {
            **OPENAI,
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "60s",
        }
        limits.done(outcome="ok", sent_at=now(), headers=spent)
        begun = now()
        await limits.admit(1, 1)
        return now() - begun

    assert run_virtual(main()) == pytest.approx(0.1, rel=0.05), "one tenth of a second refills one"


def test_a_daily_limit_throttles_nothing_until_it_is_used_up() -> None:
    daily = {
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-reset-requests": "8.64s",
    }

    async def main() -> float:
        limits = limiter(concurrency="50")
        await limits.admit(1, 1)
        limits.done(outcome="ok", sent_at=now(), headers=daily)
        begun = now()
        await send(limits, 200)
        took = now() - begun
        await limits.admit(1, 1)
        empty = {
            **daily,
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "23h",
        }
        limits.done(outcome="ok", sent_at=now(), headers=empty)
        with pytest.raises(CannotClear, match="daily limit of requests"):
            await limits.admit(1, 1)
        return took

    assert run_virtual(main()) < 1


def test_only_what_was_used_counts_where_the_provider_counts_so() -> None:
    async def main(counts: str) -> float:
        limits = limiter(output_tokens_per_minute=80_000, output_counts=counts, concurrency="100")
        begun = now()
        for _ in range(300):
            permit = await limits.admit(10, 4000)
            await asyncio.sleep(0.01)
            usage = Usage(input_tokens=10, output_tokens=400)
            limits.done(outcome="ok", sent_at=now(), usage=usage, permit=permit)
        return now() - begun

    asked, used = run_virtual(main("asked")), run_virtual(main("used"))
    assert asked == pytest.approx(60 * 300 * 4000 / 80_000, rel=0.05)
    assert used == pytest.approx(60 * 300 * 400 / 80_000, rel=0.15)


def test_tokens_read_from_a_cache_count_only_where_the_provider_counts_them() -> None:
    async def main(counts: bool) -> float:
        limits = limiter(
            input_tokens_per_minute=60_000, cached_input_counts=counts, concurrency="100"
        )
        begun = now()
        for _ in range(100):
            permit = await limits.admit(1000, 1)
            usage = Usage(input_tokens=100, cached_input_tokens=900, output_tokens=1)
            limits.done(outcome="ok", sent_at=now(), usage=usage, permit=permit)
        return now() - begun

    assert run_virtual(main(True)) == pytest.approx(99, abs=2)
    assert run_virtual(main(False)) == pytest.approx(9, abs=2)


class Provider:
    """A provider with a token bucket of its own, which refuses what is above it."""

    def __init__(self, per_minute: float, headers: bool, retry_after: bool) -> None:
        self.limit = per_minute
        self.level = per_minute
        self.at = now()
        self.headers = headers
        self.retry_after = retry_after
        self.refused = 0

    def answer(self, limits: Limiter, sent_at: float) -> None:
        self.level = min(self.limit, self.level + (now() - self.at) * self.limit / 60)
        self.at = now()
        ok = self.level >= 1
        if ok:
            self.level -= 1
        else:
            self.refused += 1
        told: Mapping[str, str] = (
            {
                "x-ratelimit-limit-requests": f"{self.limit:g}",
                "x-ratelimit-remaining-requests": f"{int(self.level)}",
                "x-ratelimit-reset-requests": f"{(self.limit - self.level) * 60 / self.limit:.3f}s",
            }
            if self.headers
            else {}
        )
        wait = 2.0 if self.retry_after and not ok else None
        limits.done(
            outcome="ok" if ok else "rate_limited",
            sent_at=sent_at,
            headers=told,
            retry_after_s=wait,
        )


@pytest.mark.parametrize(
    ("headers", "retry_after", "refused", "share"),
    [(True, True, 0, 0.95), (False, True, 4000, 0.9), (False, False, 4000, 0.9)],
)
def test_an_unknown_limit_is_found_and_used(
    headers: bool, retry_after: bool, refused: int, share: float
) -> None:
    """Ten minutes against a limit of 1,200 a minute that the limiter is not told of."""

    async def main() -> tuple[int, int]:
        limits = limiter(concurrency="auto")
        provider = Provider(1200, headers, retry_after)
        begun, sent = now(), 0
        while now() - begun < 600:
            await limits.admit(100, 100)
            sent += 1
            asyncio.get_running_loop().call_later(0.8, provider.answer, limits, now())
        return sent - provider.refused, provider.refused

    served, turned_away = run_virtual(main())
    assert turned_away <= refused
    assert served >= share * 1200 * 10


def test_profiles_name_their_limits_source_and_provider() -> None:
    names = Profile.names()
    assert {f"openai-tier{tier}" for tier in range(1, 6)} <= set(names)
    assert {f"anthropic-tier{tier}" for tier in range(1, 5)} <= set(names)
    assert {"deepseek", "local"} <= set(names)
    for name in names:
        profile = Profile.load(name)
        assert profile.provider and profile.source
    openai = Profile.load("openai-tier1")
    assert openai.limits("gpt-4o-2024-05-13")["tokens_per_minute"] == 30_000
    assert openai.limits("gpt-4o-mini-2024-07-18")["tokens_per_minute"] == 200_000
    assert Profile.load("local").limits("anything") == {}


def test_an_unknown_profile_lists_the_known() -> None:
    with pytest.raises(ProfileError, match="no limits named 'openai-tier9'; known are anthropic-"):
        Profile.load("openai-tier9")


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("rpm = 3", "unknown key 'rpm'"),
        ("[default]\nrequests_per_minute = 0", "must be a number above zero"),
        ("[default]\nrequests_per_minute = true", "must be a number above zero"),
        ('[models."x"]\nrpm = 1', "unknown limit 'rpm'; known are requests_per_minute"),
        ("default = 3", "must be a table of limits"),
        ('output_counts = "both"', '"asked" or "used"'),
        ("max_concurrent = 0", "a whole number above zero"),
        ("models = 3", "`models` must hold tables"),
        ('cached_input_counts = "no"', "must be true or false"),
        ("source = 3", "`source` must be text"),
        ("=", "not valid TOML"),
    ],
)
def test_a_bad_profile_is_refused_with_the_place(
    tmp_path: object, toml: str, complaint: str
) -> None:
    path = f"{tmp_path}/mine.toml"
    with open(path, "w") as file:  # noqa: PTH123
        file.write(toml)
    with pytest.raises(ProfileError, match=complaint):
        Profile.load(path)


def test_a_profile_of_ones_own(tmp_path: object) -> None:
    path = f"{tmp_path}/mine.toml"
    with open(path, "w") as file:  # noqa: PTH123
        file.write("[default]\nrequests_per_minute = 12.5\n")
    assert Profile.load(path).limits() == {"requests_per_minute": 12.5}
    with pytest.raises(ProfileError, match="cannot be read"):
        Profile.load(f"{tmp_path}/other.toml")
