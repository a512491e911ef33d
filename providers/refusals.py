"""What an error means: classified once, here, for every provider and every status.

The status decides, unless the error's own words say more: a code (OpenAI, Anthropic and their
imitators), or, where a provider has no code for it, its message. An error inside a 200 is
classified as its own status would be. The tables are in refusal_words.py; a provider's peculiarity
is a row there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from budgets.dialects import read_usage
from budgets.headers import parse_retry_after
from budgets.limiter import PATIENCE_S
from budgets.outcomes import GATEWAY_STATUSES
from providers.errors import (
    AuthFailed,
    BadResponse,
    Fatal,
    Forbidden,
    InvalidRequest,
    NoCredit,
    Overloaded,
    ProviderError,
    RateLimited,
    Sent,
    TimedOut,
    UnknownModel,
)
from providers.foreign import usage_in
from providers.keys import Key, scrubbed
from providers.refusal_words import (
    BALANCE,
    BY_CODE,
    BY_STATUS,
    BY_WORDS,
    BY_WORDS_INSIDE,
    CHAT_ONLY,
    DROPPABLE,
    LASTING,
    NEVER,
    NO_SUCH_VALUE,
    NOTHING_AT_ALL,
    PASSING,
    RAW_ONLY,
    RIGHTS,
    UNWANTED,
    WEAK,
)
from providers.said import MOST_BYTES, Said, read_error, said_by
from providers.sample import SampleResponse
from providers.tolerant import Unreadable, read_json
from providers.too_long import WORDS as TOO_LONG
from providers.too_long import says_too_long

CUT_BY_GATEWAY = frozenset({504, 524})
"""A gateway gave up waiting for a long generation: a censored draw, like a timeout of ours."""


class Asked(msgspec.Struct, frozen=True):
    """Who was asked for what: enough to tell a person what to do."""

    provider: str
    host: str
    key: Key | None
    key_variable: str | None
    model: str
    path: str = ""
    """The last part of the address, such as /completions."""
    port: int | None = None

    @property
    def where(self) -> str:
        """The server in words."""
        return f"{self.provider} ({self.host}{'' if self.port is None else f':{self.port}'})"


def refusal(status: int, headers: Mapping[str, str], body: bytes, asked: Asked) -> ProviderError:
    """The error that an answer with `status` (not 2xx) stands for; header names in lower case."""
    error = _error(status, headers, read_error(body), asked)
    if b"usage" in body and not isinstance(error, Fatal | RateLimited):
        return _after_generation(error, headers, body, asked) or error
    return error


def _after_generation(
    error: ProviderError, headers: Mapping[str, str], body: bytes, asked: Asked
) -> BadResponse | None:
    """The same error where it tells of tokens that were written: paid for, and not to be redrawn.

    None where it tells of none.
    """
    try:
        document, _ = read_json(body[:MOST_BYTES])
    except Unreadable:
        return None
    raw = usage_in(document) if isinstance(document, Mapping) else None
    reported = read_usage(raw, headers=headers)
    if reported.usage is None or not reported.usage.output_tokens:
        return None
    answer = SampleResponse(choices=(), usage=reported.usage, usage_raw=raw, model=asked.model,
                            reported=reported, odd="an error", body=body)  # fmt: skip
    return BadResponse(
        str(error), sent="maybe_billed", status=error.status, body=body, answer=answer
    )


def refusal_inside(error: Any, headers: Mapping[str, str], asked: Asked) -> ProviderError:
    """The error that `error`, found in an answer of status 200, stands for.

    Without a status of its own it is what a 500 would be, and may have been billed.
    """
    said = said_by(error)
    made = _error(said.status or _status_of(said), headers, said, asked)
    if said.status is None and type(made) is Overloaded and made.status == 500:
        made.sent = "maybe_billed"
    return made


def status_of(error: Any) -> int:
    """The status that an error object stands for."""
    said = said_by(error)
    return said.status or _status_of(said)


_VALIDATED = re.compile(r"input should|field required|extra inputs|ensure this", re.I)
"""FastAPI's words for a request that it did not take."""


