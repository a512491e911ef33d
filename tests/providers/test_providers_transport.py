"""The transport alone, against raw servers: framing, reuse, TLS, tunnels, bounds."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import zlib

import pytest
from scripted_server import Exchange, always, serving
from yarl import URL

from providers import errors, transport
from providers.errors import ProviderConfigError
from providers.sample import Sending
from providers.transport import Route, Timeouts, Transport, proxy_from_environment


def raw(*pieces: bytes, close: bool = False):
    """A script that writes `pieces` one after another as they are."""

    async def script(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.write(piece)
            await asyncio.sleep(0.005)
        if close:
            exchange.close()

    return script


async def get(url: str, body: bytes | None = b"{}", carrier: Transport | None = None, **more):
    used = carrier or Transport(Timeouts(total_s=120))
    try:
        return await used.send(Route.to("POST", URL(url), {}), body, **more)
    finally:
        if carrier is None:
            await used.aclose()


async def eventually(condition) -> None:
    """Let the loop turn, one step at a time, until `condition` holds."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("pieces", "close", "body"),
    [
        ([OK + b"Content-Length: 2\r\n\r\nhi"], False, b"hi"),
        ([bytes([b]) for b in OK + b"Content-Length: 2\r\n\r\nhi"], False, b"hi"),
        ([OK + b"Content-Length: 0\r\n\r\n"], False, b""),
        (
            [OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n", b"1\r\ni\r\n0\r\n\r\n"],
            False,
            b"hi",
        ),
        ([OK + b"\r\nh", b"i"], True, b"hi"),
        ([b"HTTP/1.0 200 OK\r\n\r\nhi"], True, b"hi"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"Content-Length: 2\r\n\r\nhi"], False, b"hi"),
        ([b"HTTP/1.1 102 Wait\r\n\r\n" * 3 + OK + b"Content-Length: 2\r\n\r\nhi"], False, b"hi"),
        ([b"HTTP/1.1 204 None\r\n\r\n"], False, b""),
    ],
)
async def test_every_framing_of_a_body(pieces, close, body):
    async with serving(raw(*pieces, close=close)) as server:
        answer = await get(server.url)
    assert answer.body == body
    assert answer.status in (200, 204)


