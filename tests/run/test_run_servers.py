"""Servers with limits of their own: what they refuse is told, adapted to, or stops at once."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from serving import Reply, serving

from orchestrator.errors import ConfigError
from orchestrator.plan.asked_more import body_fields, header_fields, with_system
from orchestrator.plan.study import Arm
from orchestrator.tasks import Problem

HUMANEVAL = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": f"def f{number}(x):\n    return",
        "entry_point": f"f{number}",
        "canonical_solution": " x\n",
        "test": f"def check(candidate):\n    assert candidate({number}) == {number}\n",
    }
    for number in range(6)
]


class Vllm:
    """Refuses what vLLM refuses, in its words, and answers the rest."""

    context = 4096

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.models = {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": self.context}]}

    def __call__(self, body: dict[str, Any]) -> Reply:
        self.bodies.append(body)
        if len(body.get("stop", ())) > 4:
            return self.refused("stop: at most 4 stop strings are allowed, got 5", "stop")
        if body.get("temperature") == 0 and body.get("n", 1) > 1:
            return self.refused("n must be 1 when using greedy sampling, got 2.", None)
        asked = body.get("prompt") or "".join(one["content"] for one in body["messages"])
        if "too long" in asked:
            said = f"This model's maximum context length is {self.context} tokens."
            return self.refused(said, None)
        if body["max_tokens"] > self.context:
            return self.refused(f"max_tokens is too large: {body['max_tokens']}", "max_tokens")
        # What a server that was given four of five stop strings writes on.
        text = " x\nprint(f0(1))\ndef g():\n    pass\n"
        choices = [
            {"index": index, "text": text, "finish_reason": "length"}
            for index in range(body.get("n", 1))
        ]
        usage = {"prompt_tokens": 9, "completion_tokens": 12 * len(choices)}
        return 200, {}, {"id": "x", "model": "m", "choices": choices, "usage": usage}

    @staticmethod
    def refused(message: str, param: str | None) -> Reply:
        error = {"message": message, "type": "BadRequestError", "param": param, "code": 400}
        return 400, {}, {"error": error}


@pytest.fixture
def humaneval(tmp_path: Path) -> Path:
    path = tmp_path / "humaneval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in HUMANEVAL))
    return path


@pytest.mark.parametrize("provider", ["local", "compatible"])
def test_humanevals_defaults_on_a_server_that_takes_four_stops(
    orch, tmp_path: Path, humaneval: Path, provider: str
) -> None:
    vllm = Vllm()
    with serving(vllm, vllm.models) as url:
        ended = orch(
            "run", "--provider", provider, "--base-url", f"{url}/v1", "--model", "m",
            "--task", "humaneval", "--data", humaneval, "--samples", "4", "--gpu-hour", "0",
            "--name", "r", "--json",
        )  # fmt: skip
    assert ended.code == 0, ended.err
    assert {len(body["stop"]) for body in vllm.bodies} == {4}
    (row,) = json.loads(ended.out)["rows"]
    assert row["solved"] == row["problems"] == 6 and row["samples"] == 24
    assert "4 stop strings of 5" in ended.err
    with closing(sqlite3.connect(tmp_path / "runs/r/run.db")) as database:
        stored = database.execute("SELECT DISTINCT text FROM samples").fetchall()
    assert stored == [(" x",)], "cut at the fifth"


def options(url: str, *more: object) -> list[object]:
    return [
        "run", "--provider", "compatible", "--base-url", f"{url}/v1", "--model", "m",
        "--task", "arithmetic", "--limit", "8", "--samples", "4", "--gpu-hour", "0", "--name", "r",
        *more,
    ]  # fmt: skip


def test_a_length_beyond_the_context_is_refused_before_anything_is_bought(orch) -> None:
    vllm = Vllm()
    with serving(vllm, vllm.models) as url:
        ended = orch(*options(url, "--max-tokens", "5000"))
    assert ended.code == 2 and not vllm.bodies
    assert "4096 tokens" in ended.err and "--max-tokens" in ended.err


def test_an_arm_that_is_refused_stops_at_once_and_may_be_put_right(orch, tmp_path: Path) -> None:
    vllm = Vllm()
    with serving(vllm, {"data": [{"id": "m"}]}) as url:
        ended = orch(*options(url, "--samples", "400", "--max-tokens", "9000"))
        assert ended.code == 4, ended.err
        assert len(vllm.bodies) <= 80, "not the whole plan"
        said = " ".join(ended.err.split())
        assert "max_tokens is too large" in said and "lower --max-tokens" in said
        assert "after retries" not in said
        summary = json.loads((tmp_path / "runs/r/summary.json").read_text())
        assert summary["refusals"][0]["kind"] == "InvalidRequest"
        log = (tmp_path / "runs/r/logs/refusals.txt").read_text()
        assert "max_tokens is too large" in log
        report = orch("report", "runs/r")
        assert "max_tokens is too large" in " ".join(report.out.split())
        again = orch("run", "--resume", "runs/r", "--max-tokens", "64", "--samples", "4")
        assert again.code == 0, again.err


def test_a_prompt_too_long_is_one_problem_without_answers(orch, tmp_path: Path) -> None:
    task = tmp_path / "mine.jsonl"
    rows = [{"id": f"p{number}", "prompt": "2 + 2 =", "answer": "4"} for number in range(5)]
    rows.append({"id": "long", "prompt": "much too long", "answer": "4"})
    task.write_text("".join(json.dumps(row) + "\n" for row in rows))
    vllm = Vllm()
    with serving(vllm, vllm.models) as url:
        ended = orch(*options(url, "--task", task, "--limit", "6", "--samples", "40"))
        assert ended.code == 1, ended.err
        tries = sum("too long" in str(body.get("prompt", body)) for body in vllm.bodies)
        assert tries <= 5, "its other slots are not sent"
        said = " ".join(ended.err.split())
        assert "Problem long does not fit" in said and "maximum context length" in said
        told = " ".join((ended.out + ended.err).split())
        assert "5 of 6 problems were answered (1 could not be asked)" in told


class Counting(Vllm):
    """Counts the tokens of prompts, as vLLM does beside its API."""

    context = 200

    def __init__(self) -> None:
        super().__init__()
        self.counted: list[str] = []

    def __call__(self, body: dict[str, Any]) -> Reply:
        if "max_tokens" in body:
            return super().__call__(body)
        asked = body.get("prompt") or "".join(one["content"] for one in body["messages"])
        self.counted.append(asked)
        tokens = list(range(len(asked) // 2))
        return 200, {}, {"count": len(tokens), "max_model_len": self.context, "tokens": tokens}


@pytest.mark.parametrize("style", ["chat", "completion"])
def test_prompts_that_do_not_fit_are_known_before_anything_is_bought(
    orch, tmp_path: Path, style: str
) -> None:
    task = tmp_path / "mine.jsonl"
    prompts = {"short": "2 + 2 =", "tight": "3 + 3 =" + " " * 250, "long": "much too long " * 40}
    rows = [{"id": name, "prompt": text, "answer": "4"} for name, text in prompts.items()]
    rows += [{"id": f"long{number}", "prompt": "too long " * 60, "answer": "4"} for number in "345"]
    # The long ones are asked first: they must not be taken for the whole plan.
    task.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    server = Counting()
    plan = ("--task", task, "--limit", "6", "--samples", "10", f"--prompt-style={style}",
            "--max-tokens", "100")  # fmt: skip
    with serving(server, server.models) as url:
        ended = orch(*options(url, *plan))
    assert ended.code == 1, ended.err
    # What is certain to fit is not asked about; a chat template may have a hundred tokens.
    assert len(server.counted) == (5 if style == "completion" else 6)
    asked = [body.get("prompt") or body["messages"][0]["content"] for body in server.bodies]
    assert not any("too long" in text for text in asked)
    said = " ".join((ended.err + ended.out).split())
    assert "Problem long does not fit: its prompt has 280 tokens, and m takes 200 in all" in said
    assert "1 prompts leave less than --max-tokens 100 of m's context" in said
    assert "2 of 6 problems were answered (4 could not be asked)" in said
    with serving(server, server.models) as url:
        rest = task.read_text().splitlines(keepends=True)[:3]
        task.write_text("".join(rest))
        ended = orch(*options(url, *plan, "--limit", "3", "--name", "none"))
    assert ended.code == 2 and "No prompt of the 3 problems fits" in ended.err


class Picky(Vllm):
    """Refuses two optional fields by name, one after the other."""

    def __call__(self, body: dict[str, Any]) -> Reply:
        said = "Unsupported parameter: '{}' is not supported with this model."
        for name in ("seed", "max_tokens"):
            if name in body:
                self.bodies.append(body)
                return self.refused(said.format(name), name)
        return super().__call__(body | {"max_tokens": body["max_completion_tokens"]})


def test_an_optional_field_that_is_refused_is_left_out_or_renamed(orch, tmp_path: Path) -> None:
    picky = Picky()
    with serving(picky, {"data": [{"id": "m"}]}) as url:
        ended = orch(*options(url, "--max-concurrent", "1", "--prompt-style", "chat"))
    assert ended.code == 0, ended.err
    first, second, third, *rest = picky.bodies
    assert "seed" in first and "seed" not in second and "max_tokens" in second
    assert third["max_tokens"] == second["max_tokens"], "asked once more under its other name"
    assert all("seed" not in body for body in rest)
    said = " ".join(ended.err.split())
    assert "refuses seed: draws cannot be repeated" in said
    assert "refuses max_tokens: it is sent as max_completion_tokens" in said
    with closing(sqlite3.connect(tmp_path / "runs/r/run.db")) as database:
        filled = database.execute("SELECT count(*) FROM samples").fetchone()
        tries = database.execute("SELECT count(*) FROM failures").fetchone()
    assert filled == (32,) and tries == (0,)


def test_greedy_draws_are_asked_one_by_one_and_said_to_be_equal(orch) -> None:
    vllm = Vllm()
    with serving(vllm, vllm.models) as url:
        ended = orch(*options(url, "--temperature", "0"))
        assert ended.code == 0, ended.err
        assert {body.get("n", 1) for body in vllm.bodies} == {1}
        assert "Temperature 0 draws the same answer" in " ".join(ended.err.split())


def test_what_is_asked_beyond_the_settings_arrives_and_identifies_the_study(orch) -> None:
    vllm = Vllm()
    with serving(vllm, vllm.models) as url:
        more = [
            "--prompt-style", "chat", "--system", "Be brief.", "--reasoning-effort", "low",
            "--extra-body", '{"top_k": 20}', "--header", "X-Team: blue",
        ]  # fmt: skip
        ended = orch(*options(url, *more))
        assert ended.code == 0, ended.err
        body = vllm.bodies[0]
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert (body["reasoning_effort"], body["top_k"]) == ("low", 20)
        again = orch("run", "--resume", "runs/r", "--extra-body", '{"top_k": 5}')
        assert again.code == 2 and "extra_body" in again.err


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("extra_body", '{"n": 5}', "--n-per-request"),
        ("extra_body", '{"max_new_tokens": 5}', "cost more"),
        ("extra_body", '{"service_tier": "priority"}', "cost more"),
        ("extra_body", '{"tools": []}', "cost more"),
        ("extra_body", "[]", "JSON object"),
        ("extra_body", "{", "not JSON"),
        ("headers", ["Authorization: Bearer x"], "--api-key-env"),
        ("headers", ["X-Api-Key: x"], "--api-key-env"),
        ("headers", ["Cookie: a=b"], "--api-key-env"),
        ("headers", ["no colon"], "Name: value"),
        ("system", "Be brief.", "--prompt-style chat"),
    ],
)
def test_what_could_break_the_bound_or_send_a_key_is_refused(
    setting: str, value: Any, said: str
) -> None:
    arm = Arm(provider="vllm", task="t", **{setting: value})
    raw = Problem("a", "2 + 2 =", None, {})
    with pytest.raises(ConfigError, match=re.escape(said)):
        body_fields(arm)
        header_fields(arm)
        with_system([raw], arm)
