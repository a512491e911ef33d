"""Bugs that other tools had with money, each shown not to be here.

The numbers are those of the reports: litellm's issues unless another project is named.
"""

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from budgets import Ledger, PriceBook, SqliteJournal, Unpriced, Usage, picodollars
from budgets.journal import MemoryJournal
from budgets.ledger import DoesNotFit
from budgets.outcomes import outcome_action, what_happened
from budgets.price_file import PriceFileError, parse_prices

BOOK = PriceBook.load()
NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def test_40095_concurrent_first_requests_cannot_all_pass_the_check(tmp_path: Path) -> None:
    """A hundred first requests at once under a cap for ten: ten are sent."""
    with SqliteJournal(tmp_path / "ledger.db") as journal:
        ledger = Ledger.open(journal, {"run": picodollars("1")})
        start = asyncio.Event()
        sent = []

        async def first_request(number: int) -> None:
            await start.wait()
            try:
                request = ledger.reserve(picodollars("0.10"))
            except DoesNotFit:
                return
            await journal.durable()
            sent.append(number)
            await asyncio.sleep(0.01)
            ledger.settle(request, picodollars("0.10"))

        tasks = [asyncio.create_task(first_request(number)) for number in range(100)]
        await asyncio.sleep(0)
        start.set()
        await asyncio.gather(*tasks)
        assert len(sent) == 10
        assert ledger.totals().settled == picodollars("1")


def test_27509_a_leaked_reservation_does_not_pin_the_cap_unseen() -> None:
    """What a dead process left open is shown, with its request, and can be cleared."""
    journal = MemoryJournal()
    ledger = Ledger.open(journal, {"run": picodollars("2000")})
    ledger.settle(ledger.reserve(picodollars("1")), picodollars("0.144"))
    ledger.reserve(picodollars("1999"), note="request 2: problem 17, slots 0-99")
    ledger = Ledger.open(journal, {"run": picodollars("2000")})
    with pytest.raises(DoesNotFit):
        ledger.reserve(picodollars("1"))
    (leaked,) = ledger.uncertain()
    assert leaked.purpose == "request 2: problem 17, slots 0-99"
    ledger.resolve(leaked.reservation, 0, "not in the provider's export")
    assert ledger.totals().free == picodollars("1999.856")


def test_38647_worst_cases_do_not_starve_everything_at_once() -> None:
    """Worst cases 100 times the cost under a cap of three of them: the whole cap gets used.

    Reservations are neither shrunk nor refused for good: the rest waits for settlements, so what
    is left at the end is less than one worst case.
    """
    worst, cost = picodollars("0.30"), picodollars("0.003")
    ledger = Ledger.open(MemoryJournal(), {"run": picodollars("1")})
    in_flight: list[int] = []
    bought = 0
    while True:
        try:
            in_flight.append(ledger.reserve(worst))
        except DoesNotFit:
            if not in_flight:
                break
            ledger.settle(in_flight.pop(0), cost)
            bought += 1
    free = ledger.totals().free
    assert free is not None and free < worst
    assert bought == 234  # (1 - 0.30) / 0.003, and one more


def test_40002_a_tier_above_272k_tokens_is_reserved_at_its_own_rate() -> None:
    price = BOOK.find("gpt-5.4", "openai", NOW)
    long = Usage(input_tokens=272_001, output_tokens=1000)
    worst = price.worst(prompt_tokens=272_001, output_tokens=1000)
    assert worst >= price.cost(long) == picodollars("1.382505")
    # A bound that reaches into the tier counts it, though the prompt may turn out shorter.
    assert price.worst(prompt_tokens=280_000, output_tokens=1000) > price.cost(
        Usage(input_tokens=272_000, output_tokens=1000)
    )
    assert price.worst(prompt_tokens=272_000, output_tokens=0) == picodollars("0.68")


def test_35524_an_unpriced_model_does_not_skip_the_check() -> None:
    with pytest.raises(Unpriced, match="nothing is sent under a budget without one"):
        BOOK.find("openai/some-new-model", "openai", NOW)


def test_20615_a_price_per_token_is_refused() -> None:
    with pytest.raises(PriceFileError, match=r"is it per token; written per million it is 3\.00"):
        parse_prices(b'[models.m]\ninput = "0.000003"\noutput = "0.000015"', "prices.toml")
    with pytest.raises(PriceFileError, match="not a credible price"):
        parse_prices(b'[models.m]\ninput = "3000000"\noutput = "15"', "prices.toml")


def test_16377_cached_tokens_are_priced_as_cached_tokens() -> None:
    price = BOOK.find("claude-3-5-sonnet-20240620", "anthropic", date(2024, 8, 20))
    usage = Usage(
        input_tokens=100,
        cached_input_tokens=10_000,
        cache_write_5m_tokens=2000,
        output_tokens=50,
    )
    assert price.cost(usage) == picodollars("0.01155")  # .0003 + .003 + .0075 + .00075
    assert usage.prompt_tokens == 12_100


def test_swe_agent_1240_every_retry_is_paid_for() -> None:
    """Three tries of one attempt, two of which may have been billed: all three count."""
    ledger = Ledger.open(MemoryJournal(), {"run": picodollars("1")})
    worst = picodollars("0.10")
    for error, sent in (("TimedOut", "maybe_billed"), ("ConnectionFailed", "maybe_billed")):
        request = ledger.reserve(worst, note="request 1")
        assert outcome_action("openai", what_happened(error, sent)) == "hold"
        ledger.hold(request, error)
    ledger.settle(ledger.reserve(worst, note="request 1"), picodollars("0.02"))
    totals = ledger.totals()
    assert (totals.uncertain, totals.settled) == (2 * worst, picodollars("0.02"))
    assert [held.purpose for held in ledger.uncertain()] == ["request 1", "request 1"]


def test_mini_swe_agent_303_a_local_model_that_costs_nothing_trips_nothing(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('[models."my-llama"]\nprovider = "local"\ninput = 0\noutput = 0\n')
    price = PriceBook.load(file).find("my-llama", "local", NOW)
    assert price.free
    ledger = Ledger.open(MemoryJournal(), {"run": 0})
    for _ in range(1000):
        request = ledger.reserve(price.worst(prompt_tokens=4000, output_tokens=4000, n=100))
        ledger.settle(request, price.cost(Usage(input_tokens=4000, output_tokens=400_000)))
    assert ledger.totals().committed == 0
    assert ledger.fault is None
