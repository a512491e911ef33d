"""A provider that misbehaves in every way a provider can, over real HTTP, and keeps its own bill.

    python tests/hostile/server.py --bill bill.jsonl --faults error_500=0.05,reset_after=0.1

prints `listening on http://127.0.0.1:PORT` and serves OpenAI's chat completions, completions and
models under /v1, and Anthropic's /v1/messages. In a test:

    async with HostileServer(tmp_path / "bill.jsonl", probabilities={"error_500": 0.1}) as server:
        ... server.url ...
    with hostile_process(tmp_path / "bill.jsonl", faults="error_500=0.1") as url:
        ...                                            # a process of its own

Faults are those of faults.py. Prompts have a token for every four bytes; the number of tokens of
a choice is drawn from the seed, far below max_tokens (`output_share` on average). Each choice says
something different and ends with an answer line, `#### NUMBER`. Equal seeds and equal order of
requests give equal faults.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.forks import Forked
from tests.hostile.bill import Bill, Line
from tests.hostile.faults import BILLED, Faults, parse_probabilities
from tests.hostile.made import Made
from tests.hostile.odd import SHAPES
from tests.hostile.shapes import Answer, anthropic_body, error_body, openai_body, prompt_of


class HostileServer:
    """The server, in the running event loop; `async with` starts and stops it.

    `input_usd`, `output_usd`: dollars per million tokens. `latency_s`: the span from which each
    answer's delay is drawn. `retry_after_s`: what a 429 asks for. `drip_s`: how long a slow body
    takes.
    """

    def __init__(
        self,
        bill: Path,
        *,
        probabilities: Mapping[str, float] | None = None,
        script: Sequence[str] = (),
        seed: int = 0,
        model: str = "hostile",
        input_usd: str = "3.00",
        output_usd: str = "15.00",
        output_share: float = 0.08,
        latency_s: tuple[float, float] = (0.0, 0.0),
        retry_after_s: float = 1.0,
        drip_s: float = 1.0,
    ) -> None:
        self.bill = Bill(bill, input_usd, output_usd)
        self._other = Bill(bill, "1.00", "4.00")
        """What another model costs that answers in place of the one asked for."""
        self.faults = Faults(probabilities, seed, script)
        self.model = model
        self.url = ""
        """Base address without /v1, once started."""
        self.requests = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self._seed = seed
        self._output_share = output_share
        self._latency_s = latency_s
        self._retry_after_s = retry_after_s
        self._drip_s = drip_s
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        application = web.Application(client_max_size=2**26)
        application.router.add_get("/v1/models", self._models)
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/messages"):
            application.router.add_post(path, self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=4096)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close every connection and the bill."""
        if self._runner is not None:
            await self._runner.cleanup()
        self.bill.close()
        self._other.close()

    async def __aenter__(self) -> HostileServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _models(self, _: web.Request) -> web.Response:
        card = {"id": self.model, "object": "model", "created": 0, "owned_by": "hostile"}
        return web.json_response({"object": "list", "data": [card]})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        number = self.requests
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, number)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, number: int) -> web.StreamResponse:
        fault = self.faults.of(number, request.headers.get("x-hostile-fault"))
        anthropic = request.path == "/v1/messages"
        if fault == "reset_before":
            self._write(request, number, fault, {}, None)
            return self._reset(request)
        try:
            body = await request.json()
            answer = self._made(body, number, fault)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return self._error(request, 400, "invalid_request_error", f"bad request: {error!r}")
        if answer.model != self.model:
            return self._error(request, 404, "not_found_error", f"no model {answer.model!r}")
        # On the bill before anything is sent, as a provider's own books are.
        self._write(request, number, fault, body, answer)
        low, high = self._latency_s
        await asyncio.sleep(random.Random(f"{self._seed} latency {number}").uniform(low, high))
        refusal = self._refusal(request, fault)
        if refusal is not None:
            return refusal
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "reset_after":
            return self._reset(request)
        document = (
            anthropic_body(answer) if anthropic else openai_body(answer, "chat" in request.path)
        )
        if fault == "no_usage":
            del document["usage"]
        text = json.dumps(document).encode()
        if fault == "broken_json":
            text = text[:-20].replace(b":", b"", 3) + b"]}"
        if fault in SHAPES:
            return self._shaped(request, fault, document, answer)
        if fault in ("half_body", "slow_body"):
            return await self._drip(request, text, whole=fault == "slow_body")
        return web.Response(body=text, content_type="application/json")

    def _shaped(
        self, request: web.Request, fault: str, document: dict[str, Any], answer: Answer
    ) -> web.Response:
        cost = self._pico(fault, answer.prompt_tokens, answer.output_tokens, plain=True)
        made = Made({**document, "plain_usd": cost / 10**12})
        SHAPES[fault].change(made)
        if isinstance(made.document, dict):
            made.document.pop("plain_usd", None)
        if made.wire is not None and request.transport is not None:
            request.transport.write(made.wire)
            request.transport.close()
            return web.Response()
        headers = {"content-type": "application/json", **made.headers}
        return web.Response(body=made.encoded(), status=made.status, headers=headers)

    def _pico(
        self, fault: str, prompt_tokens: int, output_tokens: int, *, plain: bool = False
    ) -> int:
        """What an answer costs; `plain`: without what its shape makes of it."""
        shape = SHAPES.get(fault)
        bill = self._other if shape is not None and shape.model == "hostile-mini" else self.bill
        share = 1.0 if plain or shape is None else shape.bill
        return bill.share(prompt_tokens, output_tokens, share)

    def _made(self, body: dict[str, Any], number: int, fault: str) -> Answer:
        prompt, messages = prompt_of(body)
        n = int(body.get("n", 1))
        most = int(body.get("max_completion_tokens", body.get("max_tokens", 256)))
        if n < 1 or most < 1:
            raise ValueError("n and max_tokens must be at least 1")
        draw = random.Random(f"{self._seed} text {body.get('seed')} {number}")
        choices = 1 if fault == "ignore_n" else n
        lengths = [
            min(most, max(1, round(draw.gammavariate(2, most * self._output_share / 2))))
            for _ in range(choices)
        ]
        if fault == "length":
            lengths = [most] * choices
        texts = tuple(
            f"{draw.getrandbits(64):016x} so\n#### {draw.randrange(100)}" for _ in lengths
        )
        tokens = sum(lengths)
        if fault == "over_usage":
            tokens = most * n * 2 + 10_000
        return Answer(
            number=number,
            model=str(body["model"]),
            texts=texts,
            finish=fault if fault in ("length", "content_filter") else "stop",
            prompt_tokens=-(-len(prompt.encode()) // 4) + 4 * messages + 3,
            output_tokens=tokens,
        )

    def _write(
        self,
        request: web.Request,
        number: int,
        fault: str,
        body: dict[str, Any],
        answer: Answer | None,
    ) -> None:
        prompt_tokens = answer.prompt_tokens if answer else 0
        output_tokens = answer.output_tokens if answer else 0
        billed = answer is not None and BILLED[fault]
        self.bill.write(
            Line(
                number=number,
                path=request.path,
                model=answer.model if answer else "",
                fault=fault,
                n=int(body.get("n", 1)),
                seed=body.get("seed"),
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
                pico=self._pico(fault, prompt_tokens, output_tokens) if billed else 0,
                prompt=prompt_of(body)[0][:80] if body else "",
            )
        )

    def _refusal(self, request: web.Request, fault: str) -> web.Response | None:
        """The answer to a request that is refused with a status."""
        if fault == "quota":
            return self._error(request, 429, "insufficient_quota", "You exceeded your quota.")
        if fault.startswith("rate_limited"):
            headers = {}
            if fault == "rate_limited_seconds":
                headers["retry-after"] = f"{self._retry_after_s:g}"
            if fault == "rate_limited_date":
                at = datetime.now(UTC) + timedelta(seconds=self._retry_after_s)
                headers["retry-after"] = at.strftime("%a, %d %b %Y %H:%M:%S GMT")
            return self._error(request, 429, "rate_limit_error", "Too many requests.", headers)
        if fault == "error_500":
            return self._error(request, 500, "api_error", "Something broke.")
        if fault == "error_503":
            return self._error(request, 503, "overloaded_error", "Too busy.")
        if fault == "gateway_502":
            return web.Response(
                status=502, text="<html>Bad gateway</html>", content_type="text/html"
            )
        return None

    @staticmethod
    def _error(
        request: web.Request,
        status: int,
        kind: str,
        message: str,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        body = error_body(request.path == "/v1/messages", kind, message)
        return web.json_response(body, status=status, headers=headers)

    @staticmethod
    def _reset(request: web.Request) -> web.StreamResponse:
        """Break the connection so that the client sees a reset."""
        transport = request.transport
        if transport is not None:
            raw = transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        return web.Response()

    async def _drip(self, request: web.Request, text: bytes, *, whole: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        response.content_length = len(text)
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            if not whole:
                await response.write(text[: len(text) // 2])
                return self._reset(request)
            for start in range(0, len(text), max(1, len(text) // 20)):
                await response.write(text[start : start + max(1, len(text) // 20)])
                await asyncio.sleep(self._drip_s / 20)
            await response.write_eof()
        return response


@contextlib.contextmanager
def hostile_process(bill: Path, **options: object) -> Iterator[str]:
    """The server in a process of its own; yields its base address without /v1.

    `options` are the command line's: faults="error_500=0.1", seed=3, latency="0,0.2", ...
    """
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    process = Forked(
        ["tests.hostile.server", f"--bill={bill}", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError("the hostile server did not start")
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(120)
        if process.stdout is not None:
            process.stdout.close()


async def _main(options: argparse.Namespace) -> None:
    low, _, high = options.latency.partition(",")
    server = HostileServer(
        options.bill,
        probabilities=parse_probabilities(options.faults),
        script=[name for name in options.script.split(",") if name],
        seed=options.seed,
        model=options.model,
        input_usd=options.input_usd,
        output_usd=options.output_usd,
        output_share=options.output_share,
        latency_s=(float(low), float(high or low)),
        retry_after_s=options.retry_after,
        drip_s=options.drip,
    )
    await server.start(port=options.port)
    print(f"listening on {server.url}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="A provider that misbehaves and bills.")
    parser.add_argument("--bill", type=Path, required=True, help="JSON lines, appended to")
    parser.add_argument("--faults", default="", help="such as error_500=0.05,reset_after=0.1")
    parser.add_argument("--script", default="", help="faults of the first requests, by order")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default="hostile")
    parser.add_argument("--input-usd", default="3.00", help="dollars per million tokens")
    parser.add_argument("--output-usd", default="15.00")
    parser.add_argument("--output-share", type=float, default=0.08, help="of max_tokens, used")
    parser.add_argument("--latency", default="0,0", metavar="LOW,HIGH", help="seconds")
    parser.add_argument("--retry-after", type=float, default=1.0, metavar="S")
    parser.add_argument("--drip", type=float, default=1.0, metavar="S", help="of a slow body")
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
