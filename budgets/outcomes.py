"""What a request that ended in some way may have cost, per provider, as a table.

    release   certainly not billed: the whole worst case is free again
    settle    billed, and the bill is known from `usage`
    hold      may have been billed: the worst case counts as spent until it is resolved

A row says what happened at the boundary, never why a person thinks it did. `what_happened` names
the row from the words of a provider's error (its class, how far the request got, the status), so
that nothing here imports providers. A provider without rows of its own has the default ones; a
word that no row knows is held, since counting too much is safe and too little is not.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from budgets.limiter import RequestOutcome

Action = Literal["release", "settle", "hold"]

What = Literal[
    "ok",
    "ok_no_usage",
    "not_sent",
    "rejected_4xx",
    "rejected_429",
    "rejected_5xx",
    "rejected_overloaded",
    "rejected_gateway",
    "reset",
    "timeout",
    "cancelled",
    "unreadable",
]

GATEWAY_STATUSES = frozenset({408, 444, 460, 499, 502, 504, 520, 522, 524, 527, 598, 599})
"""Statuses of something in front of the model, which may have gone on working behind it. Not those
of Cloudflare that say it never reached the server: 521 refused, 523 no route, 525 and 526 no TLS,
530 no address."""
OVERLOADED_STATUSES = frozenset({503, 529})
"""A full queue: too much was sent, and nothing is wrong."""


class OutcomeRule(NamedTuple):
    """One line of the table."""

    provider: str
    """"" for every provider that has no line of its own."""
    what: What
    action: Action
    why: str


ROWS: tuple[OutcomeRule, ...] = (
    OutcomeRule("", "ok", "settle", "the answer carries its usage"),
    OutcomeRule("", "ok_no_usage", "hold", "an answer was made and its size is not known"),
    OutcomeRule("", "not_sent", "release", "no byte of the request left"),
    OutcomeRule("", "rejected_4xx", "release", "refused before any model ran"),
    OutcomeRule("", "rejected_429", "release", "refused before any model ran"),
    OutcomeRule(
        "", "rejected_5xx", "release", "the provider answered with an error, which is not billed"
    ),
    OutcomeRule("", "rejected_overloaded", "release", "refused for want of capacity"),
    OutcomeRule(
        "", "rejected_gateway", "hold", "the model behind the gateway may have gone on and billed"
    ),
    OutcomeRule("", "reset", "hold", "the request may have been read before the connection broke"),
    OutcomeRule("", "timeout", "hold", "tokens made until the connection closed are billed"),
    OutcomeRule("", "cancelled", "hold", "tokens made until the connection closed are billed"),
    OutcomeRule(
        "", "unreadable", "hold", "an answer was made; half a body or broken JSON hides its size"
    ),
    # OpenAI, help centre: failed requests are not charged; a closed connection does not undo
    # what was generated. Its 500s come from the API itself, its 502s and 520s from in front.
    OutcomeRule("openai", "rejected_5xx", "release", "OpenAI does not charge for failed requests"),
    # Anthropic, API errors: 529 overloaded_error and 500 api_error carry no usage and no charge;
    # 504 timeout_error arrives after work was done.
    OutcomeRule("anthropic", "rejected_overloaded", "release", "529 overloaded_error: nothing ran"),
    OutcomeRule(
        "anthropic", "rejected_gateway", "hold", "504 timeout_error comes after work was done"
    ),
    # DeepSeek keeps a waiting request open and closes it after ten minutes; what ran is billed.
    OutcomeRule("deepseek", "reset", "hold", "closed by the server after waiting; may have run"),
    OutcomeRule("deepseek", "rejected_overloaded", "release", "503: refused for want of capacity"),
    # OpenRouter bills what the provider behind it generated, also when that provider then failed.
    OutcomeRule(
        "openrouter", "rejected_5xx", "hold", "the provider behind the router may have billed"
    ),
)

_TABLE: dict[tuple[str, str], Action] = {(row.provider, row.what): row.action for row in ROWS}


def outcome_action(provider: str, what: str) -> Action:
    """What the ledger does with a reservation after `what` happened at `provider`."""
    return _TABLE.get((provider, what)) or _TABLE.get(("", what), "hold")


def what_happened(error: str, sent: str, status: int | None = None) -> What:
    """The row of a failed request.

    `error`: the class of the provider's error by name ("TimedOut", "BadResponse", ...), or
    "Cancelled"; anything else counts as a broken connection. `sent`: "not_sent", "rejected" or
    "maybe_billed". `status`: the HTTP status where the provider answered with one.
    """
    if sent == "not_sent":
        return "not_sent"
    if status in GATEWAY_STATUSES:
        return "rejected_gateway"
    if sent == "rejected":
        return _rejected(error, status)
    return _UNANSWERED.get(error, "reset")


LIMITER_OUTCOMES: dict[str, RequestOutcome] = {
    "RateLimited": "rate_limited",
    "Overloaded": "overloaded",
    "TimedOut": "timeout",
    "ConnectionFailed": "connection",
}
"""What a limiter is told of a provider's error, by its class; "other" for the rest."""

_UNANSWERED: dict[str, What] = {
    "TimedOut": "timeout",
    "BadResponse": "unreadable",
    "Cancelled": "cancelled",
    "CancelledError": "cancelled",
}
_REFUSALS: dict[str, What] = {
    "RateLimited": "rejected_429",
    "NoCredit": "rejected_429",
    "InvalidRequest": "rejected_4xx",
    "AuthFailed": "rejected_4xx",
    "UnknownModel": "rejected_4xx",
    "Forbidden": "rejected_4xx",
}


def _rejected(error: str, status: int | None) -> What:
    if status is None:
        # Without a status a server error cannot be told from a gateway's.
        return _REFUSALS.get(error, "rejected_gateway")
    if status in OVERLOADED_STATUSES:
        return "rejected_overloaded"
    if status >= 500:
        return "rejected_5xx"
    return "rejected_429" if status == 429 else "rejected_4xx"
