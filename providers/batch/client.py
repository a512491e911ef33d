"""JSON and files to and from a batch API, over the shared transport.

Errors are classified as everywhere (providers/refusals.py). The key travels to the API's own host
only; a results file that the provider keeps elsewhere is refused.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from yarl import URL

from budgets.dialects import whole
from providers.batch.base import Batch
from providers.errors import BadResponse, ProviderError
from providers.keys import Key, KeyFilter
from providers.refusals import Asked, refusal
from providers.tolerant import Unreadable, read_json
from providers.transport import Route, Timeouts, Transport, proxy_from_environment

LINES_AT_A_TIME = 100
"""How many results are read before the event loop gets its turn."""


class BatchClient:
    """Requests to one batch API."""

    def __init__(
        self,
        name: str,
        base_url: URL,
        secret_headers: Mapping[str, str],
        *,
        key: Key | None = None,
        key_variable: str | None = None,
        timeouts: Timeouts | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.name = name
        self.base_url = base_url
        self.where = f"{name} ({base_url.host})"
        self._key, self._key_variable = key, key_variable
        self._filter = KeyFilter(key)
        self._own = transport is None
        self._transport = transport or Transport()
        self._timeouts = timeouts
        self._proxy = proxy_from_environment(base_url)
        self._headers = {"Accept": "*/*", "User-Agent": "orch", **secret_headers}

    async def json(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """A JSON object for a JSON object; raises ProviderError."""
        data = None if body is None else msgspec.json.encode(body)
        answer = await self.data(method, path, data, "application/json")
        return _object(answer, self.where)

    async def upload(
        self, path: str, fields: Mapping[str, str], filename: str, data: bytes
    ) -> dict[str, Any]:
        """One file as a form (RFC 7578); raises ProviderError."""
        boundary = secrets.token_hex(16)
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
            f'filename="{filename}"\r\nContent-Type: application/jsonl\r\n\r\n'
        )
        body = "".join(parts).encode() + data + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return _object(await self.data("POST", path, body, kind), self.where)

    async def data(
        self, method: str, path: str, body: bytes | None = None, kind: str | None = None
    ) -> bytes:
        """The body of a 2xx answer; raises ProviderError."""
        headers = dict(self._headers)
        if body is not None and kind is not None:
            headers["Content-Type"] = kind
        route = Route.to(method, URL(f"{self.base_url}{path}"), headers, self._proxy)
        try:
            answer = await self._transport.send(route, body, timeouts=self._timeouts)
        except ProviderError as error:
            self._filter.clean_error(error)
            raise
        said = self._filter.clean(answer.body)
        if not 200 <= answer.status < 300:
            told = self._filter.clean_headers(answer.headers)
            raise error_from(answer.status, said, self, "batches", told)
        return said

    def path_of(self, url: str) -> str:
        """The path of a URL that the API gave, if it is on the API's own host."""
        target = URL(url)
        if target.is_absolute() and target.origin() != self.base_url.origin():
            raise BadResponse(
                f"{self.where} keeps its results at {target.host}, where the key is not sent",
                sent="rejected",
            )
        return target.raw_path_qs.removeprefix(self.base_url.raw_path.rstrip("/"))

    def asked(self, model: str) -> Asked:
        """Who was asked, for an error's sentence."""
        return Asked(self.name, self.base_url.host or "", self._key, self._key_variable, model)

    async def aclose(self) -> None:
        """Close every connection, unless the transport is shared."""
        if self._own:
            await self._transport.aclose()


def error_from(
    status: int,
    body: bytes,
    client: BatchClient,
    model: str,
    headers: Mapping[str, str] | None = None,
) -> ProviderError:
    """The classified error of an answer, or of one request inside a batch."""
    return refusal(status, headers or {}, body, client.asked(model))


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        document, _ = read_json(data)
    except Unreadable as error:
        raise BadResponse(
            f"{where} answered with something else than JSON: {error}", sent="maybe_billed"
        ) from None
    if not isinstance(document, dict):
        raise BadResponse(f"{where} did not answer with a JSON object", sent="maybe_billed")
    return document


def read_batch(read: Callable[[Mapping[str, Any]], Batch], made: Any, where: str) -> Batch:
    """`read(made)`; raises BadResponse where a field that it needs is missing or odd."""
    try:
        return read(made)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadResponse(
            f"{where} described a batch in a way that cannot be read: {error!r}",
            sent="maybe_billed",
        ) from None


def batches_on(page: Mapping[str, Any], where: str) -> list[Any]:
    """The batches on a page of a list; raises BadResponse where it is none."""
    made = page.get("data", page.get("batches"))
    if not isinstance(made, list):
        raise BadResponse(f"{where} answered with something else than a list of batches",
                          sent="maybe_billed")  # fmt: skip
    return made


def moment(value: Any) -> datetime:
    """When a batch was made: seconds or ISO 8601, as a number or a text; raises ValueError."""
    if isinstance(value, int | float) or str(value).isdigit():
        return datetime.fromtimestamp(float(value), UTC)
    at = datetime.fromisoformat(str(value))
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def counts_of(made: Mapping[str, Any]) -> dict[str, int]:
    """How many requests of a batch are in which state; what is no count is none."""
    counts = made.get("request_counts")
    if not isinstance(counts, Mapping):
        return {}
    return {name: whole(count) or 0 for name, count in counts.items()}


def lines_of(data: bytes) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, or of one list; lines that cannot be read are left out.

    Whoever counts the answers that a batch must have brought sees that they are missing.
    """
    if data.lstrip()[:1] == b"[":
        with contextlib.suppress(Unreadable):
            listed, _ = read_json(data)
            if all(isinstance(one, dict) for one in listed):
                yield from listed
                return
    for line in _NEXT.sub(b"}\n{", data).splitlines():
        if line.strip():
            try:
                document, _ = read_json(line)
            except Unreadable:
                continue
            if isinstance(document, dict):
                yield document


_NEXT = re.compile(rb'\}[ \t]*\{(?="(?:id|custom_id)")')
"""Where a line ends that has no end: inside of a text the quotes would be escaped."""


def as_body(value: Any) -> bytes:
    """A part of a document as the body that it stands for."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # Half characters travel as escapes.
        return json.dumps(value).encode()
