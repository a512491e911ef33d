"""What an answered request used: raw counts, never money.

The kinds are disjoint, so that a price is a plain sum over them: `input_tokens` are those
billed at the full input rate, and cached reads and cache writes stand apart. Reasoning tokens
are part of `output_tokens` (every provider bills them so) and are kept for information.
"""

from __future__ import annotations

import msgspec

MOST_TOKENS = 2**31
"""More tokens than any request can use, and still money that a ledger can hold. A count beyond is
no count."""


def token_count(value: object) -> int | None:
    """A count of tokens as a provider reports it; None for what cannot be one."""
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


class Usage(msgspec.Struct, frozen=True):
    """Tokens by billing kind of one request."""

    input_tokens: int = 0
    """Prompt tokens billed at the full input rate."""
    cached_input_tokens: int = 0
    """Prompt tokens read from the provider's cache."""
    cache_write_5m_tokens: int = 0
    """Prompt tokens written to a cache that lives five minutes."""
    cache_write_1h_tokens: int = 0
    """Prompt tokens written to a cache that lives an hour."""
    output_tokens: int = 0
    """Completion tokens of all choices, reasoning included."""
    reasoning_tokens: int = 0
    """The part of `output_tokens` that was reasoning."""

    @property
    def prompt_tokens(self) -> int:
        """All prompt tokens, at whatever rate they were billed."""
        return (
            self.input_tokens
            + self.cached_input_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
        )

    def plus(self, other: Usage) -> Usage:
        """The tokens of both requests, kind by kind."""
        return Usage(*map(sum, zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other),
                                   strict=True)))  # fmt: skip
