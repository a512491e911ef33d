"""What the engine tells a provider beyond the prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.run.serving import Reply, serving

PRICES = """
[models."claude-odd"]
input = "3.00"
output = "15.00"
cached_input = "0.30"
cache_write = "3.75"
"""


def test_a_prompt_that_is_asked_again_is_offered_to_the_cache(orch, tmp_path: Path):
    bodies: list[dict[str, Any]] = []
    answer = {
        "id": "m", "type": "message", "role": "assistant", "model": "claude-odd",
        "content": [{"type": "text", "text": "1"}], "stop_reason": "end_turn",
        "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1},
    }  # fmt: skip

    def reply(body: dict[str, Any]) -> Reply:
        bodies.append(body)
        return 200, {"Content-Type": "application/json"}, answer

    (tmp_path / "p.toml").write_text(PRICES)
    line = {"id": "a", "messages": [{"role": "user", "content": "1+0="}], "answer": "1"}
    (tmp_path / "t.jsonl").write_text(json.dumps(line) + "\n")
    models = {"data": [{"id": "claude-odd", "type": "model"}], "has_more": False}
    with serving(reply, models) as url:
        command = [
            "run", "--provider", "anthropic", "--base-url", url, "--api-key-env", "ODD_KEY",
            "--model", "claude-odd", "--task", "t.jsonl", "--prices", "p.toml", "--budget", "1",
            "--json",
        ]  # fmt: skip
        ended = orch(*command, "--samples", "2", ODD_KEY="sk-odd-0123456789")
        assert ended.code == 0, ended.err
        assert len(bodies) == 2
        assert all("cache_control" in json.dumps(body) for body in bodies)
        bodies.clear()
        once = orch(*command, "--samples", "1", "--name", "once", ODD_KEY="sk-odd-0123456789")
        assert once.code == 0, once.err
        assert [("cache_control" in json.dumps(body)) for body in bodies] == [False]
    for path in (tmp_path / "runs").rglob("*"):
        if path.is_file():
            assert b"sk-odd-0123456789" not in path.read_bytes()
