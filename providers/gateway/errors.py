"""What the gateway answers by itself, each in the words of the dialect that asked.

GatewayRefusal          an answer of the gateway's own
├── OverBudget          a cap has no room, or the attempt's key has ended: the status at which
│                       that dialect's agents stop at once
└── Unbounded           what this call could cost cannot be said beforehand
"""

from __future__ import annotations

from typing import Literal

import msgspec

ApiShape = Literal["openai", "anthropic"]


class GatewayRefusal(Exception):
    """An answer of the gateway's own; nothing reaches the upstream, or its answer is not told."""

    def __init__(self, status: int, message: str, *, code: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class OverBudget(GatewayRefusal):
    """No room under a cap, or a key that is unknown or has ended. The endpoint sets the status."""

    def __init__(self, message: str, *, scope: str) -> None:
        super().__init__(0, message, code="budget_exhausted")
        self.scope = scope
        """Which cap: call, attempt, problem, a scope of the ledger, or "key"."""


class Unbounded(GatewayRefusal):
    """A call whose cost has no bound that can be stated before it is sent."""

    def __init__(self, what: str) -> None:
        super().__init__(
            400, f"The gateway does not pass this on, since its cost has no bound: {what}."
        )


_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error_body(shape: ApiShape, status: int, message: str, code: str) -> bytes:
    """An error as that API writes it."""
    if shape == "anthropic":
        kind = _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else code)
        return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})
    error = {"message": message, "type": code, "param": None, "code": code}
    return msgspec.json.encode({"error": error})
