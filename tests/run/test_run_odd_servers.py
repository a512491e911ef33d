"""Answers that no reader expects are the trouble of their one request, never the end of a run."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from tests.run.serving import Said, saying

DEEP = b"[" * 100_000 + b"]" * 100_000


def answer(usage: bytes = b'{"prompt_tokens": 10, "completion_tokens": 5}') -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "text": "4",
              "message": {"role": "assistant", "content": "4"}}  # fmt: skip
    head = json.dumps({"id": "x", "model": "m", "choices": [choice]})
    return head[:-1].encode() + b', "usage": ' + usage + b"}"


ODD: dict[str, Said] = {
    "brackets in a field of the usage": (
        200, {}, answer(b'{"prompt_tokens": 10, "completion_tokens": 5, "more": ' + DEEP + b"}"),
    ),
    "brackets as the usage": (200, {}, answer(DEEP)),
    "brackets without an end": (200, {}, answer(b"[" * 100_000)),
    "brackets as the answer": (200, {}, DEEP),
    "brackets in a 500": (500, {}, b'{"error": ' + DEEP + b"}"),
    "brackets in a 429": (429, {"Retry-After": "0"}, DEEP),
    "a wait until a year that no calendar has": (
        429, {"Retry-After": "Fri, 31 Dec 99999999999999999 23:59:59 GMT"}, b"{}",
    ),
    "a wait in a year of five digits": (
        503, {"Retry-After": "Fri, 31 Dec 10000 23:59:59 GMT"}, b"{}",
    ),
    "a wait of a number without an end": (429, {"Retry-After": "1e999999999"}, b"{}"),
}  # fmt: skip


@pytest.mark.parametrize("odd", list(ODD))
def test_an_odd_answer_costs_its_own_request_at_most(odd, orch, tmp_path):
    """The run is complete, and what may have been billed is settled or held."""
    (tmp_path / "p.toml").write_text('[models."m"]\ninput = "3.00"\noutput = "15.00"\n')
    with saying([ODD[odd]], (200, {}, answer())) as url:
        ended = orch(
            "run", "--provider", "compatible", "--base-url", url, "--model", "m", "--task",
            "arithmetic", "--prices", "p.toml", "--samples", 2, "--limit", 3, "--name", "r",
            "--budget", 5, "--n-per-request", 1, "--max-concurrent", 1, "--json", timeout=60,
        )  # fmt: skip
    assert ended.code in (0, 1), ended.err
    assert "Traceback" not in ended.err
    with contextlib.closing(sqlite3.connect(tmp_path / "runs/r/run.db")) as db:
        kinds = dict(db.execute("SELECT kind, count(*) FROM ledger GROUP BY kind").fetchall())
        samples = dict(db.execute("SELECT kind, count(*) FROM samples GROUP BY kind").fetchall())
    booked = kinds.get("settle", 0) + kinds.get("hold", 0)
    assert sum(samples.values()) == 6 and samples["ok"] >= 5
    assert booked >= 6 if ODD[odd][0] == 200 else booked == kinds["settle"] == 6
