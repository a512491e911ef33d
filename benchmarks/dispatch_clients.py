"""One peer's own way of sending many requests; run by dispatch_peers.py in that peer's venv.

    python dispatch_clients.py PEER URL REQUESTS IN_FLIGHT

Every client sends REQUESTS single-choice chat requests with IN_FLIGHT at once, each with a prompt
of its own, through its documented interface, with its caches off or fresh, its own retries as
they come, and its console display as quiet as it goes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

PROMPT = "What is 6 times 7? " * 20


def litellm(url: str, requests: int, in_flight: int) -> None:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True

    async def run() -> None:
        left = iter(range(requests))

        async def worker() -> None:
            for i in left:
                await litellm.acompletion(
                    model="openai/bench",
                    api_base=url,
                    api_key="none",
                    messages=[{"role": "user", "content": f"{PROMPT}{i}"}],
                    max_tokens=512,
                )

        await asyncio.gather(*(worker() for _ in range(in_flight)))

    asyncio.run(run())


def curator(url: str, requests: int, in_flight: int) -> None:
    os.environ["TELEMETRY_ENABLED"] = "false"
    os.environ["CURATOR_DISABLE_RICH_DISPLAY"] = "1"
    os.environ["OPENAI_API_KEY"] = "none"
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    # curator counts tokens with tiktoken, which fetches its tables; litellm, which comes with
    # curator, carries the one that is needed.
    found = importlib.util.find_spec("litellm")
    assert found is not None and found.submodule_search_locations
    tables = Path(found.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
    os.environ["TIKTOKEN_CACHE_DIR"] = str(tables)
    from bespokelabs import curator as bespoke

    with tempfile.TemporaryDirectory() as cache:
        llm = bespoke.LLM(
            model_name="bench",
            backend="openai",
            backend_params={
                "base_url": url,
                "max_requests_per_minute": 10_000_000,
                "max_tokens_per_minute": 100_000_000_000,
                "max_concurrent_requests": in_flight,
                "require_all_responses": True,
            },
        )
        llm([f"{PROMPT}{i}" for i in range(requests)], working_dir=cache)


def inspect_ai(url: str, requests: int, in_flight: int) -> None:
    os.environ["BENCH_API_KEY"] = "none"
    import inspect_ai
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate

    samples = [Sample(input=f"{PROMPT}{i}", target="42", id=i + 1) for i in range(requests)]
    with tempfile.TemporaryDirectory() as logs:
        (log,) = inspect_ai.eval(
            inspect_ai.Task(dataset=MemoryDataset(samples), solver=generate(), scorer=includes()),
            model="openai-api/bench/bench",
            model_base_url=url,
            max_connections=in_flight,
            max_samples=in_flight,
            log_dir=logs,
            display="none",
        )
        assert log.status == "success", log.error


def lm_eval(url: str, requests: int, in_flight: int) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.api_models import JsonChatStr
    from lm_eval.models.openai_completions import LocalChatCompletion

    os.environ["OPENAI_API_KEY"] = "none"
    model = LocalChatCompletion(
        model="bench",
        base_url=f"{url}/chat/completions",
        num_concurrent=in_flight,
        tokenizer_backend=None,
        tokenized_requests=False,
        max_retries=1,
    )
    asked = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(
                JsonChatStr(json.dumps([{"role": "user", "content": f"{PROMPT}{i}"}])),
                {"until": [], "max_gen_toks": 512},
            ),
            idx=i,
        )
        for i in range(requests)
    ]
    answers = model.generate_until(asked)
    assert len(answers) == requests


class Bare(asyncio.Protocol):
    """One connection that asks as soon as it is answered, and looks at no answer but its length."""

    def __init__(self, request: bytes, left: list[int], over: asyncio.Event) -> None:
        self.request, self.left, self.over = request, left, over
        self.transport: asyncio.Transport | None = None
        self.got = self.length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.got += len(data)
        if not self.length:
            head, _, _ = data.partition(b"\r\n\r\n")
            at = head.lower().index(b"content-length:") + 15
            self.length = len(head) + 4 + int(head[at:].split(b"\r\n", 1)[0])
        if self.got >= self.length:
            self.got -= self.length
            self.left[0] -= 1
            assert self.transport is not None
            if self.left[0] > 0:
                self.transport.write(self.request)
            elif self.left[0] == 0:
                self.over.set()


def bare(url: str, requests: int, in_flight: int) -> None:
    """No contestant: how many requests a second the server, the kernel and this machine allow."""
    from urllib.parse import urlsplit

    where = urlsplit(url)
    message = {"role": "user", "content": PROMPT}
    body = json.dumps({"model": "bench", "messages": [message], "max_tokens": 512}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body

    async def run() -> None:
        loop, over, left = asyncio.get_running_loop(), asyncio.Event(), [requests]
        for _ in range(in_flight):
            await loop.create_connection(
                lambda: Bare(request, left, over), where.hostname, where.port
            )
        await over.wait()

    asyncio.run(run())


def main() -> None:
    name, url, requests, in_flight = sys.argv[1:]
    clients = {
        "litellm": litellm,
        "curator": curator,
        "inspect_ai": inspect_ai,
        "lm_eval": lm_eval,
        "bare loop": bare,
    }
    clients[name](url, int(requests), int(in_flight))


if __name__ == "__main__":
    main()
