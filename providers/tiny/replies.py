"""HTTP responses: JSON documents, events of a stream, and errors in OpenAI's shape."""

from __future__ import annotations

import json

from aiohttp import web

from providers.tiny.answers import Document
from providers.tiny.errors import ApiError

MAX_BODY_BYTES = 1 << 20


def of_http(request: web.Request, error: web.HTTPException) -> ApiError:
    """What aiohttp refuses by itself, in a sentence."""
    if error.status == 404:
        message = f"Invalid URL ({request.method} {request.path})."
    elif error.status == 405:
        message = f"Not allowed to {request.method} on {request.path}."
    elif error.status == 413:
        message = f"The body is larger than {MAX_BODY_BYTES} bytes."
    else:
        message = error.reason
    return ApiError(message, status=error.status)


def json_response(document: Document, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=json.dumps(document), content_type="application/json", headers=headers)


def error_response(error: ApiError, allow: str | None = None) -> web.Response:
    return web.Response(
        text=error.body(),
        status=error.status,
        content_type="application/json",
        headers={"Allow": allow} if allow else None,
    )


def events(documents: list[Document]) -> bytes:
    """Server-sent events."""
    return b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents)
