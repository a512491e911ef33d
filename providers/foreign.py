"""Answers that are not quite of the protocol that was asked for, put into its shape.

A gateway may wrap an answer (`data`, `result`, ...), or pass on what the server behind it wrote: a
message of Anthropic, Cohere or Bedrock, Gemini's candidates, a response of OpenAI's Responses, what
Ollama, llama.cpp, TGI, DashScope or Baidu say on their own addresses. Texts, ends and counts are
the same things under other names: one table a thing. Nothing is made up: no text, no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Written = Mapping[str, Any]

WRAPPERS = ("data", "result", "response", "output", "body", "completion", "answer", "payload")
"""Members in which an answer may stand as a whole."""
TEXTS = ("generated_text", "output_text", "completion", "result", "response", "reply", "text",
         "output", "content")  # fmt: skip
"""Members that are the text where they are one: TGI, Anthropic's old completions, Baidu, Ollama,
MiniMax, DashScope, llama.cpp."""
LISTS = ("outputs", "generations", "results", "predictions")
"""Members that hold choices as other servers call them: Cohere, KoboldCpp, Vertex, Bedrock."""
FINISHES = ("finish_reason", "finishReason", "native_finish_reason", "stop_reason", "stopReason",
            "done_reason", "stop_type", "finish_type")  # fmt: skip
"""Where the reason for an end stands, the first that is there."""
USAGES: tuple[tuple[str, ...], ...] = (
    ("usage",), ("usage", "usage"), ("x_groq", "usage"), ("usageMetadata",), ("usage_metadata",),
    ("meta", "usage"), ("metadata", "usage"), ("meta", "billed_units"), ("meta", "tokens"),
    ("token_usage",), ("tokenUsage",), ("meta_info",), ("metrics",),
    ("amazon-bedrock-invocationMetrics",),
)  # fmt: skip
"""Where the counts stand, the first that is an object with something in it."""
AT_THE_TOP = ("prompt_eval_count", "eval_count", "tokens_evaluated", "tokens_predicted",
              "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")  # fmt: skip
"""Counts that some servers write beside the answer instead of into an object."""


def answer_in(document: Any, depth: int = 0) -> dict[str, Any] | None:
    """The answer in a document, in OpenAI's shape; None where there is none."""
    if isinstance(document, list):
        return _of_list(document, depth)
    if not isinstance(document, Mapping):
        return None
    choices = _choices(document)
    if choices is not None:
        return {**document, "choices": choices, "usage": usage_in(document, choices)}
    for name in WRAPPERS if depth < 3 else ():
        inner = document.get(name)
        if not isinstance(inner, Mapping | list):
            continue
        found = answer_in(inner, depth + 1)
        if found is not None:
            return _from_outside(found, document)
    return None


def finish_in(holder: Written) -> Any:
    """Whatever stands for the reason of an end."""
    return next((holder[name] for name in FINISHES if holder.get(name) is not None), None)


def usage_in(document: Written, choices: Sequence[Any] = ()) -> Any:
    """Whatever stands for the counts of an answer; None: nothing does."""
    for path in USAGES:
        value: Any = document
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) and value and "usage" not in value:
            return value
    if document.get("usage") is not None and not isinstance(document["usage"], Mapping):
        return document["usage"]
    if len(choices) == 1 and isinstance(choices[0], Mapping) and choices[0].get("usage"):
        return choices[0]["usage"]  # Moonshot
    top = {name: document[name] for name in AT_THE_TOP if name in document}
    return top or document.get("usage")


def _of_list(document: list[Any], depth: int) -> dict[str, Any] | None:
    """A list of one answer; of TGI's or SGLang's texts, one a choice."""
    if len(document) == 1:
        return answer_in(document[0], depth + 1) if depth < 3 else None
    texts = [_text(one) if isinstance(one, Mapping) else None for one in document]
    if not texts or not all(texts):
        return None
    choices = [{**one[0], "index": place} for place, one in enumerate(texts) if one]
    return {"choices": choices, "usage": None}


def _from_outside(found: dict[str, Any], around: Written) -> dict[str, Any]:
    """What a wrapper says of the answer in it."""
    for name in ("model", "id", "service_tier"):
        if found.get(name) is None and around.get(name) is not None:
            found[name] = around[name]
    choices = found["choices"]
    if found.get("usage") is None:
        found["usage"] = usage_in({k: v for k, v in around.items() if k not in WRAPPERS}, choices)
    end = finish_in(around)
    for choice in choices:
        if isinstance(choice, dict) and finish_in(choice) is None and end is not None:
            choice["finish_reason"] = end
    return found


