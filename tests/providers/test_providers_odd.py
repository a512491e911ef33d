"""Every odd shape of the hostile server over both lanes: what is read, and what of its cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from budgets.charge import Charge, charge
from budgets.money import picodollars
from budgets.price import Band, Price, Rates
from providers import errors
from providers.registry import make_provider
from providers.sample import SampleRequest, SampleResponse
from tests.hostile.bill import Line, read_bill
from tests.hostile.made import Shape
from tests.hostile.odd import BROKEN, DOUBTFUL, INSIDE, READABLE
from tests.hostile.odd_bodies import BODIES, CUT, DIALECTS, HELD_BODIES
from tests.hostile.odd_refusals import BETWEEN, LIMITED, OVERLOADED, SLIPS, WRONG
from tests.hostile.odd_words import ENDING, LIMITED_WORDS, OVERLOADED_WORDS, WRONG_WORDS
from tests.hostile.server import HostileServer

USD = ("3", "3", "3", "3", "15", "15")
PRICE = Price("hostile", "p", "test", (Band(Rates(*map(picodollars, USD))),))
LANES = ("vllm", "openai")
BOUND = 10**12
Outcome = SampleResponse | errors.ProviderError


async def outcomes(
    folder: Path, lane: str, shapes: Mapping[str, Shape], n: int = 2
) -> AsyncIterator[tuple[str, Outcome, Line]]:
    """What became of one request for each shape, and its line on the bill."""
    bill = folder / "bill.jsonl"
    async with HostileServer(bill, script=list(shapes)) as server:
        asked = make_provider(lane, base_url=f"{server.url}/v1", environ={})
        for name in shapes:
            request = SampleRequest(
                "hostile", messages=({"role": "user", "content": "6*7?"},), n=n, max_tokens=200
            )
            outcome: Outcome
            try:
                outcome = await asked.sample(request)
            except errors.ProviderError as error:
                outcome = error
            yield name, outcome, read_bill(bill)[-1]
        await asked.aclose()


def booked(response: SampleResponse) -> Charge:
    return charge(PRICE, response.reported, BOUND)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("shapes", [READABLE, BODIES, DIALECTS], ids=["odd", "bodies", "dialects"])
async def test_text_and_money_are_read(
    tmp_path: Path, lane: str, shapes: Mapping[str, Shape]
) -> None:
    n = 1 if shapes is DIALECTS else 2
    async for name, outcome, line in outcomes(tmp_path, lane, shapes, n):
        assert isinstance(outcome, SampleResponse), (name, outcome)
        assert len(outcome.choices) == n, name
        assert all(choice.text for choice in outcome.choices), name
        assert booked(outcome)[:2] == (line.pico, 0), (name, outcome.usage_raw)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("shapes", [DOUBTFUL, HELD_BODIES], ids=["odd", "bodies"])
async def test_text_is_read_and_the_bill_stays_within_the_books(
    tmp_path: Path, lane: str, shapes: Mapping[str, Shape]
) -> None:
    async for name, outcome, line in outcomes(tmp_path, lane, shapes):
        assert isinstance(outcome, SampleResponse), (name, outcome)
        assert len(outcome.choices) == 2 and all(c.text for c in outcome.choices), name
        settled, held, why = booked(outcome)
        assert (settled or 0) <= line.pico <= (settled or 0) + held, name
        assert held and why, name


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("shapes", [BROKEN, CUT], ids=["odd", "bodies"])
async def test_what_was_broken_off_is_no_sample_and_is_not_drawn_again(
    tmp_path: Path, lane: str, shapes: Mapping[str, Shape]
) -> None:
    async for name, outcome, line in outcomes(tmp_path, lane, shapes):
        if isinstance(outcome, errors.ProviderError):
            assert isinstance(outcome, errors.BadResponse) and not outcome.retryable, name
            assert outcome.sent == "maybe_billed", name
            continue
        assert {choice.finish_reason for choice in outcome.choices} == {"broken"}, name
        assert not any(choice.refused for choice in outcome.choices), name
        assert len(outcome.choices) == 2 and not outcome.missing, name
        settled, held, _ = booked(outcome)
        assert (settled or 0) <= line.pico <= (settled or 0) + held, name


KINDS: list[tuple[Mapping[str, Shape], tuple[type[errors.ProviderError], ...], str]] = [
    ({n: s for n, s in INSIDE.items() if "429" in n}, (errors.RateLimited,), "rejected"),
    ({**LIMITED, **LIMITED_WORDS}, (errors.RateLimited,), "rejected"),
    ({**OVERLOADED, **OVERLOADED_WORDS}, (errors.Overloaded,), "rejected"),
    (BETWEEN, (errors.Overloaded, errors.TimedOut, errors.BadResponse), "maybe_billed"),
    ({**WRONG, **WRONG_WORDS}, (errors.InvalidRequest,), "rejected"),
    *((shapes, (getattr(errors, kind),), "rejected") for kind, shapes in ENDING.items()),
    (SLIPS, (errors.Fatal, errors.AuthFailed, errors.UnknownModel, errors.Forbidden), "rejected"),
]


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(("shapes", "kinds", "sent"), KINDS)
async def test_an_error_is_what_it_says_however_it_is_written(
    tmp_path: Path, lane: str, shapes: Mapping[str, Shape],
    kinds: tuple[type[errors.ProviderError], ...], sent: str,
) -> None:  # fmt: skip
    async for name, outcome, line in outcomes(tmp_path, lane, shapes):
        assert type(outcome) in kinds, (name, outcome)
        assert isinstance(outcome, errors.ProviderError)
        assert outcome.sent == sent, (name, outcome)
        assert not line.pico or sent == "maybe_billed", name
        assert outcome.retry_after_s is None or outcome.retry_after_s < 60, name
