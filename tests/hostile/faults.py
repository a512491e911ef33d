"""The ways in which the hostile server misbehaves, and whether it bills all the same.

Exactly one happens to each request: what the request's `x-hostile-fault` header asks for, else
what the script says for this request by its order, else one drawn by probability from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tests.hostile.odd import SHAPES

BILLED = {
    "ok": True,
    "rate_limited": False,  # 429 without Retry-After
    "rate_limited_seconds": False,  # 429, Retry-After in seconds
    "rate_limited_date": False,  # 429, Retry-After as an HTTP date
    "quota": False,  # 429 that never clears: insufficient_quota
    "error_500": False,
    "error_503": False,
    "gateway_502": True,  # an error page in front of a model that ran
    "slow_body": True,  # a whole answer, dripping
    "hang": True,  # no answer at all until the client gives up
    "reset_before": False,  # the connection breaks before the request is read
    "reset_after": True,  # ... after the model ran
    "half_body": True,
    "broken_json": True,
    "no_usage": True,
    "over_usage": True,  # usage, and the bill, above what was asked for
    "ignore_n": True,  # one choice whatever n says
    "length": True,  # every choice cut off at max_tokens
    "content_filter": True,
}
BILLED |= {name: shape.bill > 0 for name, shape in SHAPES.items()}
"""Every fault, and whether a request that meets it is on the bill."""

AMBIGUOUS = ("reset_after", "half_body", "broken_json", "no_usage", "gateway_502", "hang")
"""Faults after which a client cannot know what was billed."""


class Faults:
    """Decides what happens to each request."""

    def __init__(
        self,
        probabilities: Mapping[str, float] | None = None,
        seed: int = 0,
        script: Sequence[str] = (),
    ) -> None:
        self.probabilities = dict(probabilities or {})
        self.seed = seed
        self.script = tuple(script)
        for name in (*self.probabilities, *self.script):
            check(name)
        total = sum(self.probabilities.values())
        if total > 1.0 + 1e-9 or any(not 0 <= p <= 1 for p in self.probabilities.values()):
            raise ValueError(f"the probabilities of the faults add up to {total}: at most 1")

    def of(self, number: int, asked: str | None) -> str:
        """What happens to the request with this number, counted from 0."""
        if asked:
            check(asked)
            return asked
        if number < len(self.script):
            return self.script[number]
        at = random.Random(f"{self.seed} fault {number}").random()
        for name, probability in self.probabilities.items():
            at -= probability
            if at < 0:
                return name
        return "ok"


def parse_probabilities(text: str) -> dict[str, float]:
    """From `error_500=0.05,reset_after=0.1`."""
    pairs = (part.split("=", 1) for part in text.split(",") if part)
    return {name.strip(): float(value) for name, value in pairs}


def check(name: str) -> None:
    """Raise ValueError for a fault that there is not."""
    if name not in BILLED:
        raise ValueError(f"there is no fault {name!r}; known are {', '.join(BILLED)}")
