"""What the engine tells a provider beyond the prompt."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PRICES = """
[models."claude-odd"]
input = "3.00"
output = "15.00"
cached_input = "0.30"
cache_write = "3.75"
"""


def test_a_prompt_that_is_asked_again_is_offered_to_the_cache(orch, tmp_path: Path):
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _say(self, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._say({"data": [{"id": "claude-odd", "type": "model"}], "has_more": False})

        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._say(
                {
                    "id": "m", "type": "message", "role": "assistant", "model": "claude-odd",
                    "content": [{"type": "text", "text": "1"}], "stop_reason": "end_turn",
                    "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1},
                }
            )  # fmt: skip

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    (tmp_path / "p.toml").write_text(PRICES)
    line = {"id": "a", "messages": [{"role": "user", "content": "1+0="}], "answer": "1"}
    (tmp_path / "t.jsonl").write_text(json.dumps(line) + "\n")
    try:
        command = [
            "run", "--provider", "anthropic", "--base-url",
            f"http://127.0.0.1:{server.server_address[1]}", "--api-key-env", "ODD_KEY", "--model",
            "claude-odd", "--task", "t.jsonl", "--prices", "p.toml", "--budget", "1", "--json",
        ]  # fmt: skip
        ended = orch(*command, "--samples", "2", ODD_KEY="sk-odd-0123456789")
        assert ended.code == 0, ended.err
        assert len(bodies) == 2
        assert all("cache_control" in json.dumps(body) for body in bodies)
        bodies.clear()
        once = orch(*command, "--samples", "1", "--name", "once", ODD_KEY="sk-odd-0123456789")
        assert once.code == 0, once.err
        assert [("cache_control" in json.dumps(body)) for body in bodies] == [False]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    for path in (tmp_path / "runs").rglob("*"):
        if path.is_file():
            assert b"sk-odd-0123456789" not in path.read_bytes()
