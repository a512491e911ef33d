"""The documents that answer requests, in the shapes of the OpenAI API.

`Head` is what every document of one answer shares. Whole answers and stream chunks are plain
dicts, ready for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from providers.tiny.job import TokenLogprob
from providers.tiny.parsing import ParsedRequest
from providers.tiny.tokenizer import TOKENS

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """One choice, whole."""

    text: str
    finish_reason: str
    output_tokens: int
    logprobs: tuple[TokenLogprob, ...] | None


@dataclass(frozen=True, slots=True)
class Head:
    """Identity of one answer."""

    id: str
    created: int
    ask: ParsedRequest

    def document(self, kind: str, choices: Sequence[Document], **more: Any) -> Document:
        """A document of this answer; `kind` is its `object` field."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.ask.model,
            "choices": list(choices),
            **more,
        }


def usage(ask: ParsedRequest, completion_tokens: int) -> Document:
    """The usage object: each prompt once, every token of every choice, end tokens included."""
    return {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": ask.prompt_tokens + completion_tokens,
    }


def whole(head: Head, choices: Sequence[Finished]) -> Document:
    """The answer to a request that is not streamed."""
    build = _chat_choice if head.ask.chat else _completion_choice
    return head.document(
        "chat.completion" if head.ask.chat else "text_completion",
        [build(index, choice) for index, choice in enumerate(choices)],
        usage=usage(head.ask, sum(choice.output_tokens for choice in choices)),
    )


def _chat_choice(index: int, choice: Finished) -> Document:
    return {
        "index": index,
        "message": {"role": "assistant", "content": choice.text, "refusal": None},
        "logprobs": chat_logprobs(choice.logprobs),
        "finish_reason": choice.finish_reason,
    }


def _completion_choice(index: int, choice: Finished) -> Document:
    return {
        "index": index,
        "text": choice.text,
        "logprobs": completion_logprobs(choice.logprobs),
        "finish_reason": choice.finish_reason,
    }


def chunk(
    head: Head,
    index: int,
    text: str,
    *,
    finish_reason: str | None = None,
    logprobs: tuple[TokenLogprob, ...] | None = None,
    logprobs_from: int = 0,
    opening: bool = False,
) -> Document:
    """One piece of one choice of a streamed answer.

    `logprobs` are those of the whole choice so far; the ones from `logprobs_from` on are new.
    """
    choice: Document = {"index": index}
    if head.ask.chat:
        delta: Document = {"role": "assistant", "content": ""} if opening else {}
        if text:
            delta["content"] = text
        choice["delta"] = delta
        choice["logprobs"] = chat_logprobs(logprobs[logprobs_from:] if logprobs else None)
    else:
        choice["text"] = text
        choice["logprobs"] = completion_logprobs(logprobs, logprobs_from)
    choice["finish_reason"] = finish_reason
    return stream_document(head, [choice])


def stream_document(
    head: Head, choices: Sequence[Document], used: Document | None = None
) -> Document:
    """One event of a stream; `usage` is there where the request asked for it."""
    more = {"usage": used} if head.ask.include_usage else {}
    kind = "chat.completion.chunk" if head.ask.chat else "text_completion"
    return head.document(kind, choices, **more)


def chat_logprobs(logprobs: Sequence[TokenLogprob] | None) -> Document | None:
    """The `logprobs` object of a chat choice; the end token is among the tokens."""
    if logprobs is None:
        return None
    content = []
    for entry in logprobs:
        top = [_chat_token(token, logprob) for token, logprob in entry.top]
        content.append({**_chat_token(entry.token, entry.logprob), "top_logprobs": top})
    return {"content": content, "refusal": None}


def _chat_token(token: int, logprob: float) -> Document:
    text = TOKENS[token]
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def completion_logprobs(logprobs: Sequence[TokenLogprob] | None, start: int = 0) -> Document | None:
    """The `logprobs` object of a completion choice, from token `start` on."""
    if logprobs is None:
        return None
    offsets = [0]
    for entry in logprobs:
        offsets.append(offsets[-1] + len(TOKENS[entry.token]))
    new = logprobs[start:]
    top = [
        {TOKENS[token]: logprob for token, logprob in (*entry.top, (entry.token, entry.logprob))}
        for entry in new
    ]
    return {
        "text_offset": offsets[start:-1],
        "tokens": [TOKENS[entry.token] for entry in new],
        "token_logprobs": [entry.logprob for entry in new],
        "top_logprobs": top,
    }
