"""The command line's names of settings: `base_url` below is --base-url here."""

from __future__ import annotations

import re

SETTINGS = (
    "base_url", "api_key_env", "provider", "reward_model", "reward_class", "reward_key_env",
    "max_tokens", "timeout_s", "n_per_request", "prompt_style", "prices", "servers", "launch",
    "vllm", "server_arg", "tensor_parallel", "data_parallel", "lean_project",
)  # fmt: skip
"""The settings that errors of lower floors name, in backticks."""

_NAMED = re.compile(rf"`({'|'.join(SETTINGS)})`")


def with_flags(text: str) -> str:
    """`text` with every setting named as its flag."""
    return _NAMED.sub(lambda found: "--" + found[1].replace("_", "-"), text)
