"""A paid server that notes which key came to it, over real HTTP."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


@dataclass
class Keyed:
    """What a server saw."""

    url: str = ""
    keys: set[str] = field(default_factory=set)
    """The Authorization headers of all requests to its API, "" where there was none."""
    answered: int = 0
    times: list[float] = field(default_factory=list)
    """When each question was answered, by a clock that nobody sets."""


@contextlib.contextmanager
def keyed_server(
    model: str = "some-model", text: str = "4", delay_s: float = 0.0
) -> Iterator[Keyed]:
    """Answers every question with `text` and the usage USAGE."""
    seen = Keyed()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _say(self, document: object) -> None:
            # Whether a server is well is asked without any key, and beside its API.
            if self.path.startswith("/v1"):
                seen.keys.add(self.headers.get("Authorization", ""))
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._say({"data": [{"id": model}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(delay_s)
            n = asked.get("n", 1)
            seen.answered += n
            seen.times.append(time.monotonic())
            message = {"role": "assistant", "content": text}
            choices = [
                {"index": i, "finish_reason": "stop", "message": message, "text": text}
                for i in range(n)
            ]
            usage = {**USAGE, "completion_tokens": USAGE["completion_tokens"] * n}
            self._say({"id": "x", "model": model, "choices": choices, "usage": usage})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
