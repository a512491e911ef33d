"""A reward model as vLLM serves one, over real HTTP, whose scoring rule is known.

The rule: the share of the characters '1' to '9' among the sample's characters, less one half for
every ten characters of the whole conversation. It has a context (in characters), may lack a chat
template, may have two classes, may want a key, and may be overloaded at first.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


def rule(prompt: str, sample: str) -> float:
    digits = sum(char in "123456789" for char in sample)
    return digits / max(len(sample), 1) - 0.05 * len(prompt + sample)


@dataclass
class RewardModel:
    apis: tuple[str, ...] = ("classify",)
    classes: int = 1
    per_token: bool = False
    context: int = 10_000
    template: bool = True
    key: str = ""
    overloaded: int = 0
    """So many first requests are answered with 503."""
    broken: bool = False
    """Answers with something that is no number."""
    name: str = "tests/reward-8b"
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        for api in self.apis:
            app.router.add_post(f"/{api}", getattr(self, f"_{api}"))
        return app

    async def _models(self, request: web.Request) -> web.Response:
        return self._guard(request) or web.json_response(
            {"object": "list", "data": [{"id": self.name, "object": "model", "owned_by": "vllm"}]}
        )

    def _guard(self, request: web.Request) -> web.Response | None:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "Unauthorized")
        if request.method == "POST" and self.overloaded > 0:
            self.overloaded -= 1
            return _error(503, "The engine is starting")
        return None

    async def _texts(self, request: web.Request) -> tuple[Any, float] | web.Response:
        """The body and the raw score of what it holds, or an error."""
        refused = self._guard(request)
        if refused is not None:
            return refused
        body = await request.json()
        self.asked.append(body)
        if body.get("model") != self.name:
            return _error(404, f"The model `{body.get('model')}` does not exist.")
        if "messages" in body:
            if not self.template:
                return _error(400, "default chat template is no longer allowed")
            prompt = "".join(one["content"] for one in body["messages"][:-1])
            sample = body["messages"][-1]["content"]
        elif "text_1" in body:
            prompt, sample = body["text_1"], body["text_2"]
        else:
            prompt, sample = "", body["input"]
        if len(prompt) + len(sample) > self.context:
            return _error(400, f"This model's maximum context length is {self.context} tokens.")
        return body, rule(prompt, sample)

    def _scores(self, body: dict[str, Any], raw: float) -> list[float]:
        if self.broken:
            return [math.nan] if self.classes == 1 else []
        if self.classes == 1:
            return [1 / (1 + math.exp(-raw)) if body.get("use_activation", True) else raw]
        right = 1 / (1 + math.exp(-raw))
        return [1 - right, right] if body.get("use_activation", True) else [0.0, raw]

    async def _classify(self, request: web.Request) -> web.Response:
        found = await self._texts(request)
        if isinstance(found, web.Response):
            return found
        probs = self._scores(*found)
        row = {"index": 0, "label": "LABEL_0", "probs": probs, "num_classes": len(probs)}
        return self._answer([row])

    async def _pooling(self, request: web.Request) -> web.Response:
        found = await self._texts(request)
        if isinstance(found, web.Response):
            return found
        scores = self._scores(*found)
        data = [[-9.0] * len(scores), scores] if self.per_token else scores
        return self._answer([{"index": 0, "object": "pooling", "data": data}])

    async def _score(self, request: web.Request) -> web.Response:
        found = await self._texts(request)
        if isinstance(found, web.Response):
            return found
        score = self._scores(*found)[0]
        return self._answer([{"index": 0, "object": "score", "score": score}])

    def _answer(self, rows: list[dict[str, Any]]) -> web.Response:
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return web.json_response(
            {"id": "x", "object": "list", "model": self.name, "data": rows, "usage": usage}
        )


def _error(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "BadRequestError", "param": None, "code": status}
    return web.json_response({"error": error}, status=status)


@contextmanager
def serving(model: RewardModel) -> Iterator[RewardModel]:
    """The model on a port of its own, in a thread of its own."""
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def main() -> None:
        runner = web.AppRunner(model.app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        model.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        stopping = loop.create_future()
        model_stop.append(stopping)
        ready.set()
        await stopping
        await runner.cleanup()

    model_stop: list[asyncio.Future[None]] = []
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert ready.wait(120)
    try:
        yield model
    finally:
        loop.call_soon_threadsafe(model_stop[0].set_result, None)
        thread.join(20)
        loop.close()
