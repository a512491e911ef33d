"""A simulated engine over real HTTP: OpenAI's API, /health, /metrics in vLLM's words, /stats.

    python benchmarks/fleet_server.py [--speed X] [--scale X] [--max-sequences N]

Prints its port. It batches continuously as benchmarks/fleet_model.py says, in real time. POST
/become {"state": "up" | "failing" | "hung"} makes it answer 500, or stop moving its tokens. GET
/stats tells the seconds from the first request's arrival to the last answer, and the tokens made.
"""

from __future__ import annotations

import argparse
import asyncio
import time

import msgspec
from aiohttp import web

from benchmarks.fleet_model import Lengths, Shape
from benchmarks.fleet_sim import Driven

PROMPT_TOKENS = 100


class Simulated:
    """One server."""

    def __init__(self, shape: Shape) -> None:
        self.driven = Driven(shape, Lengths())
        self.state = "up"
        self.first = self.last = self.first_at = self.last_at = 0.0
        self.requests = self.tokens = 0
        self.asked: list[tuple[str, int, int]] = []

    async def completions(self, request: web.Request) -> web.Response:
        if self.state == "failing":
            return web.json_response({"error": {"message": "told to fail"}}, status=500)
        body = msgspec.json.decode(await request.read())
        if not self.requests:
            self.first_at = time.time()
        self.requests += 1
        prompt, n, seed = str(body["prompt"]), int(body.get("n", 1)), int(body.get("seed", 0))
        self.asked.append((prompt, seed, n))
        lengths, cached = await self.driven.generate(prompt, PROMPT_TOKENS, n, seed)
        self.tokens += sum(lengths)
        self.last_at = time.time()
        choices = [
            {"index": i, "text": f"{length}", "finish_reason": "stop"}
            for i, length in enumerate(lengths)
        ]
        usage = {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": sum(lengths),
            "total_tokens": PROMPT_TOKENS + sum(lengths),
            "prompt_tokens_details": {"cached_tokens": PROMPT_TOKENS if cached else 0},
        }
        answer = {"id": "sim", "model": "sim", "choices": choices, "usage": usage}
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def metrics(self, _: web.Request) -> web.Response:
        self.driven.sync()
        engine = self.driven.engine
        lines = {
            "num_requests_running": engine.running,
            "num_requests_waiting": engine.waiting,
            "generation_tokens_total": int(engine.tokens_made),
        }
        text = "".join(f'vllm:{name}{{engine="0"}} {value}\n' for name, value in lines.items())
        return web.Response(text=text)

    async def become(self, request: web.Request) -> web.Response:
        self.state = (await request.json())["state"]
        self.driven.sync()
        self.driven.engine.frozen = self.state == "hung"
        self.driven.sync()
        return web.json_response({})

    async def stats(self, _: web.Request) -> web.Response:
        told = {
            "first_at": self.first_at,
            "last_at": self.last_at,
            "tokens": self.tokens,
            "requests": self.requests,
            "tokens_s": self.driven.engine.shape.tokens_s,
        }
        self.requests = self.tokens = 0
        return web.json_response(told)


async def serve(shape: Shape, port: int) -> None:
    simulated = Simulated(shape)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "sim", "max_model_len": 4096}]})

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/completions", simulated.completions)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", simulated.metrics)
    app.router.add_post("/become", simulated.become)
    app.router.add_get("/stats", simulated.stats)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--max-sequences", type=int, default=32)
    arguments = parser.parse_args()
    asyncio.run(serve(Shape(arguments.max_sequences, speed=arguments.speed), arguments.port))


if __name__ == "__main__":
    main()
