"""OpenAI's batch API: a JSONL file of requests, a batch over it, a JSONL file of answers.

The tag stands in the batch's metadata and in every custom id.
https://platform.openai.com/docs/api-reference/batch
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from budgets.dialects import whole
from providers.batch.base import (
    CLOCK_SKEW,
    Batch,
    BatchResult,
    BatchStatus,
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
from providers.errors import BadResponse, InvalidRequest, ProviderConfigError, ProviderError
from providers.openai_answer import read_response
from providers.openai_wire import Dialect, request_body
from providers.refusals import status_of
from providers.said import means_error, said_by
from providers.sample import Capabilities, SampleRequest, SampleResponse

MAX_REQUESTS = 50_000
MAX_FILE_BYTES = 200 * 10**6

STATUS: Mapping[str, BatchStatus] = {
    "validating": "running",
    "in_progress": "running",
    "finalizing": "running",
    "cancelling": "running",
    "completed": "ended",
    "succeeded": "ended",
    "ended": "ended",
    "expired": "ended",
    "cancelled": "ended",
    "failed": "refused",
}


CLEARING = frozenset({"token_limit_exceeded", "rate_limit_exceeded"})
"""Codes of a refusal that other batches of the account, once done, make room for."""


class OpenAIBatches:
    """The batch API of a server of OpenAI's protocol."""

    def __init__(
        self, client: BatchClient, capabilities: Capabilities, dialect: Dialect | None = None
    ) -> None:
        self._client = client
        self._capabilities = capabilities
        self._dialect = dialect or Dialect()

    async def submit(self, tag: str, requests: Sequence[SampleRequest]) -> Batch:
        """Upload the requests and start a batch over them.

        An error of the upload leaves no batch behind: it is raised with `sent` as `rejected`.
        """
        check_tag(tag)
        data, endpoint = self._file(tag, requests)
        try:
            uploaded = await self._client.upload(
                "/files", {"purpose": "batch"}, f"{tag}.jsonl", data
            )
        except ProviderError as error:
            # Only the creation of the batch costs money: a file alone is never billed.
            error.sent = "not_sent" if error.sent == "not_sent" else "rejected"
            raise
        made = await self._client.json(
            "POST",
            "/batches",
            {
                "input_file_id": uploaded["id"],
                "endpoint": endpoint,
                "completion_window": "24h",
                "metadata": {"orch_tag": tag},
            },
        )
        return self._batch(made)

    def _file(self, tag: str, requests: Sequence[SampleRequest]) -> tuple[bytes, str]:
        if not 1 <= len(requests) <= MAX_REQUESTS:
            raise ProviderConfigError(f"a batch holds 1 to {MAX_REQUESTS} requests")
        chat = requests[0].messages is not None
        if any((request.messages is not None) != chat for request in requests):
            raise ProviderConfigError("a batch holds either chat or raw completions, not both")
        endpoint = "/v1/chat/completions" if chat else "/v1/completions"
        lines = [
            msgspec.json.encode(
                {
                    "custom_id": custom_id(tag, index),
                    "method": "POST",
                    "url": endpoint,
                    "body": request_body(request, self._capabilities, self._dialect),
                }
            )
            for index, request in enumerate(requests)
        ]
        data = b"\n".join(lines) + b"\n"
        if len(data) > MAX_FILE_BYTES:
            raise ProviderConfigError(
                f"the batch's file has {len(data)} bytes, more than {MAX_FILE_BYTES}: split it"
            )
        return data, endpoint

    async def find(self, tag: str, *, count: int, since: datetime) -> Found:
        """The batch whose metadata carries `tag`."""
        since -= CLOCK_SKEW
        after = ""
        while True:
            page = await self._client.json("GET", f"/batches?limit=100{after}")
            batches = batches_on(page, self._client.where)
            for made in batches:
                carried = made.get("metadata") if isinstance(made, Mapping) else None
                if isinstance(carried, Mapping) and carried.get("orch_tag") == tag:
                    return Found(self._batch(made))
            if not page.get("has_more") or not batches:
                return Found(None)
            last = self._batch(batches[-1])
            if last.created_at < since:
                return Found(None)
            after = f"&after={last.id}"

    def _batch(self, made: Any) -> Batch:
        return read_batch(_read, made, self._client.where)

    async def poll(self, batch_id: str) -> Batch:
        """How far it is."""
        return self._batch(await self._client.json("GET", f"/batches/{batch_id}"))

    async def cancel(self, batch_id: str) -> Batch:
        """Ask the provider to stop it."""
        return self._batch(await self._client.json("POST", f"/batches/{batch_id}/cancel", {}))

    async def fetch(
        self, batch_id: str, tag: str, requests: Sequence[SampleRequest]
    ) -> AsyncIterator[BatchResult]:
        """The results in the output file, and the refusals in the error file."""
        made = await self._client.json("GET", f"/batches/{batch_id}")
        for name in ("output_file_id", "error_file_id"):
            if not made.get(name):
                continue
            data = await self._client.data("GET", f"/files/{made[name]}/content")
            for number, line in enumerate(lines_of(data)):
                if number % LINES_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                index = index_of(str(line.get("custom_id", "")), tag, len(requests))
                if index is not None and not _never_ran(line):
                    yield BatchResult(index, self._outcome(line, requests[index]))

    def _outcome(
        self, line: Mapping[str, Any], request: SampleRequest
    ) -> SampleResponse | ProviderError:
        response = line.get("response")
        failed = means_error(line.get("error"))
        if isinstance(response, Mapping) and (response.get("body") is not None or not failed):
            # Fireworks writes the answer where others write what was answered.
            bare = "choices" in response and "body" not in response
            body = as_body(response if bare else response.get("body"))
            status = whole(response.get("status_code"))
            if status is not None and status >= 300:
                return error_from(status, body, self._client, request.model)
            try:
                return read_response(body, request, {}, self._client.asked(request.model))
            except ProviderError as error:
                return error
        if not failed:
            return BadResponse(
                f"{self._client.where}: the batch says nothing of this request",
                sent="maybe_billed", body=as_body(line),
            )  # fmt: skip
        status = status_of(line.get("error"))
        if status in (429, 503):
            return error_from(status, as_body(line["error"]), self._client, request.model)
        reason = said_by(line.get("error")).message
        return InvalidRequest(
            f"{self._client.where}: the batch did not run this request: {reason}",
            sent="rejected",
        )


def _never_ran(line: Mapping[str, Any]) -> bool:
    """Whether the batch ended before it came to this request."""
    error = line.get("error")
    code = error.get("code") if isinstance(error, Mapping) else None
    return code in ("batch_expired", "batch_cancelled")


def _read(made: Mapping[str, Any]) -> Batch:
    counts = counts_of(made)
    held = made.get("errors")
    errors = held.get("data") if isinstance(held, Mapping) else held
    errors = [one for one in errors if isinstance(one, Mapping)] if isinstance(errors, list) else []
    detail = "; ".join([str(made["status"]), *(str(error.get("message")) for error in errors)])
    return Batch(
        id=str(made["id"]),
        status=STATUS.get(str(made["status"]).lower(), "running"),
        done=counts.get("completed", 0) + counts.get("failed", 0),
        total=counts.get("total", 0),
        created_at=moment(made["created_at"]),
        detail=detail,
        answered=counts.get("completed", 0),
        clears=any(error.get("code") in CLEARING for error in errors),
    )
