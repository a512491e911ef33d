"""What waits for money, and for how long: an arm's own budget, long pauses, smaller requests."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from typing import Any

import pytest

from budgets.ledger import Ledger
from budgets.money import picodollars
from orchestrator.store.reader import RunReader
from tests.run.serving import Reply, serving
from tests.run.test_run_arms import write


def answer(n: int = 1, output_tokens: int = 1) -> Reply:
    choices = [{"index": i, "text": "1", "finish_reason": "stop"} for i in range(n)]
    usage = {"prompt_tokens": 4, "completion_tokens": n * output_tokens}
    return 200, {}, {"choices": choices, "model": "hostile", "usage": usage}


def ledger_of(run) -> Ledger:
    with closing(RunReader(run)) as reader:
        return Ledger.read(reader.events())


@pytest.mark.parametrize("retried", [False, True])
def test_an_arm_that_waits_for_its_own_budget_does_not_hold_up_the_other(retried, orch, tmp_path):
    """The first arm's only affordable request is answered once the second arm is done."""
    asked: Counter[int] = Counter()
    done, lock = threading.Event(), threading.Lock()
    waited: list[bool] = []

    def reply(body: dict[str, Any]) -> Reply:
        with lock:
            asked[body["max_tokens"]] += 1
            first_arm = asked[50]
        if body["max_tokens"] != 50:
            if asked[60] == 24:
                done.set()
            return answer()
        if retried and first_arm == 1:
            return 429, {"Retry-After": "0"}, {"error": {"message": "slower"}}
        waited.append(done.wait(200))
        return answer()

    with serving(reply) as url:
        # Pays for one request of the first arm at a time.
        write(tmp_path, url, first='budget = "0.0008"', concurrent=4)
        ended = orch("run", "s.toml", "--json", timeout=240)
    assert ended.code == 3, ended.err
    assert asked[60] == 24 and waited and all(waited)
    rows = ended.json["rows"]
    assert rows[1]["samples"] == 24 and 0 < rows[0]["samples"] < 24
    first = ledger_of(tmp_path / "runs/two").totals("arm:0")
    assert first.committed <= picodollars("0.0008")
    # It stopped only where its next attempt did not fit (its prompt is bounded by 14 tokens).
    assert first.free is not None and first.free < (14 * 3 + 50 * 15) * 10**6


def single(url: str, *more: object) -> list[object]:
    return [
        "run", "--provider", "compatible", "--base-url", f"{url}/v1", "--model", "hostile",
        "--task", "arithmetic", "--prices", "p.toml", "--name", "r", "--json", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("status", [503, 429])
def test_a_pause_longer_than_anybody_waits_ends_the_run_with_its_reason(status, orch, tmp_path):
    (tmp_path / "p.toml").write_text('[models.hostile]\ninput = "3.00"\noutput = "15.00"\n')
    refused = (status, {"Retry-After": "86400"}, {"error": {"message": "down for the day"}})
    with serving(lambda body: refused) as url:
        ended = orch(*single(url, "--limit", "1", "--samples", "1"), timeout=240)
    assert ended.code == 4, ended.err
    said = ended.json["reasons"][0]
    assert "longer than the 900 s that are waited for; resume when" in said
    assert ledger_of(tmp_path / "runs/r").totals().committed == 0


def test_a_slot_that_was_tried_in_two_sizes_counts_once(orch, tmp_path):
    """A request of four fails for good; the rest of the money pays for less than four."""
    (tmp_path / "p.toml").write_text('[models.hostile]\ninput = "3.00"\noutput = "15.00"\n')
    broken = (500, {}, {"error": {"message": "broken"}})
    asked: list[int] = []

    def reply(body: dict[str, Any]) -> Reply:
        asked.append(body.get("n", 1))
        return broken

    with serving(reply) as url:
        given = single(
            url, "--limit", "1", "--samples", "4", "--n-per-request", "4", "--max-retries", "0",
            "--max-tokens", "100", "--max-concurrent", "1",
        )  # fmt: skip
        whole = orch(*given, "--budget", "1", timeout=240)
        smaller = orch("run", "--resume", "r", "--budget", "0.0040", "--json", timeout=240)
    assert whole.code == 1 and whole.json["rows"][0]["infra_errors"] == 4
    assert smaller.code == 1, smaller.err
    assert asked[0] == 4 and len(asked) > 1 and max(asked[1:]) < 4
    assert smaller.json["rows"][0]["infra_errors"] == 4
