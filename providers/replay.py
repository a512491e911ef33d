"""Recorded or published outcomes served as a provider, and as an HTTP server.

    python -m providers.replay FILE [--port N] [--latency-s S] [--tokens-per-s R] [--seed N]

`ReplayProvider` answers within the process; the server speaks OpenAI's protocol (chat and raw
completions, models), so that everything between a run and a provider is real. Slot i of a problem
is the same draw on every run with the same seed (providers/recording.py): the request's
`first_slot` says which slots it wants. A request that does not say gets the next ones in order of
arrival, and gets them again if it comes again with the same seed.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budgets.usage import Usage
from providers.errors import InvalidRequest
from providers.recording import Drawn, RecordedProblem, Recording
from providers.sample import Capabilities, Choice, SampleRequest, SampleResponse

if TYPE_CHECKING:
    from aiohttp import web

MAX_N = 10_000
REMEMBERED = 10_000
"""Requests without slots whose draws are known again when they are tried again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long an answer takes: a fixed part, and the time to write its longest choice."""

    latency_s: float = 0.0
    tokens_per_s: float | None = None

    def of(self, draws: list[Drawn]) -> float:
        """Seconds for these draws, written side by side."""
        writing = (
            max(draw.output_tokens for draw in draws) / self.tokens_per_s
            if (self.tokens_per_s)
            else 0.0
        )
        return self.latency_s + writing


class Replayer:
    """Which draws a request gets."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._given: dict[tuple[str, int], int] = {}

    def draws(self, asked: Mapping[str, Any]) -> tuple[RecordedProblem, list[Drawn]]:
        """The problem and the n draws for a request body; raises InvalidRequest."""
        problem = self._recording.find(asked)
        n = int(asked.get("n") or 1)
        first = asked.get("first_slot")
        if first is None:
            first = self._next(problem, asked.get("seed"), n)
        return problem, [problem.draw(slot) for slot in range(first, first + n)]

    def _next(self, problem: RecordedProblem, seed: int | None, n: int) -> int:
        if seed is None:
            return problem.take(n)
        key = (problem.id, seed)
        if key not in self._given:
            self._given[key] = problem.take(n)
            if len(self._given) > REMEMBERED:
                del self._given[next(iter(self._given))]
        return self._given[key]


class ReplayProvider:
    """A recording as a provider, without any network."""

    def __init__(
        self, recording: Recording, *, model: str = "replay", pace: Pace | None = None
    ) -> None:
        self.name = "replay"
        self.capabilities = Capabilities(max_n=MAX_N, seed=True, raw_completions=True)
        self._replayer = Replayer(recording)
        self._model = model
        self._pace = pace or Pace()

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """The draws for `request`; raises InvalidRequest where nothing was recorded."""
        request.sending.sent = "not_sent"
        asked: dict[str, Any] = {"n": request.n, "first_slot": request.first_slot}
        asked["seed"] = request.seed
        asked["prompt"], asked["messages"] = request.prompt, request.messages
        problem, draws = self._replayer.draws(asked)
        request.sending.sent = "maybe_billed"
        await asyncio.sleep(self._pace.of(draws))
        usage = Usage(
            input_tokens=problem.prompt_tokens,
            output_tokens=sum(draw.output_tokens for draw in draws),
        )
        return SampleResponse(
            choices=tuple(
                Choice(index, draw.text, "stop", draw.output_tokens)
                for index, draw in enumerate(draws)
            ),
            usage=usage,
            usage_raw=usage_object(problem, draws),
            model=self._model,
        )

    async def models(self) -> list[str]:
        """The one model that was recorded."""
        return [self._model]

    async def aclose(self) -> None:
        """Nothing is held."""


def usage_object(problem: RecordedProblem, draws: list[Drawn]) -> dict[str, int]:
    """Usage as OpenAI writes it."""
    output = sum(draw.output_tokens for draw in draws)
    return {
        "prompt_tokens": problem.prompt_tokens,
        "completion_tokens": output,
        "total_tokens": problem.prompt_tokens + output,
    }


def application(
    recording: Recording, *, model: str = "replay", pace: Pace | None = None
) -> web.Application:
    """The HTTP server's application."""
    import msgspec
    from aiohttp import web

    from providers.doorway import at_the_door

    replayer, tempo = Replayer(recording), pace or Pace()

    def json(value: Any, status: int = 200) -> web.Response:
        return web.Response(
            status=status, body=msgspec.json.encode(value), content_type="application/json"
        )

    async def complete(request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=dict[str, Any])
            problem, draws = replayer.draws(asked)
        except (msgspec.DecodeError, InvalidRequest, KeyError, TypeError, ValueError) as error:
            wrong = {"message": str(error), "type": "invalid_request_error", "code": None}
            return json({"error": wrong}, 400)
        await asyncio.sleep(tempo.of(draws))
        chat = "messages" in asked
        choices = [
            {"index": index, "finish_reason": "stop", "logprobs": None}
            | (
                {"message": {"role": "assistant", "content": draw.text}}
                if chat
                else {"text": draw.text}
            )
            for index, draw in enumerate(draws)
        ]
        return json(
            {
                "id": f"replay-{problem.id}",
                "object": "chat.completion" if chat else "text_completion",
                "created": 0,
                "model": model,
                "choices": choices,
                "usage": usage_object(problem, draws),
            }
        )

    async def models(request: web.Request) -> web.Response:
        return json({"object": "list", "data": [{"id": model, "object": "model"}]})

    app = web.Application(middlewares=[at_the_door])
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_post("/v1/completions", complete)
    app.router.add_get("/v1/models", models)
    return app


async def serve(app: web.Application, host: str, port: int) -> None:
    """Serve until cancelled; prints the base URL once the port is open."""
    from aiohttp import web

    from providers.doorway import JsonRunner

    runner = JsonRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=4096)
        await site.start()
        bound = runner.addresses[0][1]
        print(f"http://{host}:{bound}/v1", flush=True)  # noqa: T201
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main(arguments: list[str] | None = None) -> None:
    """The command line of `python -m providers.replay`."""
    parser = argparse.ArgumentParser(prog="python -m providers.replay", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default="replay")
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--tokens-per-s", type=float, default=None)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    try:
        recording = Recording.load(given.file, seed=given.seed)
    except ValueError as error:
        parser.error(str(error))
    pace = Pace(given.latency_s, given.tokens_per_s)
    app = application(recording, model=given.model, pace=pace)
    try:
        asyncio.run(serve(app, given.host, given.port))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
