"""The command line's names of settings: `base_url` in an error is --base-url for a person.

The packages below orchestrator know no command line: their errors name a setting, in backticks, as
a study file does.
"""

from __future__ import annotations

import re

SETTINGS = (
    "api_key_env", "base_url", "data_parallel", "i_trust_this_code", "launch", "lean_project",
    "max_tokens", "prices", "prompt_style", "provider", "reward_class",
    "reward_key_env", "reward_model", "sandbox", "server_arg", "servers", "tensor_parallel",
    "timeout_s", "vllm",
)  # fmt: skip
"""The settings that errors of lower packages name."""

_NAMED = re.compile(rf"`({'|'.join(SETTINGS)})`")


def with_flags(text: str) -> str:
    """`text` with every setting named as its flag."""
    return _NAMED.sub(lambda found: "--" + found[1].replace("_", "-"), text)
