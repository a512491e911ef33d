"""What an answer with an error status means: classified once, here, for every provider.

The status decides, unless the body's own words say more: an error code (OpenAI, Anthropic
and their imitators write {"error": {"type", "code", "message", "details"}}), or, where a provider
has no code for it, its message. The tables are data; a provider's peculiarity is a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from budgets.headers import parse_retry_after
from budgets.outcomes import GATEWAY_STATUSES
from providers.errors import (
    AuthFailed,
    Fatal,
    InvalidRequest,
    NoCredit,
    Overloaded,
    ProviderError,
    RateLimited,
    Sent,
    TimedOut,
    UnknownModel,
)
from providers.keys import Key, scrubbed

BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthFailed,
    402: NoCredit,
    403: AuthFailed,
    408: Overloaded,
    409: Overloaded,
    425: Overloaded,
    429: RateLimited,
}
"""Other 4xx are InvalidRequest, 404 is looked at closer, and 5xx is Overloaded."""

BY_CODE: Mapping[str, type[ProviderError]] = {
    "insufficient_quota": NoCredit,
    "billing_not_active": NoCredit,
    "billing_hard_limit_reached": NoCredit,
    "billing_error": NoCredit,
    "insufficient_balance": NoCredit,
    "contract_spend_limit_reached": NoCredit,
    "enforced_spend_limit_reached": NoCredit,
    "linked_organization_spend_limit_reached": NoCredit,
    "linked_organization_billing_unavailable": NoCredit,
    "ramp_limit_exceeded": RateLimited,
    "invalid_api_key": AuthFailed,
    "authentication_error": AuthFailed,
    "permission_error": AuthFailed,
    "model_not_found": UnknownModel,
    "overloaded_error": Overloaded,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
    "slow_down": RateLimited,
    # litellm's proxy without a database of keys, to every key but its own.
    "no_db_connection": AuthFailed,
}

BY_WORDS: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (re.compile(r"credit balance is too low|insufficient (balance|credits|funds)", re.I), NoCredit),
    (re.compile(r"exceeded your (current|monthly) (quota|spend)", re.I), NoCredit),
    (
        re.compile(r"\bmodel\b.{0,120}\b(does not exist|not found|is not supported)", re.I | re.S),
        UnknownModel,
    ),
    (re.compile(r"\binvalid model name\b", re.I), UnknownModel),
)

LASTING = re.compile(r"per[- ]day|daily|per[- ]month|monthly", re.I)
LASTING_S = 600.0
"""A 429 about a day's or month's limit that asks for a longer pause than this ends the run."""

CUT_BY_GATEWAY = frozenset({504, 524})
"""A gateway gave up waiting for a long generation: a censored draw, like a timeout of ours."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked for what: enough to tell a person what to do."""

    provider: str
    host: str
    key: Key | None
    key_variable: str | None
    model: str


@dataclass(frozen=True, slots=True)
class Said:
    """What the body of an error says, as far as it can be read."""

    message: str
    codes: tuple[str, ...]


def read_error(body: bytes) -> Said:
    """The message and codes of an error body in any of the shapes in use."""
    try:
        parsed: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Said(body[:20_000].decode("utf-8", "replace"), ())
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(error, dict):
        return Said(str(error), ())
    message = error.get("message") or error.get("detail") or error
    details = error.get("details")
    fine = details.get("error_code") if isinstance(details, dict) else None
    codes = (fine, error.get("code"), error.get("type"))
    return Said(str(message), tuple(str(code) for code in codes if code))


def refusal(status: int, headers: Mapping[str, str], body: bytes, asked: Asked) -> ProviderError:
    """The error that an answer with `status` (not 2xx) stands for; header names in lower case."""
    said = read_error(body)
    wait_s = parse_retry_after(headers)
    kind = _kind(status, said, wait_s)
    sent: Sent = "maybe_billed" if status in GATEWAY_STATUSES else "rejected"
    text = scrubbed(said.message, asked.key)
    if status in CUT_BY_GATEWAY:
        why = f"{asked.provider}: a gateway at {asked.host} gave up waiting ({status}): {text}"
        return TimedOut(why, sent=sent, phase="total")
    sentence = _sentence(kind, status, headers, asked, text)
    return kind(sentence, sent=sent, status=status, retry_after_s=wait_s)


def _kind(status: int, said: Said, wait_s: float | None) -> type[ProviderError]:
    if 300 <= status < 400:
        return Fatal
    if status < 500:
        for code in said.codes:
            if code in BY_CODE:
                return _lasting(BY_CODE[code], said, wait_s)
        for pattern, kind in BY_WORDS:
            if pattern.search(said.message):
                return kind
    if status == 404:
        return UnknownModel
    if status >= 500:
        return Overloaded
    return _lasting(BY_STATUS.get(status, InvalidRequest), said, wait_s)


def _lasting(kind: type[ProviderError], said: Said, wait_s: float | None) -> type[ProviderError]:
    if kind is RateLimited and LASTING.search(said.message):
        return RateLimited if wait_s is not None and wait_s <= LASTING_S else NoCredit
    return kind


def _sentence(
    kind: type[ProviderError], status: int, headers: Mapping[str, str], asked: Asked, text: str
) -> str:
    if kind is AuthFailed and asked.key is None:
        named = asked.key_variable
        hint = f"set {named}" if named else "name the variable that holds one as `api_key_env`"
        return f"{asked.provider}: {asked.host} wants a key ({status}): {hint}"
    if kind is AuthFailed and asked.key is not None:
        return f"{asked.provider}: the key in {asked.key.variable} was refused ({status}): {text}"
    if kind is NoCredit:
        return f"{asked.provider}: no credit left at {asked.host} ({status}): {text}"
    if kind is UnknownModel and status == 404 and not text.strip("{} "):
        return f"{asked.provider}: {asked.host} has no such path; does the base URL end in /v1?"
    if kind is UnknownModel:
        return f"{asked.provider}: {asked.host} does not serve {asked.model!r} ({status}): {text}"
    if kind is Fatal:
        target = scrubbed(headers.get("location", "another place"), asked.key)
        return (
            f"{asked.provider}: {asked.host} redirects to {target}, which is not followed; give "
            "the right address as `base_url`"
        )
    return f"{asked.provider}: {asked.host} answered {status}: {text}"
