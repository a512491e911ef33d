"""Anthropic's message batches: all requests in one body, results as JSONL once it has ended.

The API has no metadata: the tag stands in every custom id only, and custom ids can be read only
from the results. A batch that still runs is therefore undecided in `find` unless its number of
requests or its age rules it out. https://docs.anthropic.com/en/api/creating-message-batches
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from providers.anthropic_answer import read_response
from providers.anthropic_wire import CacheLife, request_body
from providers.batch.base import (
    CLOCK_SKEW,
    Batch,
    BatchResult,
    Found,
    check_tag,
    custom_id,
    index_of,
)
from providers.batch.client import (
    LINES_AT_A_TIME,
    BatchClient,
    as_body,
    batches_on,
    counts_of,
    error_from,
    lines_of,
    moment,
    read_batch,
)
from providers.errors import InvalidRequest, ProviderConfigError, ProviderError
from providers.said import said_by
from providers.sample import Capabilities, SampleRequest, SampleResponse

MAX_REQUESTS = 100_000
MAX_BODY_BYTES = 256 * 10**6

ERROR_STATUS: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""An errored request inside a batch has a type and no status."""


class AnthropicBatches:
    """The message batches of a server of Anthropic's protocol."""

    def __init__(
        self, client: BatchClient, capabilities: Capabilities, cache_life: CacheLife = "1h"
    ) -> None:
        self._client = client
        self._capabilities = capabilities
        self._cache_life: CacheLife = cache_life

    async def submit(self, tag: str, requests: Sequence[SampleRequest]) -> Batch:
        """Hand over all requests in one body."""
        check_tag(tag)
        if not 1 <= len(requests) <= MAX_REQUESTS:
            raise ProviderConfigError(f"a batch holds 1 to {MAX_REQUESTS} requests")
        entries = [
            {
                "custom_id": custom_id(tag, index),
                "params": request_body(request, self._capabilities, self._cache_life),
            }
            for index, request in enumerate(requests)
        ]
        body = {"requests": entries}
        size = len(msgspec.json.encode(body))
        if size > MAX_BODY_BYTES:
            raise ProviderConfigError(
                f"the batch has {size} bytes, more than {MAX_BODY_BYTES}: split it"
            )
        return self._batch(await self._client.json("POST", "/v1/messages/batches", body))

    async def find(self, tag: str, *, count: int, since: datetime) -> Found:
        """The ended batch whose custom ids carry `tag`, and running ones that may."""
        since -= CLOCK_SKEW
        undecided: list[Batch] = []
        after = ""
        while True:
            page = await self._client.json("GET", f"/v1/messages/batches?limit=100{after}")
            batches = batches_on(page, self._client.where)
            for made in batches:
                batch = self._batch(made)
                if batch.created_at < since or batch.total != count:
                    continue
                if batch.status == "running":
                    undecided.append(batch)
                elif await self._carries(made, tag, count):
                    return Found(batch)
            if not page.get("has_more") or not batches:
                return Found(None, tuple(undecided))
            last = self._batch(batches[-1])
            if last.created_at < since:
                return Found(None, tuple(undecided))
            after = f"&after_id={last.id}"

    async def _carries(self, made: Mapping[str, Any], tag: str, count: int) -> bool:
        if not made.get("results_url"):
            return False
        data = await self._client.data("GET", self._client.path_of(made["results_url"]))
        first = next(lines_of(data), {})
        return index_of(str(first.get("custom_id", "")), tag, count) is not None

    def _batch(self, made: Any) -> Batch:
        return read_batch(_read, made, self._client.where)

    async def poll(self, batch_id: str) -> Batch:
        """How far it is."""
        return self._batch(await self._client.json("GET", f"/v1/messages/batches/{batch_id}"))

    async def cancel(self, batch_id: str) -> Batch:
        """Ask the provider to stop it."""
        path = f"/v1/messages/batches/{batch_id}/cancel"
        return self._batch(await self._client.json("POST", path, {}))

    async def fetch(
        self, batch_id: str, tag: str, requests: Sequence[SampleRequest]
    ) -> AsyncIterator[BatchResult]:
        """The results; requests that were cancelled or expired have none."""
        made = await self._client.json("GET", f"/v1/messages/batches/{batch_id}")
        if not made.get("results_url"):
            return
        data = await self._client.data("GET", self._client.path_of(made["results_url"]))
        for number, line in enumerate(lines_of(data)):
            if number % LINES_AT_A_TIME == 0:
                await asyncio.sleep(0)
            index = index_of(str(line.get("custom_id", "")), tag, len(requests))
            result = line.get("result")
            if not isinstance(result, Mapping):
                continue
            if index is not None and result.get("type") in ("succeeded", "errored"):
                yield BatchResult(index, self._outcome(result, requests[index]))

    def _outcome(
        self, result: Mapping[str, Any], request: SampleRequest
    ) -> SampleResponse | ProviderError:
        if result["type"] == "succeeded":
            body, asked = as_body(result.get("message")), self._client.asked(request.model)
            try:
                return read_response(body, request, {}, asked)
            except ProviderError as error:
                return error
        refused = result.get("error") or {}
        said = said_by(refused)
        status = next((ERROR_STATUS[code] for code in said.codes if code in ERROR_STATUS), None)
        if status is None:
            return InvalidRequest(f"{self._client.where}: {said.message}", sent="rejected")
        return error_from(status, as_body(refused), self._client, request.model)


def _read(made: Mapping[str, Any]) -> Batch:
    counts = counts_of(made)
    status = str(made["processing_status"])
    total = sum(counts.values())
    return Batch(
        id=str(made["id"]),
        status="ended" if status.lower() == "ended" else "running",
        done=total - counts.get("processing", 0),
        total=total,
        created_at=moment(made["created_at"]),
        detail=status,
        answered=counts.get("succeeded", 0),
    )
