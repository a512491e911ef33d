"""What n per request, a warmed prompt cache and batches save, by the bill of the server itself.

    python benchmarks/dispatch_dollars.py

A prompt-heavy task (2,000 prompt tokens, 200 completion tokens, k=100) is bought over real HTTP
from a server that counts tokens and bills them at a provider's published rates: the prompt once
per request, cached prompt tokens at the cached rate once an answer to that prompt is done, batches
at half of everything. It is bought by the provider's official SDK, one plain request per sample,
and by `orch run` in several ways. The saving is the ratio of the two bills; that orch's own books
say what the server's bill says is checked on the way. In a batch the cache is at its best here:
requests run one after another, which a provider does not promise.

What can be saved is bounded by the output, which nothing shares: at output prices of 3 to 5 times
the input's, 200 of 2,200 tokens are a quarter to a third of the plain bill.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "providers"))

from batch_server import BatchServer  # noqa: E402

PROMPT_TOKENS, COMPLETION_TOKENS, K, PROBLEMS = 2000, 200, 100, 2
ANSWER_S = 0.05
WANTED = 3.0


@dataclass(frozen=True)
class Rates:
    """Microdollars per thousand tokens, which is dollars per million."""

    protocol: str
    model: str
    input: str
    cached: str
    output: str
    write: str = "0"


OFFERS = (
    Rates("openai", "gpt-4o-2024-05-13", "5.00", "5.00", "15.00"),
    Rates("openai", "gpt-4o", "2.50", "1.25", "10.00"),
    Rates("openai", "gpt-4o-mini", "0.15", "0.075", "0.60"),
    Rates("openai", "gpt-3.5-turbo-1106", "1.00", "1.00", "2.00"),
    Rates("anthropic", "claude-3-5-sonnet-20241022", "3.00", "0.30", "15.00", "3.75"),
)
"""Published prices in dollars per million tokens (openai.com/api/pricing, and
docs.anthropic.com/en/docs/about-claude/pricing): without a cache discount, with the usual half,
with an output price of twice the input's, and with an explicit cache."""


def picodollars(rate: str) -> int:
    """A rate per million tokens as whole picodollars per token."""
    whole, _, part = rate.partition(".")
    return int(whole) * 10**6 + int(part.ljust(6, "0"))


class Shop(BatchServer):
    """Answers and bills."""

    def __init__(self, rates: Rates) -> None:
        super().__init__()
        self.rates = rates
        self.bill = 0
        self.requests_billed = 0
        self.cached: set[str] = set()

    async def models(self, _: web.Request) -> web.Response:
        listed = [{"id": self.rates.model, "object": "model"}]
        return web.json_response({"object": "list", "data": listed, "has_more": False})

    async def at_once(self, request: web.Request) -> web.Response:
        body = await request.json()
        charged = self.charge(body, batch=False)
        await asyncio.sleep(ANSWER_S)
        # What this answer read is in the cache once it is done.
        self.cached.add(prompt_of(body))
        return web.json_response(charged)

    async def retrieve(self, request: web.Request) -> web.Response:
        for name, batch in self.batches.items():
            if batch.get("status") == "validating":
                self.finish_openai(name, self.in_batch)
            elif batch.get("processing_status") == "in_progress":
                self.finish_anthropic(name, self.in_batch)
        return await super().retrieve(request)

    def in_batch(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = self.charge(body, batch=True)
        self.cached.add(prompt_of(body))
        return 200, answer

    def charge(self, body: dict[str, Any], *, batch: bool) -> dict[str, Any]:
        """Put a request on the bill; its answer."""
        prompt = prompt_of(body)
        tokens, output = len(prompt) // 4, COMPLETION_TOKENS * int(body.get("n", 1))
        explicit = self.rates.protocol == "anthropic"
        marked = explicit and not isinstance(body["messages"][-1]["content"], str)
        hit = prompt in self.cached and (marked or not explicit)
        rate = self.rates.cached if hit else self.rates.write if marked else self.rates.input
        cost = tokens * picodollars(rate) + output * picodollars(self.rates.output)
        self.bill += cost // 2 if batch else cost
        self.requests_billed += 1
        if explicit:
            usage = {"input_tokens": 0 if marked else tokens, "output_tokens": output}
            if marked:
                usage["cache_read_input_tokens" if hit else "cache_creation_input_tokens"] = tokens
            if marked and not hit:
                life = "5m" if not batch else "1h"
                usage["cache_creation"] = {f"ephemeral_{life}_input_tokens": tokens}
            return {
                "id": "msg", "type": "message", "role": "assistant", "model": self.rates.model,
                "content": [{"type": "text", "text": "42"}], "stop_reason": "end_turn",
                "usage": usage,
            }  # fmt: skip
        used: dict[str, Any] = {"prompt_tokens": tokens, "completion_tokens": output}
        if hit:
            used["prompt_tokens_details"] = {"cached_tokens": tokens}
        return {
            "id": "chat", "object": "chat.completion", "created": 1, "model": self.rates.model,
            "choices": [
                {"index": i, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "42"}}
                for i in range(int(body.get("n", 1)))
            ],
            "usage": used | {"total_tokens": tokens + output},
        }  # fmt: skip

    def application(self) -> web.Application:
        app = super().application()
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.at_once)
        app.router.add_post("/v1/messages", self.at_once)
        return app


