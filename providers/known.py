"""The providers that orch knows by name: data, one row each.

A row says where the provider lives, which environment variables hold its key and address, to
which hosts that key belongs, and what its API can do. Adding an imitation of OpenAI's protocol is
adding a row; a new protocol is a new module and an entry point in the group "orch.providers".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from providers.openai_wire import Dialect
from providers.sample import Capabilities


@dataclass(frozen=True, slots=True)
class Known:
    """One provider of the table."""

    name: str
    base_url: str | None
    """Where it is asked by default; None where the address must be given."""
    key_variable: str | None
    hosts: tuple[str, ...] = ()
    """The hosts to which the key belongs, reached by https. Empty: only this machine."""
    url_variable: str | None = None
    """The environment variable that may hold another base URL."""
    protocol: Literal["openai", "anthropic"] = "openai"
    lane: Literal["sdk", "fast"] = "sdk"
    """sdk: through the official client. fast: straight over the shared transport."""
    key_needed: bool = True
    capabilities: Capabilities = field(default_factory=Capabilities)
    dialect: Dialect = field(default_factory=Dialect)
    reasoning: str | None = None
    """Models whose names match draw at their own temperature and refuse another."""
    raw: str | None = None
    """Where the API has raw completions: the models whose names match take them; None: all."""

    def capabilities_of(self, model: str | None) -> Capabilities:
        """What the API can do with `model`."""
        if model and self.reasoning and re.search(self.reasoning, model):
            return replace(self.capabilities, temperature=False)
        return self.capabilities

    def takes_raw_prompts(self, model: str) -> bool:
        """Whether a raw prompt is the way to ask `model`, unless a person says otherwise."""
        if not self.capabilities.raw_completions:
            return False
        return self.raw is None or re.search(self.raw, model) is not None

    def dialect_of(self, model: str | None) -> Dialect:
        """The field names of the API for `model`."""
        if model and self.reasoning and re.search(self.reasoning, model):
            return replace(self.dialect, max_tokens_field="max_completion_tokens")
        return self.dialect


_CHAT_ONLY = Capabilities(max_n=1, prompt_cache="automatic")
_SERVED = Capabilities(max_n=128, seed=True, raw_completions=True, logprobs=True)
"""vLLM's own limit is far higher, but a very large n was seen never to finish."""

KNOWN: tuple[Known, ...] = (
    Known(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        ("api.openai.com", "eu.api.openai.com", "us.api.openai.com"),
        "OPENAI_BASE_URL",
        capabilities=replace(_SERVED, prompt_cache="automatic", batch=True, max_stop=4),
        dialect=Dialect(prompt_cache_key=True),
        reasoning=r"^(o\d|gpt-5|codex)",
        raw=r"instruct|^(davinci|babbage)-002|^ft:(davinci|babbage)",
    ),
    Known(
        "anthropic",
        "https://api.anthropic.com",
        "ANTHROPIC_API_KEY",
        ("api.anthropic.com",),
        "ANTHROPIC_BASE_URL",
        protocol="anthropic",
        capabilities=Capabilities(prompt_cache="explicit", batch=True),
    ),
    Known(
        "deepseek",
        "https://api.deepseek.com/v1",
        "DEEPSEEK_API_KEY",
        ("api.deepseek.com",),
        "DEEPSEEK_BASE_URL",
        capabilities=replace(_CHAT_ONLY, logprobs=True, max_stop=16),
    ),
    Known(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        ("openrouter.ai",),
        "OPENROUTER_BASE_URL",
        capabilities=replace(_CHAT_ONLY, seed=True, raw_completions=True, logprobs=True),
    ),
    Known(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        ("api.together.xyz", "api.together.ai"),
        "TOGETHER_BASE_URL",
        capabilities=_SERVED,
    ),
    Known(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        ("api.fireworks.ai",),
        "FIREWORKS_BASE_URL",
        capabilities=replace(_SERVED, prompt_cache="automatic", max_stop=4),
    ),
    Known(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        ("api.groq.com",),
        "GROQ_BASE_URL",
        capabilities=Capabilities(seed=True, max_stop=4),
    ),
    Known(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        ("api.mistral.ai",),
        "MISTRAL_BASE_URL",
        capabilities=Capabilities(),
    ),
    Known(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        ("generativelanguage.googleapis.com",),
        "GEMINI_BASE_URL",
        capabilities=Capabilities(max_n=8, prompt_cache="automatic", max_stop=5),
    ),
    Known(
        "xai",
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        ("api.x.ai",),
        "XAI_BASE_URL",
        capabilities=Capabilities(seed=True, logprobs=True, prompt_cache="automatic"),
    ),
    Known(
        "vllm",
        "http://localhost:8000/v1",
        "VLLM_API_KEY",
        url_variable="VLLM_BASE_URL",
        lane="fast",
        key_needed=False,
        capabilities=replace(_SERVED, max_stop=4),
    ),
    Known(
        "replay",
        None,
        None,
        lane="fast",
        key_needed=False,
        capabilities=Capabilities(max_n=10_000, seed=True, raw_completions=True),
        dialect=Dialect(first_slot=True),
    ),
    Known(
        "compatible",
        None,
        None,
        lane="fast",
        key_needed=False,
        capabilities=_SERVED,
    ),
)

ALIASES = {"local": "vllm"}


def find(name: str) -> Known | None:
    """The row of `name`, None if the table has none."""
    name = ALIASES.get(name, name)
    return next((row for row in KNOWN if row.name == name), None)


def owner_of(key_variable: str) -> Known | None:
    """The provider to which a key variable belongs."""
    return next((row for row in KNOWN if row.key_variable == key_variable), None)
