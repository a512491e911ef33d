"""The server's own bill: every request that it computed for, before the answer leaves."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import openai
import pytest
from tiny_served import Served, serve

from providers.tiny.bill import Bill, BillError
from providers.tiny.parsing import ParsedRequest


async def test_the_bill_is_the_sum_of_all_usages(own_server: Served) -> None:
    async with openai.AsyncOpenAI(
        base_url=own_server.base_url, api_key="x", max_retries=0
    ) as client:

        async def buy(seed: int) -> tuple[int, int, int]:
            answer = await client.completions.create(
                model=own_server.model, prompt="1" * (1 + seed % 9) + "+2=", n=1 + seed, seed=seed
            )
            assert answer.usage is not None
            return seed, answer.usage.prompt_tokens, answer.usage.completion_tokens

        async def buy_streamed(seed: int) -> tuple[int, int, int]:
            usage = None
            async for chunk in await client.completions.create(
                model=own_server.model,
                prompt="3*4=",
                n=2,
                seed=seed,
                stream=True,
                stream_options={"include_usage": True},
            ):
                usage = chunk.usage
            assert usage is not None
            return seed, usage.prompt_tokens, usage.completion_tokens

        bought = await asyncio.gather(
            *(buy(seed) for seed in range(20)), *(buy_streamed(seed) for seed in range(100, 105))
        )
        with pytest.raises(openai.BadRequestError):
            await client.completions.create(model=own_server.model, prompt="1+2=", n=0)
    lines = own_server.bill_lines()
    billed = [(line["seed"], line["prompt_tokens"], line["completion_tokens"]) for line in lines]
    assert sorted(billed) == sorted(bought)
    assert {line["outcome"] for line in lines} == {"answered"}
    assert {line["model"] for line in lines} == {own_server.model}
    assert len({line["id"] for line in lines}) == 25
    assert all(abs(line["time"] - time.time()) < 3600 for line in lines)


def test_no_byte_of_an_answer_leaves_before_it_is_billed(tmp_path: Path) -> None:
    """With a bill that cannot take a line yet, the answer waits."""
    pipe = tmp_path / "bill"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    for served in serve(pipe):
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        host, port = served.origin.removeprefix("http://").split(":")
        body = json.dumps({"model": served.model, "prompt": "1+2=", "n": 3})
        with socket.create_connection((host, int(port))) as client:
            client.sendall(post(body))
            client.settimeout(0.7)
            with pytest.raises(TimeoutError):
                client.recv(1)
            billed = b""
            while b"}" not in billed:
                try:
                    billed += os.read(reader, 1 << 20)
                except BlockingIOError:
                    time.sleep(0.01)
            client.settimeout(60)
            assert client.recv(12) == b"HTTP/1.1 200"
    line = json.loads(billed.lstrip(b"x"))
    assert line["n"] == 3
    os.close(reader)
    os.close(writer)


def test_an_answer_that_cannot_be_billed_is_not_given() -> None:
    for served in serve(Path("/dev/full")):
        with (
            openai.OpenAI(base_url=served.base_url, api_key="x", max_retries=0) as client,
            pytest.raises(openai.InternalServerError, match="No space left"),
        ):
            client.completions.create(model=served.model, prompt="1+2=")
        with (
            openai.OpenAI(base_url=served.base_url, api_key="x", max_retries=0) as client,
            pytest.raises(openai.APIError, match="No space left"),
        ):
            stream = client.completions.create(model=served.model, prompt="1+2=", stream=True)
            for chunk in stream:
                assert chunk.choices[0].finish_reason is None


def post(body: str) -> bytes:
    """A completion request as it goes over the wire."""
    return (
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def test_requests_whose_client_goes_away_end_and_are_billed_for_what_was_computed(
    own_server: Served,
) -> None:
    host, port = own_server.origin.removeprefix("http://").split(":")
    body = json.dumps(
        {"model": own_server.model, "prompt": "999*999*999=", "n": 1024, "temperature": 2.0}
        | {"max_tokens": 52}
    )
    clients = [socket.create_connection((host, int(port))) for _ in range(12)]
    for connection in clients:
        connection.sendall(post(body))
    wait_for(lambda: own_server.gauge("num_requests_waiting") > 0)
    for connection in clients:
        connection.close()
    wait_for(
        lambda: (
            own_server.gauge("num_requests_running") == 0
            and own_server.gauge("num_requests_waiting") == 0
        )
    )
    lines = own_server.bill_lines()
    outcomes = [line["outcome"] for line in lines]
    # One request fills the batch, so the others had not begun; what never began is not billed.
    assert 1 <= len(lines) < 12
    assert "abandoned" in outcomes
    for line in lines:
        assert line["prompt_tokens"] == 12
        assert 0 < line["completion_tokens"] <= 1024 * 52
    # And the server goes on.
    with openai.OpenAI(base_url=own_server.base_url, api_key="x") as client:
        assert client.completions.create(model=own_server.model, prompt="1+2=").choices


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_are_appended(tmp_path: Path) -> None:
    ask = ParsedRequest(
        chat=False, model="m", jobs=(), n=2, seed=None, stream=False, include_usage=False
    )
    path = tmp_path / "bill.jsonl"
    for request_id in ("one", "two"):
        bill = Bill(path)
        bill.write(request_id, ask, 5, "answered")
        bill.close()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["one", "two"]
    full = Bill(Path("/dev/full"))
    with pytest.raises(BillError, match="No space left"):
        full.write("three", ask, 5, "answered")
    full.close()
