"""A server whose every answer a test decides, over real HTTP."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], dict[str, Any]]
"""Status, headers beside the length, body."""

Said = tuple[int, dict[str, str], bytes]
"""The same with a body of any bytes."""

MODELS = {"data": [{"id": "hostile"}]}


class Speaking(BaseHTTPRequestHandler):
    """Says what it is told to, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def asked(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value.replace("\n", " "))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """With a thread for each request."""

    def handle_error(self, *about: Any) -> None:
        # A client that was killed is nothing to tell of.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*about)


@contextlib.contextmanager
def running(handler: type[Speaking]) -> Iterator[str]:
    """A server that runs until the block is left; yields its address."""
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def serving(
    reply: Callable[[dict[str, Any]], Reply], models: dict[str, Any] = MODELS
) -> Iterator[str]:
    """A server whose answers `reply` gives; yields its address without /v1."""

    class Handler(Speaking):
        def do_GET(self) -> None:
            self.say(200, {}, json.dumps(models).encode())

        def do_POST(self) -> None:
            status, headers, document = reply(json.loads(self.asked()))
            self.say(status, headers, json.dumps(document).encode())

    with running(Handler) as url:
        yield url


@contextlib.contextmanager
def saying(answers: list[Said], then: Said, key: str = "") -> Iterator[str]:
    """A server that gives these answers once each and then `then`; yields its address.

    `key`: what every question must bring.
    """
    lock, left = threading.Lock(), list(reversed(answers))

    class Handler(Speaking):
        def do_GET(self) -> None:
            self.say(200, {}, json.dumps({"data": [{"id": "m"}]}).encode())

        def do_POST(self) -> None:
            self.asked()
            assert not key or self.headers["Authorization"] == f"Bearer {key}"
            with lock:
                said = left.pop() if left else then
            self.say(*said)

    with running(Handler) as url:
        yield f"{url}/v1"
