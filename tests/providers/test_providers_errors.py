"""Every class of error, from a real server, through every provider."""

from __future__ import annotations

import asyncio
import socket
import traceback
from datetime import UTC, datetime
from email.utils import formatdate
from time import time

import pytest
from scripted_server import Exchange, always, chat_answer, message_answer, serving

from providers import errors
from providers.batch.base import new_tag
from providers.registry import make_batches, make_provider
from providers.sample import SampleRequest
from providers.transport import Timeouts

ASK = ({"role": "user", "content": "6 times 7?"},)
SECRET = "qwertyuiop-very-secret"
PATIENT = Timeouts(connect_s=60, total_s=120)


def openai_error(message="no", code=None, kind="some_error"):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic_error(kind, message="no"):
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.fixture(params=["vllm", "vllm raw", "openai", "openai raw", "anthropic"])
def name(request):
    """Chat and raw completions over the fast lane and the SDK's, and messages."""
    return request.param


def asking(name, **more):
    asked = {"prompt": "6 times 7?"} if name.endswith("raw") else {"messages": ASK}
    return SampleRequest("m", **asked, **more)


def make(name, url, timeouts=PATIENT):
    return make_provider(
        name.split()[0],
        base_url=url,
        api_key_env="SOME_KEY",
        timeouts=timeouts,
        environ={"SOME_KEY": SECRET},
    )


def good(name):
    return message_answer() if name == "anthropic" else chat_answer()


async def failure(name, url, timeouts=PATIENT, request=None):
    """The error of one request; its text and its traceback never hold the key."""
    asked = make(name, url, timeouts)
    request = request or asking(name)
    try:
        with pytest.raises(errors.ProviderError) as caught:
            await asked.sample(request)
    finally:
        await asked.aclose()
    shown = "".join(traceback.format_exception(caught.value)) + repr(asked) + repr(caught.value)
    assert SECRET not in shown
    assert request.sending.sent == caught.value.sent
    return caught.value


STATUSES = [
    (400, openai_error("bad stop"), errors.InvalidRequest, "rejected"),
    (
        400,
        anthropic_error("invalid_request_error", "messages: empty"),
        errors.InvalidRequest,
        "rejected",
    ),
    (
        400,
        anthropic_error("invalid_request_error", "Your credit balance is too low to access"),
        errors.NoCredit,
        "rejected",
    ),
    (
        401,
        openai_error(f"Incorrect API key provided: {SECRET}", "invalid_api_key"),
        errors.AuthFailed,
        "rejected",
    ),
    (
        401,
        anthropic_error("authentication_error", "invalid x-api-key"),
        errors.AuthFailed,
        "rejected",
    ),
    (402, openai_error("Insufficient Balance"), errors.NoCredit, "rejected"),
    (
        429,
        {
            "error": {
                "type": "rate_limit_error",
                "message": "no",
                "details": {"error_code": "enforced_spend_limit_reached"},
            }
        },
        errors.NoCredit,
        "rejected",
    ),
    (403, anthropic_error("permission_error"), errors.AuthFailed, "rejected"),
    (
        404,
        openai_error("The model `m` does not exist", "model_not_found"),
        errors.UnknownModel,
        "rejected",
    ),
    (404, anthropic_error("not_found_error", "model: m"), errors.UnknownModel, "rejected"),
    (
        400,
        openai_error("/chat/completions: Invalid model name passed in model=m. Call", "400"),
        errors.UnknownModel,
        "rejected",
    ),
    (
        400,
        openai_error("No connected db.", "400", "no_db_connection"),
        errors.AuthFailed,
        "rejected",
    ),
    (413, b"too large", errors.InvalidRequest, "rejected"),
    (422, {"detail": [{"msg": "n"}]}, errors.InvalidRequest, "rejected"),
    (429, openai_error("slow down"), errors.RateLimited, "rejected"),
    (
        429,
        openai_error("You exceeded your current quota", "insufficient_quota"),
        errors.NoCredit,
        "rejected",
    ),
    (429, openai_error("Limit of free requests per day reached"), errors.NoCredit, "rejected"),
    (429, anthropic_error("rate_limit_error"), errors.RateLimited, "rejected"),
    (500, openai_error("oops"), errors.Overloaded, "rejected"),
    (502, b"<html>Bad Gateway</html>", errors.Overloaded, "maybe_billed"),
    (503, openai_error("busy"), errors.Overloaded, "rejected"),
    (504, b"", errors.TimedOut, "maybe_billed"),
    (529, anthropic_error("overloaded_error"), errors.Overloaded, "rejected"),
    (301, b"", errors.Fatal, "rejected"),
]


@pytest.mark.parametrize(("status", "body", "kind", "sent"), STATUSES)
async def test_statuses(name, status, body, kind, sent):
    async with serving(always(status, body)) as server:
        error = await failure(name, server.url)
    assert type(error) is kind
    assert error.sent == sent
    assert len(server.requests) == 1
    if kind is not errors.TimedOut:
        assert error.status == status
    assert "\n" not in str(error)