def _choices(document: Written) -> list[Any] | None:
    """The choices of a document, however they are written; None where it has none."""
    raw = document.get("choices")
    if isinstance(raw, Mapping):
        numbered = all(str(key).isdigit() for key in raw) and bool(raw)
        raw = [raw[key] for key in sorted(raw, key=int)] if numbered else [raw]
    if isinstance(raw, list):
        while len(raw) == 1 and isinstance(raw[0], list):
            raw = raw[0]
        return raw
    if raw is not None:
        return None
    for made in (_gemini(document), _responses(document), _message(document), _listed(document),
                 _text(document)):  # fmt: skip
        if made:
            return made
    return None


def _listed(document: Written) -> list[Any] | None:
    """Texts in a list of another name."""
    for name in LISTS:
        listed = document.get(name)
        ours = isinstance(listed, list) and all(
            isinstance(one, Mapping) and isinstance(one.get("text", one.get("content")), str)
            for one in listed
        )
        if ours and listed:
            return [{"index": place, **one} for place, one in enumerate(listed)]
    return None


def _gemini(document: Written) -> list[Any] | None:
    candidates = document.get("candidates")
    if not isinstance(candidates, list):
        return None
    return [{"index": one.get("index"), "finish_reason": finish_in(one),
             "message": {"content": _parts(one.get("content"))}}
            for one in candidates if isinstance(one, Mapping)]  # fmt: skip


def _parts(content: Any) -> Any:
    """The texts of Gemini's parts, without its thoughts."""
    parts = content.get("parts") if isinstance(content, Mapping) else content
    if not isinstance(parts, list):
        return parts
    return [part for part in parts if not (isinstance(part, Mapping) and part.get("thought"))]


def _responses(document: Written) -> list[Any] | None:
    output = document.get("output")
    if not isinstance(output, list) or document.get("object") not in ("response", None):
        return None
    if not any(isinstance(one, Mapping) and ("content" in one or "type" in one) for one in output):
        return None
    said: list[Any] = []
    for item in output:
        content = item.get("content") if isinstance(item, Mapping) else None
        if isinstance(content, list) and item.get("type", "message") == "message":
            said += content
    refusals = [str(part["refusal"]) for part in said if isinstance(part, Mapping)
                and part.get("refusal")]  # fmt: skip
    end = document.get("status")
    why = document.get("incomplete_details")
    if end == "incomplete" and isinstance(why, Mapping):
        end = why.get("reason") or end
    return [{"index": 0, "finish_reason": end, "error": document.get("error"),
             "message": {"content": said, "refusal": "".join(refusals) or None}}]  # fmt: skip


def _message(document: Written) -> list[Any] | None:
    message = document.get("message")
    if isinstance(message, Mapping) and "content" in message:
        return [{"index": 0, "finish_reason": _end_of(document), "message": dict(message)}]
    content = document.get("content")
    if isinstance(content, list) and (content or "stop_reason" in document):
        return [{"index": 0, "finish_reason": finish_in(document),
                 "message": {"content": content}}]  # fmt: skip
    return None


def _text(document: Written) -> list[Any] | None:
    """A text beside something that only an answer has: its end, or its counts."""
    end = _end_of(document)
    if end is None and usage_in(document) is None and "generated_text" not in document:
        return None
    for name in TEXTS:
        text = document.get(name)
        if name == "output" and isinstance(text, list) and text:
            # Replicate writes its tokens.
            text = "".join(map(str, text)) if all(isinstance(one, str) for one in text) else None
        if isinstance(text, str):
            return [{"index": 0, "finish_reason": end, "text": text}]
    return None


def _end_of(document: Written) -> Any:
    end = finish_in(document)
    for details in (document.get("details"), document.get("meta_info")):
        if end is None and isinstance(details, Mapping):
            end = finish_in(details)
    if end is None and document.get("done") is False:
        return "aborted"
    for name, word in (("stopped_limit", "length"), ("truncated", "length"),
                       ("is_truncated", "length"), ("stopped_eos", "stop"),
                       ("stopped_word", "stop")):  # fmt: skip
        if end is None and document.get(name) is True:
            return word
    return end