def prompt_of(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


class Open:
    """A shop that is open, on a thread of its own."""

    def __init__(self, rates: Rates) -> None:
        self.shop = Shop(rates)
        self._loop = asyncio.new_event_loop()
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        runner = web.AppRunner(self.shop.application(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def __enter__(self) -> Shop:
        self._thread.start()
        self._ready.wait()
        return self.shop

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


def prompts() -> list[str]:
    return [f"Problem {i}. ".ljust(4 * PROMPT_TOKENS, "x") for i in range(PROBLEMS)]


def plainly(rates: Rates) -> int:
    """The bill of one request per sample through the official SDK, ten at once."""
    with Open(rates) as shop:
        asyncio.run(_plainly(rates, shop.url))
        return shop.bill


async def _plainly(rates: Rates, url: str) -> None:
    left = iter(prompts() * K)

    async def worker(ask: Any) -> None:
        for prompt in left:
            await ask([{"role": "user", "content": prompt}])

    if rates.protocol == "openai":
        import openai

        async with openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1") as client:
            create = client.chat.completions.create
            workers = [worker(lambda m: create(model=rates.model, messages=m)) for _ in range(10)]
            await asyncio.gather(*workers)
        return
    import anthropic

    async with anthropic.AsyncAnthropic(api_key="none", base_url=url) as claude:
        say = claude.messages.create
        workers = [
            worker(lambda m: say(model=rates.model, messages=m, max_tokens=COMPLETION_TOKENS))
            for _ in range(10)
        ]
        await asyncio.gather(*workers)


def through_orch(rates: Rates, folder: Path, *flags: str) -> tuple[int, int]:
    """The bill of `orch run` and how many requests it took; exits where the books differ."""
    task, prices = folder / "task.jsonl", folder / "prices.toml"
    rows = [{"id": f"p{i}", "prompt": text, "answer": "42"} for i, text in enumerate(prompts())]
    task.write_text("\n".join(json.dumps(row) for row in rows))
    kinds = {"input": rates.input, "cached_input": rates.cached, "output": rates.output}
    if rates.protocol == "anthropic":
        # The hour's rate is what a batch writes at; both are billed alike here.
        kinds |= {"cache_write": rates.write, "cache_write_1h": rates.write}
    half = {kind: f"{picodollars(rate) // 2 / 10**6:.6f}" for kind, rate in kinds.items()}
    table = "".join(f'{kind} = "{rate}"\n' for kind, rate in kinds.items())
    inline = ", ".join(f'{kind} = "{rate}"' for kind, rate in half.items())
    prices.write_text(f'[models."{rates.model}"]\n{table}batch = {{ {inline} }}\n')
    with Open(rates) as shop:
        command = [
            sys.executable, "-m", "orchestrator", "run", "--provider", rates.protocol,
            "--base-url", f"{shop.url}/v1", "--model", rates.model, "--task", str(task),
            "--samples", str(K), "--max-tokens", str(COMPLETION_TOKENS), "--budget", "100",
            "--prices", str(prices), "--out", str(folder / "-".join(["runs", *flags])),
            "--display", "none", "--yes", "--json", *flags,
        ]  # fmt: skip
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(f"orch run failed ({ended.returncode}):\n{ended.stderr[-3000:]}")
        (row,) = json.loads(ended.stdout)["rows"]
        if picodollars_of(row["spent_usd"]) != shop.bill or row["samples"] != K * PROBLEMS:
            sys.exit(f"orch's books say {row['spent_usd']}, the bill {shop.bill / 1e12}")
        return shop.bill, shop.requests_billed


def picodollars_of(usd: str) -> int:
    whole, _, part = usd.partition(".")
    return int(whole) * 10**12 + int(part.ljust(12, "0") or 0)


def main() -> None:
    ways: dict[str, dict[str, tuple[str, ...]]] = {
        "openai": {
            "n=5": ("--n-per-request", "5"),
            "n=100": ("--n-per-request", "100"),
            "auto": (),
            "auto, batch": ("--batch",),
        },
        "anthropic": {"auto (cache warmed)": (), "auto, batch": ("--batch",)},
    }
    print(f"{PROMPT_TOKENS} prompt and {COMPLETION_TOKENS} completion tokens, k={K}; dollars per")
    print("thousand samples by the server's bill, against one plain request per sample\n")
    print(f"{'model, $ in / cached / out':50}{'way':22}{'requests':>9}{'$':>9}{'saving':>9}")
    best: dict[str, float] = {}
    for rates in OFFERS:
        name = f"{rates.model}, {rates.input} / {rates.cached} / {rates.output}"
        plain = plainly(rates)
        shares = 1000 / (K * PROBLEMS) / 1e12
        print(f"{name:50}{'one per sample (SDK)':22}{K * PROBLEMS:>9}{plain * shares:>9.3f}")
        for way, flags in ways[rates.protocol].items():
            with tempfile.TemporaryDirectory() as folder:
                bill, requests = through_orch(rates, Path(folder), *flags)
            best[rates.model] = max(best.get(rates.model, 0.0), plain / bill)
            print(f"{'':50}{way:22}{requests:>9}{bill * shares:>9.3f}{plain / bill:>8.2f}x")
    below = [model for model, saving in best.items() if saving < WANTED]
    print(f"\nbelow {WANTED:g}x in every way: {', '.join(below) or 'none'}")
    sys.exit(1 if below else 0)


if __name__ == "__main__":
    main()
