"""A server that costs next to nothing: OpenAI's protocol over a bare asyncio protocol.

    python benchmarks/dispatch_server.py [--port N] [--delay SECONDS] [--text-bytes N]
        [--fail STATUS --fail-share SHARE]

Prints its port. Answers every POST with as many choices as the request's n, after `--delay`; with
--fail-share that share of them, drawn at random, at once with the status of --fail. GET /stats
tells how many POSTs came since the last time, and the seconds from the first one's arrival to the
last answer; any other GET gets a list of one model. It exists so that a benchmark measures the
client, and measures all clients alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import resource
import time

N = re.compile(rb'"n": ?(\d+)')


def completion(n: int, text_bytes: int) -> bytes:
    """A whole HTTP answer with `n` choices."""
    text = ("Let us see. " * (text_bytes // 12 + 1))[:text_bytes] + "\n42"
    body = json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1,
            "model": "bench",
            "choices": [
                {
                    "index": i,
                    "message": {"role": "assistant", "content": text},
                    "text": text,
                    "finish_reason": "stop",
                    "logprobs": None,
                }
                for i in range(n)
            ],
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 200 * n,
                "total_tokens": 100 + 200 * n,
            },
        }
    ).encode()
    return http(body)


def http(body: bytes, status: int = 200, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Clock:
    """How many requests came, and between when and when."""

    def __init__(self) -> None:
        self.requests = 0
        self.most_at_once = 0
        self.open = 0
        self.first = self.last = self.first_at = 0.0

    def asked(self) -> None:
        if not self.requests:
            self.first, self.first_at = time.perf_counter(), time.time()
        self.requests += 1
        self.open += 1
        self.most_at_once = max(self.most_at_once, self.open)

    def answered(self) -> None:
        self.open -= 1
        self.last = time.perf_counter()

    def stats(self) -> bytes:
        told = {
            "requests": self.requests,
            "seconds": self.last - self.first,
            "first_at": self.first_at,
            "most_at_once": self.most_at_once,
        }
        self.requests = self.most_at_once = 0
        return http(json.dumps(told).encode())


class Answering(asyncio.Protocol):
    """One connection; requests come one after another on it."""

    models = http(b'{"object":"list","data":[{"id":"bench","object":"model"}]}')

    def __init__(
        self,
        delay_s: float,
        text_bytes: int,
        answers: dict[int, bytes],
        clock: Clock,
        fail: int,
        fail_share: float,
        chance: random.Random,
    ) -> None:
        self.clock = clock
        self.fail_share = fail_share
        self.chance = chance
        more = "Retry-After: 0.3\r\n" if fail == 429 else ""
        self.refusal = http(b'{"error": {"message": "now and then"}}', fail, more)
        self.delay_s = delay_s
        self.text_bytes = text_bytes
        self.answers = answers
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            line = head[at + 15 :].split(b"\r\n", 1)[0] if at >= 0 else b"0"
            total = end + 4 + int(line)
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get"):
            self.write(self.clock.stats() if head.startswith(b"get /stats") else self.models)
            return
        self.clock.asked()
        if self.fail_share and self.chance.random() < self.fail_share:
            self.send(self.refusal)
            return
        asked = N.search(body)
        n = int(asked[1]) if asked else 1
        if n not in self.answers:
            self.answers[n] = completion(n, self.text_bytes)
        if self.delay_s:
            asyncio.get_running_loop().call_later(self.delay_s, self.send, self.answers[n])
        else:
            self.send(self.answers[n])

    def send(self, data: bytes) -> None:
        self.clock.answered()
        self.write(data)

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)


async def serve(port: int, delay_s: float, text_bytes: int, fail: int, fail_share: float) -> None:
    loop = asyncio.get_running_loop()
    answers: dict[int, bytes] = {}
    clock = Clock()
    chance = random.Random(0)
    server = await loop.create_server(
        lambda: Answering(delay_s, text_bytes, answers, clock, fail, fail_share, chance),
        "127.0.0.1",
        port,
        backlog=16384,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--text-bytes", type=int, default=800)
    parser.add_argument("--fail", type=int, default=500)
    parser.add_argument("--fail-share", type=float, default=0.0)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(
        serve(
            arguments.port,
            arguments.delay,
            arguments.text_bytes,
            arguments.fail,
            arguments.fail_share,
        )
    )


if __name__ == "__main__":
    main()
