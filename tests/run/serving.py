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

MODELS = {"data": [{"id": "hostile"}]}


@contextlib.contextmanager
def serving(
    reply: Callable[[dict[str, Any]], Reply], models: dict[str, Any] = MODELS
) -> Iterator[str]:
    """A server with a thread for each request; yields its address without /v1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _say(self, status: int, headers: dict[str, str], document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._say(200, {}, models)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._say(*reply(json.loads(body)))

    class Server(ThreadingHTTPServer):
        def handle_error(self, *about: Any) -> None:
            # A client that was killed is nothing to tell of.
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(*about)

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
