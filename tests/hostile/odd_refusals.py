"""Errors as servers write them: under their own status, inside a 200, half sent, or as a page.

As odd.py, which says what a shape is. Nothing of these is on the bill but of what stands between us
and a server that may have gone on.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

from tests.hostile.made import Made, Shape, choices, usage_set
from tests.hostile.odd_bodies import then

PAGE = b"<!DOCTYPE html><html><head><title>Just a moment</title></head><body>x{y}</body></html>"
WORDS = b'{"error": {"message": "it was refused"}}'


def refused(status: int, said: bytes = WORDS, **headers: str) -> Callable[[Made], None]:
    """An error's status; names of `headers` with _ for -."""

    def apply(made: Made) -> None:
        made.status, made.body = status, said
        made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})

    return apply


def inside(document: Any) -> Callable[[Made], None]:
    """An error in a 200."""

    def apply(made: Made) -> None:
        made.body = document if isinstance(document, bytes) else json.dumps(document).encode()

    return apply


def half_sent(status: int, said: bytes = WORDS) -> Callable[[Made], None]:
    """An error of which only half came."""

    def apply(made: Made) -> None:
        head = f"HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {len(said)}\r\n\r\n"
        made.wire = head.encode() + said[: len(said) // 2]

    return apply


def free(change: Callable[[Made], None]) -> Shape:
    return Shape(change, bill=0.0)


LIMITED: dict[str, Shape] = {
    "limited_bare": free(refused(429, b"")),
    "limited_page": free(refused(429, PAGE)),
    "limited_overloaded": free(refused(
        429, b'{"error": "Model is overloaded", "error_type": "overloaded"}')),
    "limited_quota_a_minute": free(refused(429, json.dumps({"error": {
        "code": 429, "status": "RESOURCE_EXHAUSTED",
        "message": "You exceeded your current quota, limit: 10. Please retry in 0.3s.",
        "details": [{"quotaId": "GenerateRequestsPerMinute"}, {"retryDelay": "0.3s"}]}}).encode())),
    "limited_wait_endless": free(refused(429, retry_after="1e9")),
    "limited_wait_distant": free(refused(429, retry_after="Wed, 21 Oct 2915 07:28:00 GMT")),
    "limited_wait_past": free(refused(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")),
    "limited_wait_negative": free(refused(429, retry_after="-5")),
    "limited_wait_odd": free(refused(429, retry_after="soon")),
    "limited_half": free(half_sent(429)),
    "limited_packed_badly": free(refused(429, b"\x1f\x8bxx", content_encoding="gzip")),
    "limited_packed": free(refused(429, gzip.compress(WORDS), content_encoding="gzip")),
    "limited_coded": free(refused(429, b"\x0b\x02\x80x", content_encoding="br")),
    "limited_as_400": free(refused(
        400, b'{"__type": "ThrottlingException", "message": "Too many tokens, please wait"}')),
    "limited_inside_minimax": free(inside({
        "choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}})),
    "limited_inside_code": free(inside({"code": 429, "msg": "too many requests"})),
    "limited_inside_baidu": free(inside({
        "error_code": 18, "error_msg": "Open api qps request limit reached"})),
    "limited_inside_true": free(inside({"error": True, "message": "rate limit reached"})),
    "limited_inside_number": free(inside({"error": 429})),
    "limited_inside_written": free(inside({"error": {"code": 500, "message": json.dumps(
        {"error": {"code": 429, "message": "Resource exhausted"}})}})),
    "limited_inside_events": free(inside(b'data: {"error": {"code": 429, "message": "no"}}\n\n')),
    "limited_inside_list": free(inside([{"error": {"code": 429, "message": "no"}}])),
    "limited_inside_choices": free(then(
        usage_set(prompt_tokens=0, completion_tokens=0, total_tokens=0),
        choices(error={"code": 429, "message": "no"}, message={"content": ""}, text="",
                finish_reason="error"))),
    "limited_inside_single": free(inside(b"{'error': {'code': 429, 'message': 'no'}}")),
}  # fmt: skip
"""A limit that clears: asked again, nothing held."""

_PASSING = (409, 421, 423, 424, 425, 498, 500, 501, 503, 505, 507, 508, 509, 511, 521, 523, 525,
            526, 529, 530)  # fmt: skip
OVERLOADED: dict[str, Shape] = {
    **{f"status_{status}": free(refused(status)) for status in _PASSING},
    "broken_bare": free(refused(500, b"")),
    "broken_page": free(refused(503, PAGE)),
    "broken_half": free(half_sent(503)),
    "broken_list": free(refused(500, b'[{"error": {"message": "x"}}]')),
    "broken_null": free(refused(500, b"null")),
    "broken_text": free(refused(503, b"no healthy upstream")),
    "broken_latin1": free(refused(500, b"caf\xe9")),
    "overloaded_inside_typed": free(inside({"error": {"type": "overloaded_error"}})),
    "overloaded_inside_deep": free(inside({"error": {"error": {"error": {
        "message": "x", "code": 503}}}})),
    "overloaded_inside_spring": free(inside({
        "timestamp": 1, "status": 503, "error": "Service Unavailable", "path": "/v1"})),
    "overloaded_inside_cloudflare": free(inside({
        "success": False, "result": None, "errors": [
            {"code": 3040, "message": "Capacity temporarily exceeded, please try again."}]})),
    "overloaded_inside_loading": free(inside({"error": "Model is loading", "estimated_time": 2})),
    "overloaded_inside_events": free(inside(
        b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n')),
}  # fmt: skip
"""A server that cannot at the moment: asked again, nothing held."""

BETWEEN: dict[str, Shape] = {
    **{f"status_{status}": Shape(refused(status, PAGE), bill=share)
       for status, share in ((408, 1.0), (444, 0.0), (460, 1.0), (499, 0.0), (502, 1.0),
                             (504, 1.0), (520, 1.0), (522, 0.0), (524, 1.0), (527, 0.0),
                             (598, 1.0), (599, 1.0))},
    "timed_out_inside": Shape(inside({"status": "error", "message": "upstream timed out"})),
    "page_for_answer": Shape(inside(PAGE)),
    "words_for_answer": Shape(inside(b"upstream connect error or reset before headers")),
}  # fmt: skip
"""Of something in front of the server, which may have gone on and billed: held."""

_WRONG = (400, 406, 411, 412, 413, 414, 415, 416, 417, 418, 422, 426, 428, 431)
WRONG: dict[str, Shape] = {
    **{f"status_{status}": free(refused(status)) for status in _WRONG},
    "wrong_bare": free(refused(400, b"")),
    "wrong_validation": free(refused(422, json.dumps({"detail": [
        {"loc": ["body", "messages", 0], "msg": "Field required", "type": "missing"}]}).encode())),
    "wrong_inside_validation": free(inside({"detail": [
        {"loc": ["body", "messages"], "msg": "field required", "type": "value_error"}]})),
    "wrong_inside_unsafe": free(inside({"code": 1301, "msg": "unsafe content", "success": False})),
    "wrong_inside_length": free(inside({
        "error_code": 336003, "error_msg": "the max length of messages is 20000"})),
    "wrong_flagged": free(refused(403, json.dumps({"error": {
        "code": 403, "message": "Your input was flagged by moderation"}}).encode())),
    "wrong_too_large": free(refused(429, json.dumps({"error": {
        "message": "Request too large: Limit 6000, Requested 7123."}}).encode())),
}  # fmt: skip
"""This very request is refused: its slots stay unfilled, its words are told, the run goes on."""


def after_tokens(status: int) -> Callable[[Made], None]:
    """An error of a server that had written, and says so."""

    def apply(made: Made) -> None:
        made.status = status
        made.body = json.dumps({"error": {"code": status, "message": "broke off"},
                                "usage": made.document["usage"]}).encode()  # fmt: skip

    return apply


PAID: dict[str, Shape] = {
    f"paid_{status}": Shape(after_tokens(status)) for status in (200, 400, 500, 502, 503)
}
"""An error that tells what was written before it: its slots are censored, its cost is settled."""

SLIPS: dict[str, Shape] = {
    **{f"status_{status}": free(refused(status, b"", location="https://elsewhere.example/"))
       for status in (300, 301, 302, 304, 307, 308)},
    **{f"status_{status}": free(refused(status)) for status in (401, 404, 405, 407, 410, 451)},
    "wall_403": free(refused(403, PAGE)),
    "key_inside": free(inside({"base_resp": {"status_code": 1004, "status_msg": "login fail"}})),
    "model_inside": free(inside({"error": "model 'x' not found, try pulling it first"})),
}  # fmt: skip
"""What ends a run at its start, once among many answers: asked once more, and the run goes on."""