@pytest.fixture(params=["openai", "anthropic"])
def batch_name(request):
    return request.param


def billed(name, call, sent):
    """OpenAI's batches are made from a file: while that is on its way, nothing can be billed."""
    return "rejected" if name == "openai" and call == "submit" and sent != "not_sent" else sent


async def batch_failure(name, url, call, timeouts=PATIENT):
    """The error of one call to a batch API."""
    lane, exchange = make_batches(
        name, base_url=url, api_key_env="SOME_KEY", timeouts=timeouts, environ={"SOME_KEY": SECRET}
    )
    try:
        with pytest.raises(errors.ProviderError) as caught:
            await BATCH_CALLS[call](lane)
    finally:
        await exchange.aclose()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


BATCH_CALLS = {
    "submit": lambda lane: lane.submit(new_tag(), [SampleRequest("m", messages=ASK)]),
    "poll": lambda lane: lane.poll("batch_1"),
    "find": lambda lane: lane.find(new_tag(), count=1, since=datetime.now(UTC)),
}
calls = pytest.mark.parametrize("call", BATCH_CALLS)


@calls
@pytest.mark.parametrize(("status", "body", "kind", "sent"), STATUSES)
async def test_statuses_of_a_batch_api(batch_name, call, status, body, kind, sent):
    async with serving(always(status, body)) as server:
        error = await batch_failure(batch_name, server.url, call)
    assert type(error) is kind
    assert error.sent == billed(batch_name, call, sent)
    assert len(server.requests) == 1


@calls
async def test_broken_exchanges_with_a_batch_api(batch_name, call):
    async def reset(exchange: Exchange) -> None:
        exchange.reset()

    async def half(exchange: Exchange) -> None:
        await exchange.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id"')
        exchange.close()

    expected = {
        reset: errors.ConnectionFailed,
        half: errors.BadResponse,
        always(200, b"<html>"): errors.BadResponse,
        never: errors.TimedOut,
    }
    for script, kind in expected.items():
        async with serving(script) as server:
            patience = Timeouts(total_s=0.2) if script is never else PATIENT
            error = await batch_failure(batch_name, server.url, call, patience)
        assert type(error) is kind
        assert error.sent == billed(batch_name, call, "maybe_billed")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        error = await batch_failure(batch_name, url, call)
    assert type(error) is errors.ConnectionFailed
    assert error.sent == "not_sent"


async def test_retry_after_in_each_form(name):
    forms = [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After-Ms": "1500", "Retry-After": "2"}, 1.5),
        ({"Retry-After": formatdate(time() + 100, usegmt=True)}, 100.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ]
    for headers, expected in forms:
        async with serving(always(429, openai_error(), headers)) as server:
            error = await failure(name, server.url)
        if expected is None:
            assert error.retry_after_s is None
        else:
            assert error.retry_after_s == pytest.approx(expected, abs=30 if expected > 50 else 0)


async def test_a_short_wait_for_a_daily_limit_is_only_a_pause(name):
    body = openai_error("Rate limit reached on requests per day (RPD). Try again in 8.64s")
    async with serving(always(429, body, {"Retry-After": "9"})) as server:
        error = await failure(name, server.url)
    assert type(error) is errors.RateLimited


async def test_refused_connection(name):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        error = await failure(name, f"http://127.0.0.1:{held.getsockname()[1]}/v1")
    assert type(error) is errors.ConnectionFailed
    assert error.sent == "not_sent"
    assert error.retryable


async def test_unknown_host(name):
    error = await failure(name, "http://no-such-host.invalid/v1")
    assert type(error) is errors.ConnectionFailed
    assert error.sent == "not_sent"


async def test_reset_before_the_answer(name):
    async def script(exchange: Exchange) -> None:
        exchange.reset()

    async with serving(script) as server:
        error = await failure(name, server.url)
    assert type(error) is errors.ConnectionFailed
    assert error.sent == "maybe_billed"
    assert len(server.requests) == 1


async def test_closed_before_the_answer(name):
    async def script(exchange: Exchange) -> None:
        exchange.close()

    async with serving(script) as server:
        error = await failure(name, server.url)
    assert type(error) is errors.ConnectionFailed
    assert error.sent == "maybe_billed"
    assert len(server.requests) == 1


@pytest.mark.parametrize("head", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_half_a_body(name, head):
    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n" + head + b'\r\n\r\n5\r\n{"cho')
        exchange.close()

    async with serving(script) as server:
        error = await failure(name, server.url)
    assert type(error) is errors.BadResponse
    assert error.sent == "maybe_billed"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"choices": []}', b"<html></html>"]
)
async def test_answers_that_cannot_be_read(name, body):
    async with serving(always(200, body)) as server:
        error = await failure(name, server.url)
    assert type(error) is errors.BadResponse
    assert error.sent == "maybe_billed"