def _status_of(said: Said) -> int:
    if said.param and _VALIDATED.search(said.message):
        return 422
    kind = _by_code(said)
    if kind is None or kind in _weak_kinds(said):
        kind = _by_words(said, 403) or kind
    if kind is None:
        kind = next((one for words, one in BY_WORDS_INSIDE if words.search(said.message)), None)
    return {NoCredit: 402, RateLimited: 429, AuthFailed: 401, UnknownModel: 404, Forbidden: 403,
            InvalidRequest: 400, Overloaded: 503}.get(kind or ProviderError, 500)  # fmt: skip


def _error(status: int, headers: Mapping[str, str], said: Said, asked: Asked) -> ProviderError:
    wait_s = parse_retry_after(headers)
    wait_s = said.wait_s if wait_s is None else wait_s
    kind = _kind(status, said, wait_s)
    if said.lasting and status == 429 and not _soon(parse_retry_after(headers)):
        kind = NoCredit
    sent: Sent = "maybe_billed" if status in GATEWAY_STATUSES else "rejected"
    text = scrubbed(said.message, asked.key)
    if status in CUT_BY_GATEWAY:
        why = f"{asked.provider}: a gateway at {asked.host} gave up waiting ({status}): {text}"
        return TimedOut(why, sent=sent, phase="total")
    sentence = _sentence(kind, status, headers, asked, said, text)
    error = kind(sentence, sent=sent, status=status, retry_after_s=wait_s)
    if isinstance(error, InvalidRequest):
        error.field = unwanted_field(said)
        error.too_long = says_too_long(said.message, said.codes)
    return error


def unwanted_field(said: Said) -> str:
    """The field that an error refuses by name and that can be left out; "" where it names none."""
    if said.param in ("n", "best_of"):
        return "n"
    around = r"(?<![\w.])(?:[A-Za-z_]\w*\.)*{}(?!\w)"
    found = [(place.start(), name) for name in DROPPABLE
             if (place := re.search(around.format(name), said.message))]  # fmt: skip
    named = said.param if said.param in DROPPABLE else min(found)[1] if found else ""
    if UNWANTED.search(f"{said.message} {' '.join(said.codes)}"):
        return named
    return named if named == "seed" and NO_SUCH_VALUE.search(said.message) else ""


def _kind(status: int, said: Said, wait_s: float | None) -> type[ProviderError]:
    if 300 <= status < 400:
        return Fatal
    if status in (400, 422) and unwanted_field(said):
        return InvalidRequest
    kind, certain = _by_code(said), True
    if kind is None or kind in _weak_kinds(said):
        # What a gateway or a broken server says of its own is not about the request.
        certain = False
        kind = (_by_words(said, status) if status < 500 else None) or (
            kind if status not in BY_STATUS and status < 500 else None
        )
    if kind is None and BALANCE.search(said.message):
        kind = NoCredit
    if kind is None and status == 403 and said.message[:1] == "<":
        # A page: something stands before the API, which knows nothing of its keys.
        kind = Forbidden
    if kind is None and status == 500 and TOO_LONG.search(said.message):
        # llama.cpp and others that have no status of their own for it.
        kind = InvalidRequest
    if kind is None:
        kind = Overloaded if status >= 500 else BY_STATUS.get(status, InvalidRequest)
    if status == 429 and kind is Overloaded:
        kind = RateLimited
    if status == 429 and NOTHING_AT_ALL.search(said.message):
        return NoCredit
    passes = PASSING.search(said.message) or _soon(wait_s)
    if kind is NoCredit and status == 429 and not certain and passes:
        # The words of a quota, of which the server itself says when it is there again.
        return RateLimited
    if kind is not RateLimited:
        return kind
    if _never(said) or _TOO_LARGE.search(said.message):
        return InvalidRequest
    return NoCredit if LASTING.search(said.message) and not passes else RateLimited


