"""What the hostile server answers, in OpenAI's and Anthropic's shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FINISH = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}


@dataclass(frozen=True)
class Answer:
    """One answered request: choices with their finish reason, and its usage."""

    number: int
    model: str
    texts: tuple[str, ...]
    finish: str
    prompt_tokens: int
    output_tokens: int


def openai_body(answer: Answer, chat: bool) -> dict[str, Any]:
    """A chat completion or a completion."""
    choices: list[dict[str, Any]] = []
    for index, text in enumerate(answer.texts):
        content = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        choices.append(
            {"index": index, **content, "finish_reason": answer.finish, "logprobs": None}
        )
    return {
        "id": f"hostile-{answer.number}",
        "object": "chat.completion" if chat else "text_completion",
        "created": 1_700_000_000,
        "model": answer.model,
        "choices": choices,
        "usage": {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.prompt_tokens + answer.output_tokens,
        },
    }


def anthropic_body(answer: Answer) -> dict[str, Any]:
    """A message; Anthropic has one choice per request."""
    return {
        "id": f"hostile-{answer.number}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [{"type": "text", "text": answer.texts[0]}],
        "stop_reason": FINISH[answer.finish],
        "stop_sequence": None,
        "usage": {
            "input_tokens": answer.prompt_tokens,
            "output_tokens": answer.output_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


def error_body(anthropic: bool, kind: str, message: str) -> dict[str, Any]:
    """An error in the shape of either API."""
    if anthropic:
        return {"type": "error", "error": {"type": kind, "message": message}}
    return {"error": {"message": message, "type": kind, "code": kind, "param": None}}


def prompt_of(body: dict[str, Any]) -> tuple[str, int]:
    """The prompt's whole text, and its number of messages (0: a raw completion)."""
    if "messages" not in body:
        prompt = body.get("prompt", "")
        return ("".join(map(str, prompt)) if isinstance(prompt, list) else str(prompt)), 0
    texts = [str(body.get("system", ""))]
    for message in body["messages"]:
        content = message.get("content", "")
        if isinstance(content, list):
            content = "".join(str(part.get("text", "")) for part in content)
        texts.append(str(content))
    return "\n".join(texts), len(body["messages"])
