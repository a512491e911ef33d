"""What n per request and a warmed cache save, on servers that bill like the real ones."""

from __future__ import annotations

import asyncio

from scripted_server import Exchange, chat_answer, message_answer, serving

from budgets.usage import Usage
from providers.registry import make_provider
from providers.sample import SampleRequest, SampleResponse
from providers.warming import CacheWarmer

PROMPT = "x" * 8000
PROMPT_TOKENS, COMPLETION_TOKENS, K = 2000, 200, 100
ASK = ({"role": "user", "content": PROMPT},)


def dollars_millionth(usage: Usage, input_usd: float, output_usd: float) -> float:
    """Millionths of a dollar at Anthropic's ratios: a read costs a tenth, a 5 m write 1.25."""
    return (
        usage.input_tokens * input_usd
        + usage.cached_input_tokens * input_usd * 0.1
        + usage.cache_write_5m_tokens * input_usd * 1.25
        + usage.output_tokens * output_usd
    )


def total(responses: list[SampleResponse], input_usd: float, output_usd: float) -> float:
    assert all(response.usage is not None for response in responses)
    return sum(
        dollars_millionth(response.usage, input_usd, output_usd)
        for response in responses
        if response.usage is not None
    )


async def bills_the_prompt_once(exchange: Exchange) -> None:
    n = exchange.json.get("n", 1)
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS * n}
    await exchange.answer(200, chat_answer(n, usage=usage))


class CachingServer:
    """Writes the cache when an answer is done, and reads it for requests that come later.

    No answer is done before `together` requests have come.
    """

    def __init__(self, together: int) -> None:
        self.cached: set[str] = set()
        self.left = together
        self.all_here = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        (message,) = exchange.json["messages"]
        usage = {"input_tokens": 3, "output_tokens": COMPLETION_TOKENS}
        if isinstance(message["content"], str):
            usage["input_tokens"] += PROMPT_TOKENS
        else:
            text = message["content"][0]["text"]
            kind = "read" if text in self.cached else "creation"
            usage[f"cache_{kind}_input_tokens"] = PROMPT_TOKENS
            if kind == "creation":
                usage["cache_creation"] = {"ephemeral_5m_input_tokens": PROMPT_TOKENS}
            self.left -= 1
            if self.left <= 0:
                self.all_here.set()
            await self.all_here.wait()
            self.cached.add(text)
        await exchange.answer(200, message_answer(usage=usage))


async def test_choices_share_one_prompt():
    async with serving(bills_the_prompt_once) as server:
        asked = make_provider("openai", base_url=server.url, environ={})
        bills = {}
        for n in (1, 5, 50):
            request = SampleRequest("m", messages=ASK, n=n)
            bills[n] = total([await asked.sample(request) for _ in range(K // n)], 1.0, 2.0)
        await asked.aclose()
    assert bills[1] / bills[5] == 3.0
    assert bills[1] / bills[50] > 5


async def test_a_warmed_cache_is_written_once_and_a_cold_one_by_everybody():
    async def buy(warmer: CacheWarmer, cache: bool, together: int = 1) -> list[SampleResponse]:
        """The way of the engine: ask for advice, wait until the one that went first is back."""
        async with serving(CachingServer(together)) as server:
            asked = make_provider("anthropic", base_url=server.url, environ={})
            warmed = asyncio.Event()

            async def attempt() -> SampleResponse:
                while (advice := warmer.advice("p", PROMPT_TOKENS)) == "wait":
                    await warmed.wait()
                response = await asked.sample(SampleRequest("m", messages=ASK, cache_prompt=cache))
                if advice == "go_first":
                    warmer.warmed("p")
                    warmed.set()
                return response

            responses = await asyncio.gather(*(attempt() for _ in range(K)))
            await asked.aclose()
        return responses

    plain = await buy(CacheWarmer(enabled=False), cache=False)
    stampede = await buy(CacheWarmer(enabled=False), cache=True, together=K)
    warmed = await buy(CacheWarmer(), cache=True)
    writes = [r.usage.cache_write_5m_tokens > 0 for r in warmed if r.usage is not None]
    assert sum(writes) == 1
    assert total(plain, 3.0, 6.0) > 3 * total(warmed, 3.0, 6.0)
    assert total(stampede, 3.0, 6.0) > total(plain, 3.0, 6.0)
