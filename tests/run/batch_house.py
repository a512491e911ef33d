"""A batch API over real HTTP on a thread of its own, which bills what it ran and can be held."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

sys.path.append(str(Path(__file__).resolve().parents[1] / "providers"))

from batch_server import BatchServer
from scripted_server import chat_answer, message_answer

INPUT, OUTPUT = 1_500_000, 7_500_000
"""Picodollars a token at the batch price of PRICES: half of the full one."""

PRICES = """
[models."m"]
input = "3.00"
output = "15.00"
batch = { input = "1.50", output = "7.50" }
"""


def right_answer(prompt: str) -> str:
    match = re.fullmatch(r"(\d+)\*(\d+)=", prompt)
    return str(int(match[1]) * int(match[2])) if match else "?"


class House(BatchServer):
    """Batches end as soon as `open` is set; every request that ran is on the bill."""

    def __init__(self, protocol: str) -> None:
        super().__init__()
        self.protocol = protocol
        self.open = True
        self.hold_upload = False
        self.hold_created = False
        """Make the batch, and never answer."""
        self.hidden = False
        """Leave every batch out of the list."""
        self.only: int | None = None
        """How many requests of the next batch run before it expires; None: all."""
        self.room: int | None = None
        """Requests per batch above which OpenAI's queue is full; None: it never is."""
        self.reason = "token_limit_exceeded"
        self.takes_s = 0.0
        """How long a batch runs at least, from when it is first looked at."""
        self.lag_s = 0.0
        """How long each step of an answer takes."""
        self.reached = Counter[str]()
        """How often a question came this far: uploading, creating, made, looked at, fetching."""
        self._since: dict[str, float] = {}
        self.statuses: list[int] = []
        """Statuses of the next requests that run; 200 once they are used up."""
        self.bill: list[tuple[int, int]] = []
        """Prompt and output tokens of every request that ran and was answered."""
        self.rewrite: Callable[[list[bytes]], bytes] = b"\n".join
        """What becomes of the lines of a file of results."""
        self.held = threading.Event()
        """A request hangs on purpose."""

    @property
    def billed(self) -> int:
        return sum(prompt * INPUT + output * OUTPUT for prompt, output in self.bill)

    @property
    def under_way(self) -> int:
        """Requests of batches that have not ended."""
        return sum(
            len(self.requests[name])
            for name, batch in list(self.batches.items())
            if "validating" in batch.values() or "in_progress" in batch.values()
        )

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "m"}], "has_more": False})

    async def hang(self) -> None:
        self.held.set()
        await asyncio.sleep(3600)

    async def at(self, step: str) -> None:
        self.reached[step] += 1
        await asyncio.sleep(self.lag_s)

    async def upload(self, request: web.Request) -> web.Response:
        await self.at("uploading")
        if self.hold_upload:
            await self.hang()
        return await super().upload(request)

    async def create(self, request: web.Request) -> web.Response:
        # It is here, whatever becomes of who asked.
        await request.read()
        await self.at("creating")
        made = await super().create(request)
        name, batch = list(self.batches.items())[-1]
        if self.room is not None and len(self.requests[name]) > self.room:
            full = {"code": self.reason, "message": "Enqueued token limit reached."}
            batch |= {"status": "failed", "errors": {"data": [full]}}
            return web.json_response(batch)
        if self.hold_created:
            await self.hang()
        await self.at("made")
        return made

    async def create_messages(self, request: web.Request) -> web.Response:
        await request.read()
        await self.at("creating")
        if self.hold_upload:
            await self.hang()
        made = await super().create_messages(request)
        if self.hold_created:
            await self.hang()
        await self.at("made")
        return made

    async def listing(self, request: web.Request) -> web.Response:
        if self.hidden:
            return web.json_response({"data": [], "has_more": False})
        self.finish_all()
        return await super().listing(request)

    async def retrieve(self, request: web.Request) -> web.Response:
        self.finish_all()
        await self.at("looked at")
        return await super().retrieve(request)

    async def content(self, request: web.Request) -> web.Response:
        await self.at("fetching")
        return await super().content(request)

    async def message_results(self, request: web.Request) -> web.Response:
        await self.at("fetching")
        return await super().message_results(request)

    def finish_all(self) -> None:
        for name, batch in self.batches.items():
            if not self.open:
                return
            since = self._since.setdefault(name, time.monotonic())
            if time.monotonic() - since < self.takes_s:
                continue
            if batch.get("status") == "validating":
                status = "completed" if self.only is None else "expired"
                self.finish_openai(name, self.answer, only=self.only, status=status)
                self.only = None
                made = str(batch.get("output_file_id") or "")
                if made:
                    self.files[made] = self.rewrite(self.files[made].splitlines())
            elif batch.get("processing_status") == "in_progress":
                self.finish_anthropic(name, self.answer, only=self.only)
                self.only = None
                self.results[name] = self.rewrite(self.results[name].splitlines())

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status = self.statuses.pop() if self.statuses else 200
        if status != 200:
            return status, {"type": "error", "error": {"type": "api_error", "message": "no luck"}}
        prompt = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        if not isinstance(prompt, str):
            prompt = "".join(block["text"] for block in prompt)
        n = body.get("n", 1)
        self.bill.append((len(prompt), 2 * n))
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 2 * n}
        if self.protocol == "anthropic":
            used = {"input_tokens": len(prompt), "output_tokens": 2}
            content = [{"type": "text", "text": right_answer(prompt)}]
            return 200, message_answer(usage=used, content=content)
        choices = [
            {
                "index": index,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": right_answer(prompt)},
                "text": right_answer(prompt),
            }
            for index in range(n)
        ]
        return 200, chat_answer(n, choices=choices, usage=usage)

    def application(self) -> web.Application:
        app = super().application()
        app.router.add_get("/v1/models", self.models)
        return app


@contextmanager
def house(protocol: str) -> Iterator[House]:
    """A server that runs until the block is left."""
    server = House(protocol)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(server.application(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(120)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
