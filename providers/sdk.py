"""The official openai and anthropic clients as a lane, with our transport underneath.

The SDK builds URL and headers, authentication included, and knows its API's version; retries are
ours (max_retries=0), and so are connections: its httpx2 client gets `SdkTransport`, which sends
through the shared Transport, so that timeouts, `Sending` and errors are the same on both lanes.
`post` with `cast_to=httpx2.Response` skips the SDK's models, half of its cost. Of the SDK's headers
only those in PASSED leave, and a credential only if it is our key: nothing that the SDK found in
the environment (other credentials, account ids, custom headers) goes along.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import httpx2
from yarl import URL

from providers.errors import ProviderError
from providers.keys import Key
from providers.sample import Sending
from providers.transport import HttpAnswer, Route, Timeouts, Transport, proxy_from_environment

PASSED = frozenset({"accept", "content-type", "user-agent", "anthropic-version", "anthropic-beta"})
CREDENTIALS = frozenset({"authorization", "x-api-key"})
ACCOUNT = frozenset({"openai-organization", "openai-project"})
"""Account ids that the openai client takes from the environment for whatever host it talks to."""

_current: ContextVar[Sending] = ContextVar("orch_sdk_sending")


class SdkTransport(httpx2.AsyncBaseTransport):
    """httpx2's seam, filled with our Transport."""

    def __init__(
        self,
        transport: Transport,
        *,
        own: bool,
        key: Key | None,
        timeouts: Timeouts | None,
        proxy: str | None,
        passed: frozenset[str] = PASSED,
    ) -> None:
        self._transport = transport
        self._own = own
        self._key = None if key is None else key.reveal()
        self._timeouts = timeouts
        self._proxy = proxy
        self._passed = passed

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange; ProviderErrors of the transport pass through the SDK as causes."""
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in self._passed or (name in CREDENTIALS and self.ours(value))
        }
        url = URL(str(request.url), encoded=True)
        answer = await self._transport.send(
            Route.to(request.method, url, headers, self._proxy),
            await request.aread() or None,
            sending=_current.get(Sending()),
            timeouts=self._timeouts,
        )
        return httpx2.Response(
            answer.status,
            headers=[
                # As they came: httpx2 would write text as ASCII.
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in answer.headers.items()
                if name not in ("content-encoding", "transfer-encoding")
            ],
            content=answer.body,
        )

    def ours(self, credential: str) -> bool:
        """Whether a header's value is our key and nothing else."""
        return self._key is not None and credential.removeprefix("Bearer ") == self._key

    async def aclose(self) -> None:
        if self._own:
            await self._transport.aclose()


class SdkLane:
    """Requests through `client.post` and `client.get` of an official SDK."""

    def __init__(self, base_url: URL, client: Any, failures: tuple[type[Exception], ...]) -> None:
        self.base_url = base_url
        self._client = client
        self._status_error, self._connection_error = failures

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, sending: Sending
    ) -> HttpAnswer:
        """Send JSON to base_url + path; raises ConnectionFailed, TimedOut or BadResponse."""
        token = _current.set(sending)
        try:
            if method == "POST":
                response = await self._client.post(path, body=body, cast_to=httpx2.Response)
            else:
                response = await self._client.get(path, cast_to=httpx2.Response)
        except self._status_error as error:
            response = error.response  # type: ignore[attr-defined]
        except self._connection_error as error:
            if isinstance(error.__cause__, ProviderError):
                raise error.__cause__ from None
            raise
        finally:
            _current.reset(token)
        return HttpAnswer(response.status_code, dict(response.headers), response.content)

    async def aclose(self) -> None:
        """Close every connection, unless the transport is shared."""
        await self._client.close()


def openai_lane(
    base_url: URL,
    key: Key | None,
    *,
    timeouts: Timeouts | None = None,
    transport: Transport | None = None,
    account: bool = False,
    headers: Mapping[str, str] | None = None,
) -> SdkLane:
    """The openai client; `account` says that the host is OpenAI's own."""
    import openai

    passed = (PASSED | ACCOUNT if account else PASSED) | _names(headers)
    client = openai.AsyncOpenAI(
        api_key=_text(key),
        base_url=str(base_url),
        max_retries=0,
        timeout=None,
        default_headers=headers,
        http_client=_http_client(base_url, key, timeouts, transport, passed),
    )
    return SdkLane(base_url, client, (openai.APIStatusError, openai.APIConnectionError))


def anthropic_lane(
    base_url: URL,
    key: Key | None,
    *,
    timeouts: Timeouts | None = None,
    transport: Transport | None = None,
    headers: Mapping[str, str] | None = None,
) -> SdkLane:
    """The anthropic client."""
    import anthropic

    client = anthropic.AsyncAnthropic(
        api_key=_text(key),
        base_url=str(base_url),
        max_retries=0,
        timeout=None,
        default_headers=headers,
        http_client=_http_client(base_url, key, timeouts, transport, PASSED | _names(headers)),
    )
    return SdkLane(base_url, client, (anthropic.APIStatusError, anthropic.APIConnectionError))


def _names(headers: Mapping[str, str] | None) -> frozenset[str]:
    """A person's own headers by name, which leave as they are."""
    return frozenset(name.lower() for name in headers or ())


def _http_client(
    base_url: URL,
    key: Key | None,
    timeouts: Timeouts | None,
    transport: Transport | None,
    passed: frozenset[str],
) -> httpx2.AsyncClient:
    carrier = SdkTransport(
        transport or Transport(),
        own=transport is None,
        key=key,
        timeouts=timeouts,
        proxy=proxy_from_environment(base_url),
        passed=passed,
    )
    return httpx2.AsyncClient(transport=carrier, timeout=None, follow_redirects=False)


def _text(key: Key | None) -> str:
    """The SDKs want some key; without one of ours theirs does not leave."""
    return "none" if key is None else key.reveal()


def anthropic_headers(key: Key | None) -> dict[str, str]:
    """The headers by which the anthropic client authenticates and names the API's version."""
    import anthropic

    client = anthropic.AsyncAnthropic(api_key=_text(key), http_client=httpx2.AsyncClient())
    carrier = SdkTransport(Transport(), own=True, key=key, timeouts=None, proxy=None)
    return {
        name: value
        for name, value in client.default_headers.items()
        if isinstance(value, str)
        and (
            name.lower() == "anthropic-version"
            or (name.lower() in CREDENTIALS and carrier.ours(value))
        )
    }
