"""The hostile server's every fault through every provider: the reaction, held against its bill."""

from __future__ import annotations

import pytest
from msgspec import structs

from providers import errors
from providers.registry import make_provider
from providers.sample import SampleRequest, SampleResponse
from providers.transport import Timeouts
from tests.hostile.bill import read_bill
from tests.hostile.faults import BILLED
from tests.hostile.odd import SHAPES
from tests.hostile.server import HostileServer

REACTIONS = {
    "rate_limited": errors.RateLimited,
    "rate_limited_seconds": errors.RateLimited,
    "rate_limited_date": errors.RateLimited,
    "quota": errors.NoCredit,
    "error_500": errors.Overloaded,
    "error_503": errors.Overloaded,
    "gateway_502": errors.Overloaded,
    "hang": errors.TimedOut,
    "reset_before": errors.ConnectionFailed,
    "reset_after": errors.ConnectionFailed,
    "broken_json": errors.BadResponse,
}
"""Every other fault comes with an answer."""

NAMES = ("vllm", "vllm raw", "openai", "openai raw", "anthropic")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", [fault for fault in BILLED if fault not in SHAPES])
async def test_every_fault(name, fault, tmp_path):
    bill = tmp_path / "bill.jsonl"
    n = 1 if name == "anthropic" else 3
    request = SampleRequest("hostile", messages=({"role": "user", "content": "6*7?"},), n=n)
    if name.endswith("raw"):
        request = structs.replace(request, prompt="6*7?", messages=None)
    patience = Timeouts(total_s=0.5 if fault == "hang" else 120)
    async with HostileServer(bill, script=[fault], retry_after_s=7, drip_s=0.1) as server:
        asked = make_provider(
            name.split()[0], base_url=f"{server.url}/v1", timeouts=patience, environ={}
        )
        outcome: SampleResponse | errors.ProviderError
        try:
            outcome = await asked.sample(request)
        except errors.ProviderError as error:
            outcome = error
        await asked.aclose()
    (line,) = read_bill(bill)
    if fault in REACTIONS:
        assert type(outcome) is REACTIONS[fault]
        assert isinstance(outcome, errors.ProviderError)
        # What was billed may never look free; what certainly was not may be given back.
        assert outcome.sent == request.sending.sent
        if line.pico:
            assert outcome.sent == "maybe_billed"
        elif fault != "reset_before":
            assert outcome.sent == "rejected"
        if fault in ("rate_limited_seconds", "rate_limited_date"):
            assert outcome.retry_after_s == pytest.approx(7, abs=2)
        return
    if fault == "half_body":
        assert _nothing_kept(outcome)
        return
    assert isinstance(outcome, SampleResponse)
    if fault == "no_usage":
        assert outcome.usage is None
    else:
        assert outcome.usage is not None
        assert outcome.usage.prompt_tokens == line.prompt_tokens
        assert outcome.usage.output_tokens == line.output_tokens
    if fault == "ignore_n" and n > 1:
        assert outcome.missing == (1, 2)
    else:
        assert outcome.missing == ()
        assert len(outcome.choices) == n
    if fault in ("length", "content_filter"):
        assert {choice.finish_reason for choice in outcome.choices} == {fault}


def _nothing_kept(outcome):
    """Whether half an answer gives no sample and settles no money."""
    if isinstance(outcome, errors.BadResponse):
        return outcome.sent == "maybe_billed" and not outcome.retryable
    broken = {choice.finish_reason for choice in outcome.choices} == {"broken"}
    return broken and outcome.usage is None and not outcome.missing
