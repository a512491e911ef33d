"""Whether servers serve the same model: its id, its context, the token ids of a probe prompt.

What differs there is another model, and is refused. A different greedy answer is only told, since
kinds of GPU round differently.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from providers.errors import ProviderError, UnknownModel
from providers.laned import LaneProvider
from providers.sample import Provider, SampleRequest, Sending

PROBE = "Let x = 3.14 and y = 2; what is x**y? Größe: 12 µm, 世界, def f(a):\n\treturn a"
GREEDY_TOKENS = 12


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of a model; None where it does not say."""

    context_tokens: int | None
    probe: str | None
    """A digest of the probe prompt's token ids."""

    def differs(self, other: Served) -> str:
        """In which way another serves another model, in words; empty: in none that is known."""
        mine, theirs = self.context_tokens, other.context_tokens
        if mine is not None and theirs is not None and mine != theirs:
            return f"a context of {theirs} tokens instead of {mine}"
        if self.probe is not None and other.probe is not None and self.probe != other.probe:
            return "other token ids for the same prompt"
        return ""


async def served(provider: LaneProvider, model: str) -> Served:
    """What a server says of `model`; raises ProviderError, also where it does not have it."""
    names = await provider.models()
    if model not in names:
        raise UnknownModel(
            f"it does not have {model!r}; it has: {', '.join(names[:10])}", sent="rejected"
        )
    return Served(provider.context_tokens.get(model), await _probe(provider, model))


async def _probe(provider: LaneProvider, model: str) -> str | None:
    try:
        answer = await provider.post_beside("/tokenize", {"model": model, "prompt": PROBE})
    except ProviderError:
        return None
    tokens: Any = answer.get("tokens")
    if not isinstance(tokens, list):
        return None
    return hashlib.sha256(msgspec.json.encode(tokens)).hexdigest()


async def greedy(provider: Provider, model: str) -> str | None:
    """What the model writes without chance; None where the server does not answer that."""
    request = SampleRequest(
        model, prompt=PROBE[:20], max_tokens=GREEDY_TOKENS, temperature=0.0, sending=Sending()
    )
    try:
        response = await provider.sample(request)
    except ProviderError:
        return None
    return response.choices[0].text if response.choices else None