@pytest.mark.parametrize(
    "pieces",
    [
        [OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi"],
        [OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
        [b"HTTP/9.9 200 OK\r\n\r\n"],
        [b"\x16\x03\x01\x00\xa5"],
        [OK + b"X: " + b"y" * 300_000],
        [OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\nhi"],
        [OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi"],
    ],
)
async def test_what_is_no_answer_is_a_bad_response(pieces):
    async with serving(raw(*pieces)) as server:
        with pytest.raises(errors.BadResponse) as bad:
            await get(server.url)
        await asyncio.wait_for(server.lost.get(), 120)
    assert bad.value.sent == "maybe_billed"


async def test_encodings_that_nobody_asked_for_are_read_all_the_same():
    for encoding, packed in (("gzip", gzip.compress(b"hi")), ("deflate", zlib.compress(b"hi"))):
        async with serving(always(200, packed, {"Content-Encoding": encoding})) as server:
            assert (await get(server.url)).body == b"hi"
        assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_a_packed_answer_that_unpacks_too_large(monkeypatch):
    from providers import connection

    monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", 100_000)
    bomb = gzip.compress(b"x" * 10_000_000)
    async with serving(always(200, bomb, {"Content-Encoding": "gzip"})) as server:
        with pytest.raises(errors.BadResponse):
            await get(server.url)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 2\r\n\r\nhi" + OK + b"Content-Length: 4\r\n\r\nevil",
        OK + b"Content-Length: 2\r\n\r\nhievil",
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
async def test_a_connection_with_bytes_too_many_is_not_used_again(answer):
    carrier = Transport()
    async with serving(raw(answer)) as server:
        for _ in range(2):
            assert (await get(server.url, carrier=carrier)).body == b"hi"
            await asyncio.sleep(0.02)
        assert server.connections == 2
        await carrier.aclose()


async def test_bytes_on_an_idle_connection_close_it():
    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, b"hi")
        await asyncio.sleep(0.02)
        await exchange.write(OK + b"Content-Length: 4\r\n\r\nevil")

    carrier = Transport()
    async with serving(script) as server:
        assert (await get(server.url, carrier=carrier)).body == b"hi"
        await asyncio.sleep(0.1)
        assert (await get(server.url, carrier=carrier)).body == b"hi"
        assert server.connections == 2
        await carrier.aclose()


async def test_a_closed_connection_is_noticed_even_before_the_loop_has_seen_it():
    """The server's FIN lies in the kernel, unread by the event loop: nothing may be written."""
    from providers import transport as module

    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, b"hi")

    carrier = Transport()
    async with serving(script) as server:
        await get(server.url, carrier=carrier)
        connection = next(iter(carrier._open))
        connection._transport.pause_reading()
        server.requests[0].close()
        await asyncio.sleep(0.05)
        assert connection.usable
        connection.idle_since -= module.PEEK_AFTER_S
        sending = Sending()
        assert (await get(server.url, carrier=carrier, sending=sending)).body == b"hi"
        assert server.connections == 2
        await carrier.aclose()


async def test_idle_connections_are_closed_after_a_while():
    carrier = Transport(keep_alive_s=0.1)
    async with serving(always(200, b"hi")) as server:
        await get(server.url, carrier=carrier)
        await asyncio.wait_for(server.lost.get(), 120)
        assert not carrier._open
        assert (await get(server.url, carrier=carrier)).body == b"hi"
        assert server.connections == 2
        await carrier.aclose()


async def test_a_cancellation_after_the_answer_came_leaves_the_connection_alone():
    carrier = Transport()
    async with serving(always(200, b"hi")) as server:
        await get(server.url, carrier=carrier)
        connection = next(iter(carrier._open))
        task = asyncio.create_task(get(server.url, carrier=carrier))
        await eventually(lambda: len(server.requests) == 2 and any(carrier._idle.values()))
        other = asyncio.create_task(get(server.url, carrier=carrier))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await other).body == b"hi"
        assert connection.usable
        await carrier.aclose()


async def test_closing_ends_what_is_in_flight_and_the_transport_can_be_used_again():
    async def never(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    carrier = Transport()
    async with serving(never) as server:
        task = asyncio.create_task(get(server.url, carrier=carrier))
        await eventually(lambda: server.requests)
        await carrier.aclose()
        with pytest.raises(errors.ConnectionFailed):
            await task
        server.script = always(200, b"hi")
        assert (await get(server.url, carrier=carrier)).body == b"hi"
        await carrier.aclose()
        assert not carrier._open


async def test_a_server_that_hangs_up_at_once_leaves_nothing_behind():
    def accept(reader, writer):
        writer.transport.abort()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    carrier = Transport()
    calls = [get(f"http://127.0.0.1:{port}/", carrier=carrier) for _ in range(200)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {errors.ConnectionFailed}
    await asyncio.wait_for(carrier.aclose(), 5)
    assert not carrier._open
    listener.close()
    await listener.wait_closed()


async def test_a_host_with_several_addresses_is_tried_in_turn():
    """`localhost` may mean ::1 first, where nobody listens here."""
    async with serving(always(200, b"hi")) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        carrier = Transport()
        for _ in range(2):
            assert (await get(url, carrier=carrier)).body == b"hi"
        assert server.requests[0].headers["host"] == f"localhost:{server.port}"
        await carrier.aclose()


@pytest.fixture
def certified(self_signed_pair):
    """A server context, and a client context that trusts it."""
    certificate, key = self_signed_pair
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    return served, ssl.create_default_context(cafile=str(certificate))


async def test_tls_to_a_server_that_is_trusted(certified):
    served, trusting = certified
    carrier = Transport()
    carrier._tls = trusting
    async with serving(always(200, b"hi"), tls=served) as server:
        for _ in range(3):
            assert (await get(server.url, carrier=carrier)).body == b"hi"
        assert server.connections == 1
        with pytest.raises(errors.ConnectionFailed, match="certificate"):
            await get(server.url.replace("127.0.0.1", "localhost"), carrier=carrier)
        await carrier.aclose()


class Proxy:
    """A CONNECT proxy that notes what it is asked for, and passes bytes both ways."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        writer.write(self.answer)
        if b" 200 " in self.answer:
            target = head.split()[1].rsplit(":", 1)
            away = await asyncio.open_connection(target[0], int(target[1]))
            await asyncio.gather(self.pump(reader, away[1]), self.pump(away[0], writer))
        writer.close()

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def __aenter__(self):
        def accept(reader, writer):
            task = asyncio.ensure_future(self.serve(reader, writer))
            self.tasks.add(task)

        self.server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_tls_goes_through_a_proxy_unseen(certified):
    served, trusting = certified
    carrier = Transport()
    carrier._tls = trusting
    async with serving(always(200, b"hi"), tls=served) as server, Proxy() as proxy:
        route = Route.to(
            "POST",
            URL(server.url),
            {"Authorization": "Bearer secret-key"},
            f"http://me:pass%20word@127.0.0.1:{proxy.port}",
        )
        for _ in range(2):
            assert (await carrier.send(route, b"{}")).body == b"hi"
        await carrier.aclose()
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in head
    assert "secret-key" not in head
    assert server.requests[0].headers["authorization"] == "Bearer secret-key"
    assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"nonsense\r\n\r\n", b""])
async def test_a_proxy_that_refuses(answer):
    carrier = Transport(Timeouts(connect_s=0.5))
    async with Proxy(answer) as proxy:
        url = URL("https://models.example/v1")
        route = Route.to("POST", url, {}, f"http://127.0.0.1:{proxy.port}")
        sending = Sending()
        with pytest.raises((errors.ConnectionFailed, errors.TimedOut)) as failed:
            await carrier.send(route, b"{}", sending=sending)
        await carrier.aclose()
    assert failed.value.sent == sending.sent == "not_sent"


def test_proxies_of_the_environment(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    url = URL("https://models.example/v1")
    assert proxy_from_environment(url) is None
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert proxy_from_environment(url) == "http://proxy.example:3128"
    assert proxy_from_environment(URL("http://models.example/v1")) is None
    assert proxy_from_environment(URL("https://localhost/v1")) is None
    monkeypatch.setenv("NO_PROXY", "models.example")
    assert proxy_from_environment(url) is None
    monkeypatch.delenv("NO_PROXY")
    for unusable in ("https://proxy.example:3128", "socks5://me:secret@proxy.example"):
        monkeypatch.setenv("HTTPS_PROXY", unusable)
        with pytest.raises(ProviderConfigError) as refused:
            proxy_from_environment(url)
        assert "secret" not in str(refused.value)


def test_no_header_can_break_out_of_its_line():
    with pytest.raises(ProviderConfigError):
        Route.to("POST", URL("http://h.example/"), {"X": "a\r\nY: b"})


async def test_a_silence_in_the_middle_is_the_first_byte_timeout_but_steady_bytes_are_not():
    slow = [OK + b"Content-Length: 20\r\n\r\n", *[b"x"] * 20]
    async with serving(raw(*slow)) as server:
        answer = await get(server.url, timeouts=Timeouts(first_byte_s=2.0))
    assert json.dumps(answer.body.decode()) == '"' + "x" * 20 + '"'

    async def stalls(exchange: Exchange) -> None:
        await exchange.write(slow[0])
        await asyncio.Event().wait()

    async with serving(stalls) as server:
        with pytest.raises(errors.TimedOut) as late:
            await get(server.url, timeouts=Timeouts(first_byte_s=0.2))
    assert late.value.phase == "first_byte"
    assert transport.KEEP_ALIVE_S < 5


async def test_every_request_on_a_kept_connection_has_a_deadline_of_its_own():
    async def answer(exchange: Exchange) -> None:
        await asyncio.sleep(float(exchange.body or b"0"))
        await exchange.write(OK + b"Content-Length: 2\r\n\r\nhi")

    async with serving(answer) as server:
        carrier = Transport()

        async def ask(takes_s: float, total_s: float | None) -> bytes:
            limits = Timeouts(total_s=total_s)
            return (await get(server.url, b"%g" % takes_s, carrier, timeouts=limits)).body

        # The clock of the first rings while the second is under way, and means nothing to it.
        assert await ask(0, 1) == b"hi"
        assert await ask(1.2, 120) == b"hi"
        # It rings on an idle connection, which stays.
        assert await ask(0, 0.5) == b"hi"
        await asyncio.sleep(0.6)
        assert await ask(0, None) == b"hi"
        # An earlier deadline than the clock's counts as well.
        assert await ask(0, 120) == b"hi"
        with pytest.raises(errors.TimedOut) as late:
            await ask(5, 0.1)
        assert late.value.phase == "total" and "within 0.1 s" in str(late.value)
        assert server.connections == 1
        await carrier.aclose()


async def test_long_answers_on_several_connections_do_not_mix():
    async def answer(exchange: Exchange) -> None:
        mark, size = exchange.body[:1], 3 * transport.READ_BYTES + 17
        await exchange.write(OK + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(3):
            await exchange.write(mark * transport.READ_BYTES)
            await asyncio.sleep(0)
        await exchange.write(mark * 17)

    async with serving(answer) as server:
        carrier = Transport()
        asked = [get(server.url, mark * 3, carrier) for mark in (b"a", b"b", b"c", b"d")]
        for mark, given in zip(b"abcd", await asyncio.gather(*asked), strict=True):
            assert len(given.body) == 3 * transport.READ_BYTES + 17
            assert set(given.body) == {mark}
        await carrier.aclose()
