"""A server that speaks the batch protocols of OpenAI and Anthropic.

A batch runs when the test calls `finish`; each request is answered by `answer(body)`, which
returns a status and a body. Listings are pages of `page_size`, newest first, as at the providers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from scripted_server import chat_answer, message_answer


def answer_openai(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 200, chat_answer(body.get("n", 1))


def answer_anthropic(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 200, message_answer()


class BatchServer:
    def __init__(self, page_size: int = 100) -> None:
        self.page_size = page_size
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.requests: dict[str, list[dict[str, Any]]] = {}
        self.results: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.drop_after_creating = False
        self.url = ""
        self._made = 0

    def _new(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self._made}"

    # OpenAI

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        name = self._new("file")
        self.files[name] = form["file"].file.read()
        return web.json_response({"id": name, "object": "file"})

    async def create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        lines = self.files[asked["input_file_id"]].splitlines()
        name = self._new("batch")
        self.requests[name] = [json.loads(line) for line in lines]
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "completion_window": asked["completion_window"],
            "metadata": asked.get("metadata"),
            "status": "validating",
            "created_at": int(time.time()),
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        return self._created(request, name)

    def _created(self, request: web.Request, name: str) -> web.Response:
        if self.drop_after_creating:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(self.batches[name])

    async def listing(self, request: web.Request) -> web.Response:
        made = list(reversed(self.batches.values()))
        after = request.query.get("after") or request.query.get("after_id")
        if after:
            made = made[[batch["id"] for batch in made].index(after) + 1 :]
        size = min(self.page_size, int(request.query["limit"]))
        return web.json_response({"data": made[:size], "has_more": len(made) > size})

    async def retrieve(self, request: web.Request) -> web.Response:
        return web.json_response(self.batches[request.match_info["id"]])

    async def content(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["id"]])

    async def cancel(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        if "status" in batch:
            batch["status"] = "cancelling"
        else:
            batch["processing_status"] = "canceling"
        return web.json_response(batch)

    def finish_openai(
        self,
        name: str,
        answer: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]] = answer_openai,
        *,
        only: int | None = None,
        status: str = "completed",
    ) -> None:
        done: list[dict[str, Any]] = []
        wrong: list[dict[str, Any]] = []
        for line in reversed(self.requests[name][:only]):
            code, body = answer(line["body"])
            result = {"status_code": code, "request_id": "r", "body": body}
            (done if code == 200 else wrong).append(
                {"id": "x", "custom_id": line["custom_id"], "response": result, "error": None}
            )
        if only is not None:
            wrong += [
                {
                    "id": "x",
                    "custom_id": line["custom_id"],
                    "response": None,
                    "error": {"code": "batch_expired", "message": "was not executed in time"},
                }
                for line in self.requests[name][only:]
            ]
        batch = self.batches[name]
        batch["status"] = status
        batch["request_counts"] |= {"completed": len(done), "failed": len(wrong)}
        for field, lines in (("output_file_id", done), ("error_file_id", wrong)):
            if lines:
                batch[field] = self._new("file")
                self.files[batch[field]] = b"\n".join(json.dumps(x).encode() for x in lines)

    # Anthropic

    async def create_messages(self, request: web.Request) -> web.Response:
        asked = await request.json()
        name = self._new("msgbatch")
        self.requests[name] = asked["requests"]
        count = len(asked["requests"])
        self.batches[name] = {
            "id": name,
            "type": "message_batch",
            "processing_status": "in_progress",
            "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "results_url": None,
            "request_counts": {
                "processing": count,
                "succeeded": 0,
                "errored": 0,
                "canceled": 0,
                "expired": 0,
            },
        }
        return self._created(request, name)

    async def message_results(self, request: web.Request) -> web.Response:
        return web.Response(body=self.results[request.match_info["id"]])

    def finish_anthropic(
        self,
        name: str,
        answer: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]] = answer_anthropic,
        *,
        only: int | None = None,
    ) -> None:
        lines = []
        counts = dict.fromkeys(self.batches[name]["request_counts"], 0)
        for number, asked in enumerate(self.requests[name]):
            if only is not None and number >= only:
                result: dict[str, Any] = {"type": "expired"}
            else:
                code, body = answer(asked["params"])
                result = (
                    {"type": "succeeded", "message": body}
                    if code == 200
                    else {"type": "errored", "error": body}
                )
            counts[result["type"]] += 1
            lines.append(json.dumps({"custom_id": asked["custom_id"], "result": result}))
        self.results[name] = "\n".join(reversed(lines)).encode()
        self.batches[name] |= {
            "processing_status": "ended",
            "request_counts": counts,
            "results_url": f"{self.url}/v1/messages/batches/{name}/results",
        }

    @web.middleware
    async def note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return await handler(request)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.note], client_max_size=64 * 2**20)
        app.add_routes(
            [
                web.post("/v1/files", self.upload),
                web.get("/v1/files/{id}/content", self.content),
                web.post("/v1/batches", self.create),
                web.get("/v1/batches", self.listing),
                web.get("/v1/batches/{id}", self.retrieve),
                web.post("/v1/batches/{id}/cancel", self.cancel),
                web.post("/v1/messages/batches", self.create_messages),
                web.get("/v1/messages/batches", self.listing),
                web.get("/v1/messages/batches/{id}", self.retrieve),
                web.post("/v1/messages/batches/{id}/cancel", self.cancel),
                web.get("/v1/messages/batches/{id}/results", self.message_results),
            ]
        )
        return app


@asynccontextmanager
async def batch_server(page_size: int = 100):
    server = BatchServer(page_size)
    runner = web.AppRunner(server.application(), shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
