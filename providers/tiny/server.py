"""The HTTP server: OpenAI's API in front of the engine.

Answers `/v1/chat/completions`, `/v1/completions`, `/v1/models`, `/health` and `/metrics`. Every
error, those of aiohttp included, has OpenAI's shape. A client that goes away ends its request.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from providers.doorway import JsonRunner, most_at_once, wrong_content, wrong_host
from providers.tiny import MODEL_ID, answers, tokenizer
from providers.tiny.answers import Document, Head
from providers.tiny.bill import Bill, BillError
from providers.tiny.errors import ApiError
from providers.tiny.fields import parse_body
from providers.tiny.generation import Dispatcher, EngineEnded, Generation
from providers.tiny.llama import Model
from providers.tiny.metrics import Metrics
from providers.tiny.parsing import ServedModel, read
from providers.tiny.replies import MAX_BODY_BYTES, error_response, events, json_response, of_http
from providers.tiny.streaming import Pieces
from providers.tiny.weights import BUNDLED

MAX_CHOICES = 1024
"""Choices computed at once, and so the most in one request."""

SHUTDOWN_S = 3.0
"""How long requests in progress get to finish once the server is told to stop."""

LOG = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is started with."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any free one."""
    bill: Path | None = None
    model_directory: Path = BUNDLED
    model_name: str = MODEL_ID


class TinyServer:
    """One model behind HTTP. Made in the event loop that it serves from."""

    def __init__(self, settings: Settings, on_engine_end: Callable[[], None]) -> None:
        """Raises OSError or ModelFileError where model or bill cannot be opened."""
        self._settings = settings
        tokenizer.check(settings.model_directory)
        model = Model(settings.model_directory)
        self._offer = ServedModel(
            model=settings.model_name,
            context_tokens=model.config.context_tokens,
            vocabulary=model.config.vocabulary,
            max_choices=MAX_CHOICES,
        )
        self._metrics = Metrics(settings.model_name)
        self._bill = Bill(settings.bill)
        self._dispatcher = Dispatcher(model, MAX_CHOICES, on_engine_end)
        self._created = int(time.time())
        app = web.Application(middlewares=[self._shape_errors], client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completion)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model}", self._one_model)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._render_metrics)
        self._runner = JsonRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
        )

    async def start(self) -> int:
        """Listen; returns the port. Raises OSError where the address is taken or not ours."""
        await self._runner.setup()
        address = (self._settings.host, self._settings.port)
        site = web.TCPSite(self._runner, *address, backlog=most_at_once())
        await site.start()
        self._dispatcher.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening, give open requests a moment, end the engine."""
        await self._runner.cleanup()
        await self._dispatcher.settled(timeout_s=1)
        self._dispatcher.close()
        self._bill.close()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, chat=True)

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, chat=False)

    async def _generate(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        started = time.monotonic()
        ask = read(parse_body(await request.read()), self._offer, chat=chat)
        prefix = "chatcmpl-" if chat else "cmpl-"
        head = Head(prefix + secrets.token_hex(12), int(time.time()), ask)
        generation = self._dispatcher.begin(ask)
        try:
            if ask.stream:
                return await self._stream(request, head, generation, started)
            choices = await generation.choices()
        except (asyncio.CancelledError, ConnectionError):
            self._metrics.answers[request.path, 499] += 1
            self._dispatcher.abandon(generation, lambda ended: self._bill_abandoned(head, ended))
            raise
        self._count(head, generation, [choice.finish_reason for choice in choices], started)
        return json_response(answers.whole(head, choices), headers={"x-request-id": head.id})

    async def _stream(
        self, request: web.Request, head: Head, generation: Generation, started: float
    ) -> web.StreamResponse:
        """Answer with server-sent events, one per piece of a choice."""
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        response = web.StreamResponse(headers={**headers, "x-request-id": head.id})
        pieces = Pieces(head)
        await response.prepare(request)
        try:
            async for documents in self._pieces(head, generation, pieces, started):
                await response.write(events(documents))
        except (EngineEnded, BillError) as error:
            # The status is already sent; an error event is what the official client looks for.
            await response.write(b"data: " + _own_fault(error).body().encode() + b"\n\n")
        else:
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _pieces(
        self, head: Head, generation: Generation, pieces: Pieces, started: float
    ) -> AsyncIterator[list[Document]]:
        """A streamed answer's documents in batches; the last only once the bill is written."""
        reasons: list[str] = []
        if head.ask.chat:
            yield pieces.opening()
        async for steps in generation.steps():
            documents = [pieces.piece(step) for step in steps]
            reasons += [
                step.progress.finish_reason for step in steps if step.progress.finish_reason
            ]
            if len(reasons) == pieces.choices:
                self._count(head, generation, reasons, started)
                if head.ask.include_usage:
                    used = answers.usage(head.ask, generation.output_tokens)
                    documents.append(answers.stream_document(head, [], used))
            yield documents

    def _count(
        self, head: Head, generation: Generation, reasons: list[str], started: float
    ) -> None:
        """Write an answered request's bill and count it, before its answer leaves."""
        generation.billed = True
        self._bill.write(head.id, head.ask, generation.output_tokens, "answered")
        self._metrics.prompt_tokens += head.ask.prompt_tokens
        self._metrics.generation_tokens += generation.output_tokens
        self._metrics.finished.update(reasons)
        self._metrics.observe_latency(time.monotonic() - started)

    def _bill_abandoned(self, head: Head, generation: Generation) -> None:
        """Bill what was computed for a client that went away."""
        if generation.begun and not generation.billed:
            try:
                self._bill.write(head.id, head.ask, generation.output_tokens, "abandoned")
            except BillError as error:
                # Nobody is left to be told.
                LOG.error("Request %s: %s", head.id, error)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return json_response({"object": "list", "data": [self._model_document()]})

    async def _one_model(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["model"]
        if name != self._offer.model:
            raise ApiError(
                f"The model `{name}` does not exist here; this server has `{self._offer.model}`.",
                status=404,
                param="model",
                code="model_not_found",
            )
        return json_response(self._model_document())

    def _model_document(self) -> Document:
        return {
            "id": self._offer.model,
            "object": "model",
            "created": self._created,
            "owned_by": "orch",
            "max_model_len": self._offer.context_tokens,
        }

    async def _health(self, request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def _render_metrics(self, request: web.Request) -> web.StreamResponse:
        text = self._metrics.render(
            running=self._dispatcher.running, waiting=self._dispatcher.waiting
        )
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    @web.middleware
    async def _shape_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer every refusal in OpenAI's shape and count the answer."""
        try:
            if said := wrong_host(request.host, (self._settings.host,)):
                raise ApiError(said, status=403)
            if said := wrong_content(request):
                raise ApiError(said, status=415)
            response = await handler(request)
        except ApiError as error:
            response = error_response(error)
        except (EngineEnded, BillError) as error:
            response = error_response(_own_fault(error))
        except web.HTTPException as error:
            response = error_response(of_http(request, error), allow=error.headers.get("Allow"))
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else "other"
        self._metrics.answers[path, response.status] += 1
        return response


def _own_fault(error: EngineEnded | BillError) -> ApiError:
    """What a client is told of a fault that is the server's."""
    message = str(error) or "The engine has ended; see the server's log and start it again."
    return ApiError(message, status=500, kind="server_error")
