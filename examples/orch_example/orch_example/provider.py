"""A provider: a die with six sides, thrown by the request's seed. No server, no key, no price.

`--header 'X-Loaded: yes'` loads the die, as an example of a header that a person gave.
"""

from __future__ import annotations

import random
from typing import Any

from budgets import Usage
from providers import Capabilities, Choice, SampleRequest, SampleResponse


class Dice:
    """Answers every request with throws of a die, one token each."""

    name = "dice"
    capabilities = Capabilities(max_n=64, seed=True, raw_completions=True)

    def __init__(self, **settings: Any) -> None:
        """`settings`: base_url, api_key_env, model, timeouts, transport, environ, headers."""
        self.loaded = (settings.get("headers") or {}).get("X-Loaded") == "yes"

    async def sample(self, request: SampleRequest) -> SampleResponse:
        """`n` throws; the same seed throws the same."""
        die = random.Random(request.seed)
        choices = tuple(
            Choice(index, "6" if self.loaded else str(die.randint(1, 6)), "stop", output_tokens=1)
            for index in range(request.n)
        )
        usage = {"prompt_tokens": 8, "completion_tokens": request.n}
        return SampleResponse(
            choices, Usage(input_tokens=8, output_tokens=request.n), usage, "fair-die"
        )

    async def models(self) -> list[str]:
        """The one model."""
        return ["fair-die"]

    async def aclose(self) -> None:
        """Nothing is held."""
