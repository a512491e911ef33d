"""Odd bodies and wires: how answers are packed, cut, wrapped, streamed, or of another protocol.

As odd.py, which says what a shape is. Those of DIALECTS hold one choice, whatever was asked for.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import zstandard

from tests.hostile.made import Made, Shape, body, choices, fields, header, status, usage

Change = Callable[[Made], None]


def then(*changes: Change) -> Change:
    """Several changes after one another."""

    def apply(made: Made) -> None:
        for change in changes:
            change(made)

    return apply


def plain(made: Made) -> bytes:
    """The answer as JSON, without what only the server knows."""
    return json.dumps({k: v for k, v in made.document.items() if k != "plain_usd"}).encode()


def packed(pack: Callable[[bytes], bytes], coding: str = "") -> Change:
    def apply(made: Made) -> None:
        made.body = pack(plain(made))
        if coding:
            made.headers["content-encoding"] = coding

    return apply


def around(wrap: Callable[[dict[str, Any]], Any]) -> Change:
    """The whole answer inside something."""

    def apply(made: Made) -> None:
        made.body = json.dumps(wrap(json.loads(plain(made)))).encode()

    return apply


def wire(write: Callable[[bytes], bytes]) -> Change:
    """What goes over the connection, made of the body."""

    def apply(made: Made) -> None:
        made.wire = write(plain(made))

    return apply


def sent(*head: str, length: int | None = 0) -> Callable[[bytes], bytes]:
    """A head of its own before the body; `length` is added to the true one, None: none is said."""

    def write(data: bytes) -> bytes:
        lines = list(head) or ["HTTP/1.1 200 OK", "content-type: application/json"]
        lines.append("connection: close")
        if length is not None:
            lines.append(f"content-length: {len(data) + length}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data

    return write


def chunked(size: int, end: bytes = b"0\r\n\r\n", mark: bytes = b"") -> Callable[[bytes], bytes]:
    """The body in chunks."""

    def write(data: bytes) -> bytes:
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        return head + b"".join(b"%X%b\r\n%b\r\n" % (len(p), mark, p) for p in pieces) + end

    return write


def streamed(
    *,
    first: bytes = b"",
    end: bytes = b"data: [DONE]\n\n",
    line: str = "\n",
    lead: str = "data: ",
    more: str = "",
    lose: bool = False,
) -> Change:
    """A stream of events; `lose`: without its last words."""

    def apply(made: Made) -> None:
        whole = json.loads(plain(made))
        head = {name: whole[name] for name in ("id", "model")}
        events = []
        for one in whole["choices"]:
            text = (one["message"]["content"] if "message" in one else one["text"]) + more
            parts = [(text[:3], None), (text[3:9], None), (text[9:], one["finish_reason"])]
            for part, reason in parts[: 2 if lose else 3]:
                delta = {"content": part}
                piece = {"index": one["index"], "delta": delta, "finish_reason": reason}
                events.append({**head, "choices": [piece]})
        if not lose:
            events.append({**head, "choices": [], "usage": whole["usage"]})
        text = "".join(
            f"{lead}{json.dumps(event, ensure_ascii=False)}{line}{line}" for event in events
        )
        made.body = first + text.encode() + end

    return apply


def cut(mark: bytes, beyond: int = 0) -> Change:
    """The body without what comes after `mark`."""
    return body(lambda b: b[: b.index(mark) + len(mark) + beyond])


def words_of(choice: Mapping[str, Any]) -> str:
    return str(choice["message"]["content"] if "message" in choice else choice["text"])


def text_of(made: Made) -> str:
    return words_of(made.document["choices"][0])


def other(form: Callable[[str, Mapping[str, int], str], Any]) -> Change:
    """The answer of another protocol: of its text, its counts, its model."""

    def apply(made: Made) -> None:
        formed = form(text_of(made), made.document["usage"], made.document["model"])
        made.body = formed if isinstance(formed, bytes) else json.dumps(formed).encode()

    return apply


def lines(*documents: Any, lead: str = "data: ") -> bytes:
    return "".join(f"{lead}{json.dumps(one)}\n\n" for one in documents).encode()


def _anthropic_events(text: str, used: Mapping[str, int], model: str, *, ends: bool) -> bytes:
    begun = {"id": "m", "model": model, "content": [],
             "usage": {"input_tokens": used["prompt_tokens"], "output_tokens": 1}}  # fmt: skip
    events: list[Any] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0,
         "delta": {"type": "text_delta", "text": text[:9]}},
        {"type": "content_block_delta", "index": 0,
         "delta": {"type": "text_delta", "text": text[9:]}},
    ]  # fmt: skip
    if ends:
        events += [
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
             "usage": {"output_tokens": used["completion_tokens"]}},
            {"type": "message_stop"},
        ]  # fmt: skip
    else:
        events.append({"type": "error", "error": {"type": "api_error", "message": "broke off"}})
    return lines(*events)


def _counts(used: Mapping[str, int], prompt: str, output: str) -> dict[str, int]:
    return {prompt: used["prompt_tokens"], output: used["completion_tokens"]}


BODIES: dict[str, Shape] = {
    "latin1": Shape(body(lambda b: b.replace(b" so", b" s\xf3", 1))),
    "said_in_generations": Shape(around(lambda d: {"model": d["model"], "usage": d["usage"],
        "generations": [{"text": words_of(one), "finish_reason": "COMPLETE"}
                        for one in d["choices"]]})),
    "said_in_content": Shape(around(lambda d: {**d, "choices": [
        {"index": one["index"], "finish_reason": "stop", "content": words_of(one)}
        for one in d["choices"]]})),
    "said_in_messages": Shape(around(lambda d: {**d, "choices": [
        {"index": one["index"], "finish_reason": "stop",
         "messages": [{"sender_type": "BOT", "text": words_of(one)}]} for one in d["choices"]]})),
    "said_in_tokens": Shape(around(lambda d: {"status": "COMPLETED", "id": "sync-1", "output": [
        {**d, "choices": [{"index": one["index"], "finish_reason": "stop",
                           "tokens": [words_of(one)]} for one in d["choices"]]}]})),
    "nul_first": Shape(body(lambda b: b"\0\0\0" + b)),
    "nul_after": Shape(body(lambda b: b + b"\0\0")),
    "utf16_bare": Shape(body(lambda b: b.decode().encode("utf-16-le"))),
    "utf32": Shape(body(lambda b: b.decode().encode("utf-32"))),
    "guard_first": Shape(body(lambda b: b")]}',\n" + b)),
    "log_first": Shape(body(lambda b: b"INFO: starting {worker}\n" + b)),
    "comment_first": Shape(body(lambda b: b"// made by hand\n" + b)),
    "comments_of_events": Shape(body(lambda b: b": PROCESSING\n\n: PROCESSING\n\n" + b)),
    "comma_last": Shape(body(lambda b: b[:-1] + b",}")),
    "comment_inside": Shape(body(lambda b: b[:-1] + b"/* end */}")),
    "single_quotes": Shape(body(lambda b: repr(json.loads(b)).encode())),
    "escapes_odd": Shape(body(lambda b: b.replace(b" so", b" s\\x \\u00zz", 1))),
    "zeros_first": Shape(body(lambda b: b[:-1] + b', "score": 007}')),
    "nested_deep": Shape(body(lambda b: b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"," + b[1:])),
    "brace_missing": Shape(body(lambda b: b[:-1])),
    "as_text": Shape(body(lambda b: json.dumps(b.decode()).encode())),
    "in_a_list": Shape(around(lambda d: [d])),
    "in_data": Shape(around(lambda d: {"code": 0, "msg": "ok", "data": d})),
    "in_result": Shape(around(lambda d: {"success": True, "errors": [], "result": d})),
    "in_response": Shape(around(lambda d: {"status": "ok", "response": {"body": d}})),
    "choices_nested": Shape(around(lambda d: {**d, "choices": [d["choices"]]})),
    "choices_numbered": Shape(around(lambda d: {**d, "choices": {
        str(at): one for at, one in enumerate(d["choices"])}})),
    "usage_in_groqs": Shape(around(lambda d: {**d, "usage": None, "x_groq": {
        "usage": d["usage"]}})),
    "usage_in_meta": Shape(around(lambda d: {**d, "usage": None, "meta": {"usage": d["usage"]}})),
    "usage_vercels": Shape(around(lambda d: {**d, "usage": {
        "promptTokens": d["usage"]["prompt_tokens"],
        "completionTokens": d["usage"]["completion_tokens"], "cachedInputTokens": 0}})),
    "usage_at_the_top": Shape(around(lambda d: {**d, "usage": None, **d["usage"]})),
    "usage_googles": Shape(around(lambda d: {**d, "usage": None, "usageMetadata": {
        "promptTokenCount": d["usage"]["prompt_tokens"],
        "candidatesTokenCount": d["usage"]["completion_tokens"]}})),
    "no_output_count": Shape(usage(lambda u: {k: u[k] for k in ("prompt_tokens",
                                                                "total_tokens")})),
    "no_prompt_count": Shape(usage(lambda u: {k: u[k] for k in ("completion_tokens",
                                                                "total_tokens")})),
    "error_false": Shape(fields(error=False, errors=[])),
    "error_none": Shape(fields(error="None")),
    "error_zero": Shape(fields(error={"code": 0, "message": "success", "type": None})),
    "warned": Shape(fields(warnings=["slow"], detail="served from a spare", message="OK")),
    "finish_camel": Shape(choices(finish_reason=None, finishReason="STOP")),
    "finish_native": Shape(choices(finish_reason=None, native_finish_reason="MAX_TOKENS")),
    "finish_list": Shape(choices(finish_reason=["stop"])),
    "finish_dotted": Shape(choices(finish_reason="FinishReason.STOP")),
    "finish_spaced": Shape(choices(finish_reason=" Stop ")),
    "finish_malformed": Shape(choices(finish_reason="MALFORMED_RESPONSE")),
    "finish_repetition": Shape(choices(finish_reason="repetition")),
    "events_crlf": Shape(streamed(line="\r\n")),
    "events_close": Shape(streamed(lead="data:", end=b"")),
    "events_named": Shape(streamed(first=b"retry: 500\nid: 7\nevent: message\n")),
    "events_odd_lines": Shape(streamed(more="\u2028\u0085 \x0b\x1c")),
    "event_whole": Shape(body(lambda b: b"data: " + b + b"\n\ndata: [DONE]\n\n")),
    "event_on_lines": Shape(body(lambda b: b"data: " + b.replace(
        b", \"usage\"", b",\ndata: \"usage\"") + b"\n\n")),
    "gzip": Shape(packed(gzip.compress, "gzip")),
    "gzip_upper": Shape(packed(gzip.compress, "GZIP")),
    "gzip_unsaid": Shape(packed(gzip.compress)),
    "gzip_twice": Shape(packed(lambda b: gzip.compress(gzip.compress(b)), "gzip, gzip")),
    "gzip_members": Shape(packed(lambda b: gzip.compress(b[:50]) + gzip.compress(b[50:]), "gzip")),
    "gzip_cut": Shape(packed(lambda b: gzip.compress(b)[:-8], "gzip")),
    "deflate": Shape(packed(zlib.compress, "deflate")),
    "deflate_bare": Shape(packed(lambda b: zlib.compress(b, wbits=-15), "deflate")),
    "zstd": Shape(packed(lambda b: zstandard.ZstdCompressor().compress(b), "zstd")),
    "coding_untrue": Shape(header("content-encoding", "br")),
    "length_none": Shape(wire(sent(length=None))),
    "lines_bare": Shape(wire(lambda b: b"HTTP/1.1 200 OK\nconnection: close\n\n" + b)),
    "header_control": Shape(wire(sent("HTTP/1.1 200 OK", "x-note: a\x01b"))),
    "header_folded": Shape(wire(sent("HTTP/1.1 200 OK", "x-note: a\r\n b"))),
    "chunks_spaced": Shape(wire(chunked(100, b"0 \r\n\r\n", b" "))),
    "http10": Shape(wire(sent("HTTP/1.0 200 OK", length=None))),
    "reason_none": Shape(wire(sent("HTTP/1.1 200 "))),
    "hints_first": Shape(wire(lambda b: b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
                              + sent()(b))),
    "length_beyond": Shape(wire(sent(length=40))),
    "length_short": Shape(wire(sent(length=-1))),
    "headers_many": Shape(wire(sent("HTTP/1.1 200 OK", *(f"x-{i}: {i}" for i in range(300))))),
    "header_long": Shape(wire(sent("HTTP/1.1 200 OK", "set-cookie: " + "a" * 30_000))),
    "header_twice": Shape(wire(sent("HTTP/1.1 200 OK", "x-ratelimit-limit-requests: odd",
                                    "x-ratelimit-limit-requests: ", "retry-after: \xe9"))),
    "chunks_small": Shape(wire(chunked(1))),
    "chunks_marked": Shape(wire(chunked(100, b"0\r\nx-sum: 1\r\n\r\n", b";last=no"))),
    "chunks_unended": Shape(wire(chunked(100, b""))),
    "chunk_broken": Shape(wire(chunked(10_000, b"zz\r\n"))),
    "status_202": Shape(status(202)),
    "status_206": Shape(status(206)),
    "status_207": Shape(status(207)),
    "status_299": Shape(status(299)),
}  # fmt: skip
"""Its samples count, and its cost is settled exactly."""

DIALECTS: dict[str, Shape] = {
    "anthropics": Shape(other(lambda t, u, m: {
        "type": "message", "role": "assistant", "model": m, "stop_reason": "end_turn",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": t}],
        "usage": _counts(u, "input_tokens", "output_tokens")})),
    "anthropics_events": Shape(other(lambda t, u, m: _anthropic_events(t, u, m, ends=True))),
    "geminis": Shape(other(lambda t, u, m: {
        "candidates": [{"content": {"parts": [{"text": "hm", "thought": True}, {"text": t}]},
                        "finishReason": "STOP", "index": 0}], "modelVersion": m,
        "usageMetadata": _counts(u, "promptTokenCount", "candidatesTokenCount")})),
    "geminis_events": Shape(other(lambda t, u, m: lines(
        {"candidates": [{"content": {"parts": [{"text": t[:5]}]}}]},
        {"candidates": [{"content": {"parts": [{"text": t[5:]}]}, "finishReason": "STOP"}],
         "usageMetadata": _counts(u, "promptTokenCount", "candidatesTokenCount")}))),
    "responses": Shape(other(lambda t, u, m: {
        "object": "response", "status": "completed", "model": m, "error": None,
        "output": [{"type": "reasoning", "summary": []},
                   {"type": "message", "content": [{"type": "output_text", "text": t}]}],
        "usage": _counts(u, "input_tokens", "output_tokens")})),
    "ollamas": Shape(other(lambda t, u, m: {
        "model": m, "message": {"role": "assistant", "content": t}, "done": True,
        "done_reason": "stop", **_counts(u, "prompt_eval_count", "eval_count")})),
    "ollamas_lines": Shape(other(lambda t, u, m: b"\n".join(json.dumps(one).encode() for one in (
        {"model": m, "message": {"content": t[:4]}, "done": False},
        {"model": m, "message": {"content": t[4:]}, "done": True, "done_reason": "stop",
         **_counts(u, "prompt_eval_count", "eval_count")})))),
    "ollamas_raw": Shape(other(lambda t, u, m: {
        "model": m, "response": t, "done": True, "done_reason": "length",
        **_counts(u, "prompt_eval_count", "eval_count")})),
    "coheres": Shape(other(lambda t, u, m: {
        "id": "c", "finish_reason": "COMPLETE", "message": {"content": [
            {"type": "text", "text": t}]},
        "usage": {"billed_units": _counts(u, "input_tokens", "output_tokens")}})),
    "bedrocks": Shape(other(lambda t, u, m: {
        "output": {"message": {"role": "assistant", "content": [{"text": t}]}},
        "stopReason": "end_turn", "usage": _counts(u, "inputTokens", "outputTokens")})),
    "dashscopes": Shape(other(lambda t, u, m: {
        "status_code": 200, "code": "", "message": "", "output": {"choices": [
            {"finish_reason": "stop", "message": {"role": "assistant", "content": t}}]},
        "usage": _counts(u, "input_tokens", "output_tokens")})),
    "baidus": Shape(other(lambda t, u, m: {
        "id": "as-1", "result": t, "is_truncated": False, "finish_reason": "normal",
        "usage": dict(u)})),
    "llamas": Shape(other(lambda t, u, m: {
        "content": t, "stop": True, "stop_type": "limit", "model": m,
        **_counts(u, "tokens_evaluated", "tokens_predicted")})),
    "usage_in_choice": Shape(around(lambda d: {
        **d, "usage": None, "choices": [{**d["choices"][0], "usage": d["usage"]}]})),
    "message_list": Shape(around(lambda d: {**d, "choices": [
        {**d["choices"][0], "message": [{"role": "assistant", "content": "\n#### 5"}]}]})),
    "content_number": Shape(around(lambda d: {**d, "choices": [
        {"index": 0, "message": {"content": 42}, "finish_reason": "stop"}]})),
}  # fmt: skip
"""Of another protocol, with one choice: its sample counts, and its cost is settled exactly."""

HELD_BODIES: dict[str, Shape] = {
    "reasoning_above": Shape(usage(lambda u: {
        "prompt_tokens": u["prompt_tokens"], "completion_tokens": 2,
        "completion_tokens_details": {"reasoning_tokens": u["completion_tokens"] - 2}})),
    "total_beyond": Shape(usage(lambda u: u.update(total_tokens=u["total_tokens"] + 9))),
    "tier_number": Shape(fields(service_tier=3), bill=1.2),
    "tier_object": Shape(fields(service_tier={"name": "Priority"}), bill=1.7),
    "tier_list": Shape(fields(service_tier=["flex"]), bill=0.5),
    "cost_at_the_top": Shape(lambda m: m.document.update(cost=m.document["plain_usd"] / 2),
                             bill=0.5),
    "cost_nothing": Shape(usage(lambda u: u.update(cost=0)), bill=0.0),
    "usage_twice": Shape(body(lambda b: b[:-1] + b', "usage": null}')),
    "usage_nulls": Shape(usage(lambda u: dict.fromkeys(u))),
    "usage_only_total": Shape(usage(lambda u: {"total_tokens": u["total_tokens"]})),
    "cut_in_usage": Shape(cut(b'"prompt_tokens": ', 1)),
    "cut_before_usage": Shape(cut(b'"usage"', -7)),
    "wire_cut_in_usage": Shape(wire(lambda b: sent()(b)[:-25])),
    "texts_alone": Shape(other(lambda t, u, m: [{"generated_text": t}, {"generated_text": t}])),
}  # fmt: skip
"""Its samples count, and not all of its cost is certain."""

CUT: dict[str, Shape] = {
    "said_nowhere": Shape(around(lambda d: {**d, "choices": [
        {"index": one["index"], "finish_reason": "stop", "spoken": words_of(one)}
        for one in d["choices"]]})),
    "cut_in_text": Shape(cut(b" so")),
    "cut_in_choice": Shape(cut(b'"finish_reason"', 3)),
    "colons_missing": Shape(body(lambda b: b.replace(b":", b"", 3))),
    "wire_cut_in_text": Shape(wire(lambda b: sent()(b)[: -len(b) + b.index(b" so") + 2])),
    "gzip_cut_in_text": Shape(packed(lambda b: gzip.compress(b)[:60], "gzip")),
    "coded_br": Shape(packed(lambda b: b"\x0b\x02\x80" + zlib.compress(b) + b"\x03", "br")),
    "events_lost": Shape(streamed(lose=True, end=b"")),
    "events_cut": Shape(streamed(lose=True, end=b'data: {"choices": [{"del')),
    "anthropics_cut": Shape(other(lambda t, u, m: _anthropic_events(t, u, m, ends=False))),
    "finish_shutdown": Shape(choices(finish_reason="server_shutdown")),
    "finish_dead": Shape(choices(finish_reason="EngineDeadError")),
    "finish_users": Shape(choices(finish_reason="Cancelled by user")),
    "finish_behind": Shape(choices(native_finish_reason="insufficient_system_resource")),
    "choice_error_text": Shape(choices(error="the provider behind it timed out")),
    "status_204": Shape(then(status(204), body(lambda _: b""))),
    "status_205": Shape(then(status(205), body(lambda _: b""))),
    "body_empty": Shape(body(lambda _: b"")),
    "body_blank": Shape(body(lambda _: b"\n\n\n")),
    "body_null": Shape(body(lambda _: b"null")),
    "body_number": Shape(body(lambda _: b"12")),
    "object_empty": Shape(body(lambda _: b"{}")),
    "queued_202": Shape(then(status(202), body(lambda _: b'{"id": "x", "state": "queued"}'))),
}  # fmt: skip
"""Paid for, and no whole answer of a model: its slots are censored, and nothing of it is judged."""
