"""The hostile server does what it says, over real HTTP, and its bill is its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.hostile.bill import faults, read_bill, total
from tests.hostile.faults import BILLED, Faults, parse_probabilities
from tests.hostile.server import HostileServer, hostile_process

CHAT = {
    "model": "hostile",
    "messages": [{"role": "user", "content": "What is 2 + 2?"}],
    "n": 3,
    "max_tokens": 100,
    "seed": 7,
}


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(
    client: aiohttp.ClientSession,
    server: HostileServer,
    fault: str = "ok",
    path: str = "/v1/chat/completions",
    body: dict[str, Any] = CHAT,
) -> tuple[int, dict[str, str], bytes]:
    async with client.post(
        server.url + path, json=body, headers={"x-hostile-fault": fault}
    ) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return response.status, headers, await response.read()


async def test_a_plain_answer_and_its_line_on_the_bill(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with HostileServer(tmp_path / "bill") as server:
        status, _, text = await ask(client, server)
        body = json.loads(text)
        assert status == 200
        assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
        assert len({choice["message"]["content"] for choice in body["choices"]}) == 3
        usage = body["usage"]
        (line,) = read_bill(tmp_path / "bill")
        assert (line.prompt_tokens, line.output_tokens) == (
            usage["prompt_tokens"],
            usage["completion_tokens"],
        )
        assert line.pico == 3_000_000 * line.prompt_tokens + 15_000_000 * line.output_tokens
        assert (line.fault, line.n, line.seed) == ("ok", 3, 7)


async def test_completions_messages_and_models(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with HostileServer(tmp_path / "bill", model="m") as server:
        raw = {"model": "m", "prompt": "2 + 2 =", "max_tokens": 9}
        _, _, text = await ask(client, server, path="/v1/completions", body=raw)
        assert isinstance(json.loads(text)["choices"][0]["text"], str)
        said = {**CHAT, "model": "m"}
        _, _, text = await ask(client, server, path="/v1/messages", body=said)
        message = json.loads(text)
        assert message["stop_reason"] == "end_turn"
        assert set(message["usage"]) >= {"input_tokens", "output_tokens"}
        _, _, text = await ask(client, server, "length", path="/v1/messages", body=said)
        assert json.loads(text)["stop_reason"] == "max_tokens"
        async with client.get(server.url + "/v1/models") as response:
            assert (await response.json())["data"][0]["id"] == "m"
        status, _, _ = await ask(client, server, body={**CHAT, "model": "other"})
        assert status == 404
        status, _, _ = await ask(client, server, body={"model": "m", "n": 0, "prompt": ""})
        assert status == 400
        assert len(read_bill(tmp_path / "bill")) == 3, "what is refused as bad is on no bill"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("rate_limited", 429),
        ("rate_limited_seconds", 429),
        ("rate_limited_date", 429),
        ("quota", 429),
        ("error_500", 500),
        ("error_503", 503),
        ("gateway_502", 502),
    ],
)
async def test_refusals(
    client: aiohttp.ClientSession, tmp_path: Path, fault: str, status: int
) -> None:
    async with HostileServer(tmp_path / "bill", retry_after_s=30) as server:
        got, headers, _ = await ask(client, server, fault)
        assert got == status
        waits = {
            "rate_limited_seconds": lambda text: float(text) == 30,
            "rate_limited_date": lambda text: (
                20 < (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds() <= 30
            ),
        }
        assert ("retry-after" in headers) == (fault in waits)
        if fault in waits:
            assert waits[fault](headers["retry-after"])
        assert (total(tmp_path / "bill") > 0) == BILLED[fault]


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "half_body"])
async def test_broken_connections(
    client: aiohttp.ClientSession, tmp_path: Path, fault: str
) -> None:
    async with HostileServer(tmp_path / "bill") as server:
        with pytest.raises(aiohttp.ClientError):
            await ask(client, server, fault)
        assert faults(tmp_path / "bill") == {fault: 1}
        assert (total(tmp_path / "bill") > 0) == BILLED[fault]


async def test_answers_that_lie(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with HostileServer(tmp_path / "bill", drip_s=0.1) as server:
        _, _, text = await ask(client, server, "broken_json")
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        _, _, text = await ask(client, server, "no_usage")
        assert "usage" not in json.loads(text)
        _, _, text = await ask(client, server, "over_usage")
        assert json.loads(text)["usage"]["completion_tokens"] > 300
        _, _, text = await ask(client, server, "ignore_n")
        assert len(json.loads(text)["choices"]) == 1
        for fault in ("length", "content_filter"):
            _, _, text = await ask(client, server, fault)
            assert {c["finish_reason"] for c in json.loads(text)["choices"]} == {fault}
        _, _, text = await ask(client, server, "slow_body")
        assert json.loads(text)["usage"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(client, server, "hang"), 0.2)
        lines = read_bill(tmp_path / "bill")
        assert all(line.pico > 0 for line in lines)
        assert [line.number for line in lines] == list(range(8))
        assert lines[2].output_tokens > 300


async def test_faults_follow_seed_and_script(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    chances = {"error_500": 0.3, "rate_limited": 0.2}

    async def statuses(name: str, seed: int) -> list[int]:
        async with HostileServer(
            tmp_path / name, probabilities=chances, seed=seed, script=["error_503", "ok"]
        ) as server:
            return [(await ask(client, server, ""))[0] for _ in range(60)]

    first = await statuses("a", 1)
    assert first[:2] == [503, 200]
    assert first == await statuses("b", 1)
    assert first != await statuses("c", 2)
    assert {200, 429, 500} <= set(first)


def test_the_chances_come_out() -> None:
    drawn = [Faults({"error_500": 0.25}, seed=3).of(number, None) for number in range(4000)]
    assert 0.22 < drawn.count("error_500") / 4000 < 0.28


@pytest.mark.parametrize(
    "bad", [{"nonsense": 0.1}, {"error_500": 0.7, "error_503": 0.7}, {"error_500": -0.1}]
)
def test_bad_chances_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"no fault|at most 1"):
        Faults(bad)


def test_chances_are_read_from_a_command_line() -> None:
    assert parse_probabilities("error_500=0.05,hang=1e-3") == {"error_500": 0.05, "hang": 0.001}
    assert parse_probabilities("") == {}


async def test_a_process_of_its_own(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    with hostile_process(tmp_path / "bill", script="error_500,ok", input_usd="0.14") as url:
        for status in (500, 200):
            async with client.post(url + "/v1/chat/completions", json=CHAT) as response:
                assert response.status == status
    lines = read_bill(tmp_path / "bill")
    assert [line.fault for line in lines] == ["error_500", "ok"]
    assert lines[1].pico == 140_000 * lines[1].prompt_tokens + 15_000_000 * lines[1].output_tokens