async def test_something_else_than_http(name):
    async def script(exchange: Exchange) -> None:
        await exchange.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        exchange.close()

    async with serving(script) as server:
        error = await failure(name, server.url)
    assert type(error) is errors.BadResponse
    assert error.sent == "maybe_billed"


async def never(exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def test_total_timeout_is_a_censored_draw(name):
    async with serving(never) as server:
        error = await failure(name, server.url, Timeouts(total_s=0.2))
    assert isinstance(error, errors.TimedOut)
    assert (error.phase, error.sent, error.retryable) == ("total", "maybe_billed", False)


async def test_silence_is_a_first_byte_timeout(name):
    async with serving(never) as server:
        error = await failure(name, server.url, Timeouts(first_byte_s=0.2))
    assert isinstance(error, errors.TimedOut)
    assert (error.phase, error.sent, error.retryable) == ("first_byte", "maybe_billed", False)


async def test_a_slow_body_passes_the_first_byte_but_not_the_total(name):
    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await exchange.write(b" ")
            await asyncio.sleep(0.02)

    async with serving(script) as server:
        error = await failure(name, server.url, Timeouts(first_byte_s=5, total_s=0.3))
    assert isinstance(error, errors.TimedOut)
    assert (error.phase, error.sent) == ("total", "maybe_billed")


async def silent_port(reader, writer):
    await asyncio.Event().wait()


@pytest.fixture
async def silent_tls():
    """A port that takes connections and never begins the TLS handshake."""
    tasks = []

    def accept(reader, writer):
        tasks.append(asyncio.ensure_future(reader.read()))
        tasks.append(writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    listener.close()
    for task in tasks:
        if isinstance(task, asyncio.Future):
            task.cancel()
        else:
            task.close()


async def test_connect_timeout_sent_nothing(name, silent_tls):
    error = await failure(name, silent_tls, Timeouts(connect_s=0.2))
    assert isinstance(error, errors.TimedOut)
    assert (error.phase, error.sent, error.retryable) == ("connect", "not_sent", True)


async def test_total_timeout_while_connecting_sent_nothing(name, silent_tls):
    error = await failure(name, silent_tls, Timeouts(connect_s=None, total_s=0.2))
    assert isinstance(error, errors.TimedOut)
    assert (error.phase, error.sent, error.retryable) == ("connect", "not_sent", True)


async def test_a_kept_alive_connection_that_the_server_closed_is_replaced(name):
    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, good(name))
        exchange.close()

    async with serving(script) as server:
        asked = make(name, server.url)
        for _ in range(3):
            await asked.sample(asking(name))
            await asyncio.sleep(0.01)
        await asked.aclose()
    assert len(server.requests) == 3
    assert server.connections == 3


async def test_connections_are_kept_alive(name):
    async with serving(always(200, good(name))) as server:
        asked = make(name, server.url)
        for _ in range(3):
            await asked.sample(asking(name))
        await asked.aclose()
    assert server.connections == 1


async def test_cancelling_closes_the_connection_and_says_that_it_was_sent(name):
    async with serving(never) as server:

        async def script(exchange: Exchange) -> None:
            arrived.set()
            await exchange.reader.read()
            server.lost.put_nowait(None)

        arrived = asyncio.Event()
        server.script = script
        asked = make(name, server.url)
        request = asking(name)
        task = asyncio.create_task(asked.sample(request))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.lost.get(), 5)
        assert request.sending.sent == "maybe_billed"
        before = asyncio.all_tasks()
        server.script = always(200, good(name))
        await asked.sample(asking(name))
        assert server.connections == 2
        assert asyncio.all_tasks() - before <= {t for t in asyncio.all_tasks() if not t.done()}
        await asked.aclose()


async def test_cancelling_while_connecting_sent_nothing(name, silent_tls):
    asked = make(name, silent_tls)
    request = asking(name)
    task = asyncio.create_task(asked.sample(request))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert request.sending.sent == "not_sent"
    await asked.aclose()


async def test_an_answer_without_end_is_cut_off(name, monkeypatch):
    from providers import connection

    monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", 100_000)

    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not exchange.writer.is_closing():
            await exchange.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    async with serving(script) as server:
        error = await failure(name, server.url)
    assert type(error) is errors.BadResponse
    assert error.sent == "maybe_billed"


async def test_many_at_once_are_all_answered(name):
    async def script(exchange: Exchange) -> None:
        await asyncio.sleep(0.05)
        await exchange.answer(200, good(name))

    async with serving(script) as server:
        asked = make(name, server.url)
        requests = [asking(name, seed=i) for i in range(300)]
        responses = await asyncio.gather(*(asked.sample(request) for request in requests))
        await asked.aclose()
    assert len(responses) == len(server.requests) == 300
