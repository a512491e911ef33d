"""Lets the first attempt at a prompt go alone; the rest go once it has filled the provider's cache.

Pure, without clock or network.
"""

from __future__ import annotations

from typing import Literal

MIN_CACHED_TOKENS = 1024
"""Shorter prompts are not cached by OpenAI, nor by Anthropic's larger models."""

Advice = Literal["go_first", "wait", "go"]


class CacheWarmer:
    """Who goes first. One instance per model and provider; prompts are named by any string."""

    def __init__(self, *, enabled: bool = True, min_tokens: int = MIN_CACHED_TOKENS) -> None:
        self.enabled = enabled
        """False: nobody waits, and nothing need be asked or reported."""
        self._min_tokens = min_tokens
        self._cold: set[str] = set()
        self._warm: set[str] = set()

    def advice(self, prompt: str, prompt_tokens: int) -> Advice:
        """What an attempt at `prompt` should do now.

        `go_first`: send it, and report `warmed` or `failed`; until then others are told `wait`.
        """
        if not self.enabled or prompt_tokens < self._min_tokens or prompt in self._warm:
            return "go"
        if prompt in self._cold:
            return "wait"
        self._cold.add(prompt)
        return "go_first"

    def warmed(self, prompt: str) -> None:
        """The attempt that went first was answered: the cache holds the prompt."""
        self._cold.discard(prompt)
        self._warm.add(prompt)

    def failed(self, prompt: str) -> None:
        """The attempt that went first was not answered: the next one goes first."""
        self._cold.discard(prompt)

    def forget(self, prompt: str) -> None:
        """No more attempts at `prompt` are planned, or its cache has expired."""
        self._cold.discard(prompt)
        self._warm.discard(prompt)