def _soon(wait_s: float | None) -> bool:
    return wait_s is not None and wait_s <= PATIENCE_S


_TOO_LARGE = re.compile(r"request too large|extra usage is required for long context", re.I)


def _by_code(said: Said) -> type[ProviderError] | None:
    known = [code.lower() for code in said.codes if code.lower() in BY_CODE]
    strong = [code for code in known if code not in WEAK]
    return BY_CODE[(strong or known)[0]] if known else None


def _weak_kinds(said: Said) -> set[type[ProviderError]]:
    """The kinds that the error's codes only hint at."""
    strong = {BY_CODE[code.lower()] for code in said.codes
              if code.lower() in BY_CODE and code.lower() not in WEAK}  # fmt: skip
    return {BY_CODE[code] for code in WEAK} - strong


def _by_words(said: Said, status: int) -> type[ProviderError] | None:
    for pattern, kind in BY_WORDS:
        about_rights = kind is Forbidden or "flagged" in pattern.pattern
        if (not about_rights or status in RIGHTS) and pattern.search(said.message):
            return kind
    return None


def _never(said: Said) -> bool:
    found = NEVER.search(said.message)
    return found is not None and _number(found[2]) > _number(found[1])


def _number(text: str) -> int:
    digits = text.replace(",", "")
    return int(digits[:18] if len(digits) > 18 else digits)


def _sentence(
    kind: type[ProviderError], status: int, headers: Mapping[str, str], asked: Asked, said: Said,
    text: str,
) -> str:  # fmt: skip
    who = f"{asked.provider}: {asked.host}"
    if kind is AuthFailed and asked.key is None:
        named = asked.key_variable
        hint = f"set {named}" if named else "name the variable that holds one as `api_key_env`"
        words = f"{status}: {text}" if text else f"{status}"
        return f"{who} wants a key ({words}): {hint}"
    if kind is AuthFailed and asked.key is not None:
        return f"{asked.provider}: the key in {asked.key.variable} was refused ({status}): {text}"
    if kind is NoCredit:
        return f"{asked.provider}: no credit left at {asked.host} ({status}): {text}"
    if kind is Forbidden:
        return f"{who} refuses whatever the key ({status}): {text}"
    if kind is UnknownModel:
        return f"{who} {_not_there(status, asked, said, text)}"
    if kind is Fatal:
        target = scrubbed(headers.get("location", "another place"), asked.key)
        return (
            f"{who} redirects to {target}, which is not followed; give the right address as "
            "`base_url`"
        )
    return f"{who} answered {status}: {text}{_what_to_do(said)}"


def _not_there(status: int, asked: Asked, said: Said, text: str) -> str:
    chat = asked.path == "/chat/completions"
    if CHAT_ONLY.search(said.message.replace("/chat/completions", "") if chat else said.message):
        return f"takes chat messages only ({status}: {text}); use `prompt_style` chat"
    if chat and RAW_ONLY.search(said.message):
        return f"takes raw prompts only ({status}: {text}); use `prompt_style` completion"
    if not re.search(r"model|deployment|engine", f"{said.message} {said.codes}", re.I):
        path = f"path {asked.path}" if asked.path else "such path"
        hint = "does the base URL end in /v1?"
        if asked.path == "/completions":
            hint = "does the base URL end in /v1? A server for chat only needs `prompt_style` chat"
        words = f"{status}: {text}" if text else f"{status}"
        return f"has no {path} ({words}); {hint}"
    return f"does not serve {asked.model!r} ({status}): {text}"


def _what_to_do(said: Said) -> str:
    if says_too_long(said.message, said.codes) or "max_tokens" in said.message:
        return "; a lower `max_tokens` leaves more room for the prompt"
    return ""
