"""What an error means: classified once, here, for every provider and every status.

The status decides, unless the error's own words say more: a code (OpenAI, Anthropic and their
imitators), or, where a provider has no code for it, its message. An error inside a 200 is
classified as its own status would be. The tables are data; a provider's peculiarity is a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from budgets.headers import parse_retry_after
from budgets.limiter import PATIENCE_S
from budgets.outcomes import GATEWAY_STATUSES
from providers.errors import (
    AuthFailed,
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
from providers.keys import Key, scrubbed
from providers.said import Said, read_error, said_by
from providers.too_long import WORDS as TOO_LONG
from providers.too_long import says_too_long

BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthFailed,
    402: NoCredit,
    403: AuthFailed,
    404: UnknownModel,
    405: UnknownModel,
    407: Forbidden,
    408: Overloaded,
    409: Overloaded,
    410: UnknownModel,
    420: RateLimited,
    421: Overloaded,
    423: Overloaded,
    424: Overloaded,
    425: Overloaded,
    429: RateLimited,
    444: Overloaded,
    451: Forbidden,
    460: Overloaded,
    498: Overloaded,
    499: Overloaded,
}
"""Other 4xx are InvalidRequest, and 5xx is Overloaded."""

BY_CODE: Mapping[str, type[ProviderError]] = {
    "insufficient_quota": NoCredit,
    "billing_not_active": NoCredit,
    "billing_hard_limit_reached": NoCredit,
    "billing_error": NoCredit,
    "insufficient_balance": NoCredit,
    "insufficient_credits": NoCredit,
    "insufficient_funds": NoCredit,
    "payment_required": NoCredit,
    "arrearage": NoCredit,  # Aliyun
    "1113": NoCredit,  # Zhipu
    "contract_spend_limit_reached": NoCredit,
    "enforced_spend_limit_reached": NoCredit,
    "linked_organization_spend_limit_reached": NoCredit,
    "linked_organization_billing_unavailable": NoCredit,
    "setlimitexceeded": NoCredit,  # Volcengine: a limit that a person set
    "ramp_limit_exceeded": RateLimited,
    "invalid_api_key": AuthFailed,
    "api_key_invalid": AuthFailed,  # Gemini, with status 400
    "authentication_error": AuthFailed,
    "unauthenticated": AuthFailed,
    "accessdeniedexception": AuthFailed,  # Bedrock
    "unrecognizedclientexception": AuthFailed,
    "permission_error": AuthFailed,
    "permission_denied": AuthFailed,
    "unsupported_country_region_territory": Forbidden,
    "model_not_found": UnknownModel,
    "model_not_available": UnknownModel,
    "deploymentnotfound": UnknownModel,  # Azure
    "not_found_error": UnknownModel,
    "resourcenotfoundexception": UnknownModel,
    "overloaded_error": Overloaded,
    "overloaded": Overloaded,
    "engine_overloaded": Overloaded,
    "server_error": Overloaded,
    "internal_server_error": Overloaded,
    "internal_error": Overloaded,
    "internalservererror": Overloaded,
    "api_error": Overloaded,
    "service_unavailable": Overloaded,
    "unavailable": Overloaded,
    "modelnotreadyexception": Overloaded,
    "serviceunavailableexception": Overloaded,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
    "ratelimitexceeded": RateLimited,
    "too_many_requests": RateLimited,
    "throttlingexception": RateLimited,
    "throttling": RateLimited,
    "resource_exhausted": RateLimited,
    "1302": RateLimited,  # Zhipu
    "slow_down": RateLimited,
    "content_policy_violation": InvalidRequest,
    "content_filter": InvalidRequest,
    "responsibleaipolicyviolation": InvalidRequest,
    "context_length_exceeded": InvalidRequest,
    "string_above_max_length": InvalidRequest,
    "not_supported_error": InvalidRequest,  # llama.cpp, with status 501
    "exceed_context_size_error": InvalidRequest,
    "tokens_limit_reached": InvalidRequest,  # GitHub
    "invalid_request_error": InvalidRequest,
    "badrequesterror": InvalidRequest,
    # litellm's proxy without a database of keys, to every key but its own.
    "no_db_connection": AuthFailed,
}
"""By code, in lower case."""

WEAK = frozenset({"invalid_request_error", "badrequesterror", "not_found_error", "permission_error",
                  "permission_denied", "resource_exhausted", "unavailable", "api_error",
                  "server_error", "internal_error", "internal_server_error",
                  "internalservererror"})  # fmt: skip
"""Codes for a whole family of errors: the message, then the status, may say more."""

BY_WORDS: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (re.compile(r"credit balance is too low|balance is insufficient|account .{0,80}is suspended"
                r"|(insufficient|not enough) (account )?(balance|credit|funds|quota)"
                r"|(no|any|out of|all available) credits\b|credit limit|overdue|arrear", re.I),
     NoCredit),
    (re.compile(r"(requires|need) more credits|top up|payment required|prepaid", re.I), NoCredit),
    (re.compile(r"exceeded (your|its|the) ((current|monthly|free) )?(quota|spend|budget)"
                r"|(reach(ed|ing)|exceeded) .{0,40}(usage limits|spending limit)"
                r"|budget has been exceeded"
                r"|free (tier|quota|trial).{0,40}(exhausted|used up|exceeded)", re.I), NoCredit),
    (re.compile(r"request too large|extra usage is required for long context", re.I),
     InvalidRequest),
    (re.compile(r"rate.?limit\w* (reached|exceeded|hit)|too many requests|throttl"
                r"|requests? (limit )?per (second|minute)", re.I), RateLimited),
    (TOO_LONG, InvalidRequest),
    (re.compile(r"country|region|territory|user location|not available in your", re.I), Forbidden),
    (re.compile(r"flagged|moderation|content (management )?policy|safety (system|polic)"
                r"|usage polic", re.I), InvalidRequest),
    (re.compile(r"api[ _-]?key.{0,20}(not valid|invalid|incorrect|expired)"
                r"|(invalid|incorrect|no) (api[ _-]?key|auth|credentials)", re.I), AuthFailed),
    (re.compile(r"\bmodel\b.{0,120}\b(does not exist|not found|is not supported|was not found)",
                re.I | re.S), UnknownModel),
    (re.compile(r"\binvalid model name\b|model_not_found|decommissioned", re.I), UnknownModel),
)  # fmt: skip
"""By message, the first that fits; region and moderation only where the status is about rights."""

BY_WORDS_INSIDE: tuple[tuple[re.Pattern[str], type[ProviderError]], ...] = (
    (re.compile(r"rate.?limit|\bqps\b|request limit|concurren\w* (limit|request)|limit reached",
                re.I), RateLimited),
    (re.compile(r"log[ -]?in fail|secret key|unauthori[sz]ed|not authenticated"
                r"|token.{0,20}(invalid|expired)|(invalid|expired).{0,10}token", re.I), AuthFailed),
    (re.compile(r"overload|capacity|\bbusy\b|unavailable|\bloading\b|not ready|warming up"
                r"|no (healthy|available|instances?)|try again later", re.I), Overloaded),
    (re.compile(r"(invalid|illegal|bad|malformed) (request|param|input|value|argument|body|json)"
                r"|max(imum)? length|validation error|(is|are) not (permitted|allowed)|unsafe"
                r"|sensitive|inappropriate|prohibited", re.I), InvalidRequest),
)  # fmt: skip
"""The same for an error inside a 200, where no status says more."""

RIGHTS = frozenset({400, 401, 403, 451})
CHAT_ONLY = re.compile(r"chat model|chat/completions|only support\w* chat|messages.{0,20}required",
                       re.I)  # fmt: skip

LASTING = re.compile(
    r"(?:per|by)[- ]?(?:day|month)|/ ?(?:day|month)\b|daily|monthly|\b[rt]pd\b", re.I
)
PASSING = re.compile(r"per[- ]?(?:second|min)|/ ?(?:second|minute)\b|\b[rt]pm\b|\bqps\b", re.I)
"""A 429 about a day's or month's limit ends the run, unless it clears within the patience."""

NEVER = re.compile(r"limit:? (\d[\d,]*).{0,40}requested:? (\d[\d,]*)", re.I | re.S)
"""A limit that is smaller than this one request."""

CUT_BY_GATEWAY = frozenset({504, 524})
"""A gateway gave up waiting for a long generation: a censored draw, like a timeout of ours."""

DROPPABLE = ("max_tokens", "max_completion_tokens", "seed", "logprobs", "n", "prompt_cache_key",
             "first_slot", "cache_control", "stream", "user")  # fmt: skip
"""Fields that can be left out, or named otherwise, without changing what is drawn."""

_UNWANTED = re.compile(
    r"unsupported|unrecognized|unknown|unexpected|not (?:supported|permitted|allowed|a valid)"
    r"|does ?n[o']t support|cannot find field|extra (?:inputs|fields)|no longer|invalid argument"
    r"|must be (?:1|one)\b|extra_forbidden|at most \d|less than or equal|greater than the max",
    re.I,
)


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
    return _error(status, headers, read_error(body), asked)


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
    text = scrubbed(said.message, asked.key)[:2000]
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
    if not _UNWANTED.search(f"{said.message} {' '.join(said.codes)}"):
        return ""
    if said.param in DROPPABLE:
        return said.param
    found = [(place.start(), name) for name in DROPPABLE
             if (place := re.search(rf"(?<![\w.]){name}(?![\w])", said.message))]  # fmt: skip
    return min(found)[1] if found else ""


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
    if kind is None and status == 500 and TOO_LONG.search(said.message):
        # llama.cpp and others that have no status of their own for it.
        kind = InvalidRequest
    if kind is None:
        kind = Overloaded if status >= 500 else BY_STATUS.get(status, InvalidRequest)
    if status == 429 and kind is Overloaded:
        kind = RateLimited
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
    if CHAT_ONLY.search(said.message):
        return f"takes chat messages only ({status}: {text}); use `prompt_style` chat"
    if not re.search(r"model|deployment|engine", f"{said.message} {said.codes}", re.I):
        path = f"path {asked.path}" if asked.path else "such path"
        hint = "does the base URL end in /v1?"
        if asked.path == "/completions":
            hint = "does the base URL end in /v1? A server for chat only needs `prompt_style` chat"
        words = f"{status}: {text}" if text and text.lstrip()[:1] != "<" else f"{status}"
        return f"has no {path} ({words}); {hint}"
    return f"does not serve {asked.model!r} ({status}): {text}"


def _what_to_do(said: Said) -> str:
    if says_too_long(said.message, said.codes) or "max_tokens" in said.message:
        return "; a lower `max_tokens` leaves more room for the prompt"
    return ""
