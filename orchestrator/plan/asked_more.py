"""What a person asks beyond the usual settings: a system prompt, an effort, body fields, headers.

All of it is part of the study's identity. What could break a declared bound (more choices, longer
answers, dearer tiers, billed tools) or send a key elsewhere is refused by name, before anything is
bought.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from orchestrator.errors import ConfigError
from orchestrator.plan.study import Arm
from orchestrator.tasks import Problem

OWNED = {
    "model": "--model", "messages": "the task", "prompt": "the task", "n": "--n-per-request",
    "seed": "--seed", "stop": "--stop", "temperature": "--temperature", "top_p": "--top-p",
    "max_tokens": "--max-tokens", "max_completion_tokens": "--max-tokens",
    "max_output_tokens": "--max-tokens", "reasoning_effort": "--reasoning-effort",
}  # fmt: skip
"""Fields that have a setting of their own."""
BOUND = frozenset({
    "best_of", "num_return_sequences", "use_beam_search", "beam_width", "min_tokens",
    "max_new_tokens", "n_predict", "num_predict", "candidate_count", "n_choices",
    "service_tier", "speed", "inference_geo", "priority", "stream", "stream_options", "tools",
    "tool_choice", "functions", "function_call", "web_search_options", "search_parameters",
    "plugins", "modalities", "audio", "prediction", "models", "route", "provider", "echo",
    "prompt_logprobs", "background", "store", "thinking", "ignore_eos",
})  # fmt: skip
"""Fields that could make a request cost more than was declared for it."""
SECRET = re.compile(r"auth|cookie|key|token|secret|password|credential", re.I)
KEPT = frozenset({"host", "content-length", "content-type", "content-encoding", "accept-encoding",
                  "transfer-encoding", "connection", "accept", "user-agent"})  # fmt: skip


def body_fields(spec: Arm) -> dict[str, Any]:
    """The further body fields of every request; raises ConfigError."""
    fields: dict[str, Any] = {}
    if spec.extra_body:
        try:
            fields = json.loads(spec.extra_body)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"--extra-body is not JSON: {error}.") from None
        if not isinstance(fields, dict):
            raise ConfigError('--extra-body must be a JSON object such as {"top_k": 20}.')
    for name in fields:
        if name in OWNED:
            raise ConfigError(f"--extra-body may not set {name!r}; {OWNED[name]} does.")
        if name in BOUND:
            raise ConfigError(
                f"--extra-body may not set {name!r}: a request could then cost more than is set "
                "aside for it."
            )
    if spec.reasoning_effort:
        fields["reasoning_effort"] = spec.reasoning_effort
    return fields


def header_fields(spec: Arm) -> dict[str, str]:
    """The further headers of every request; raises ConfigError."""
    fields = {}
    for header in spec.headers:
        name, colon, value = header.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", name) or not value.isprintable():
            raise ConfigError(f"--header {header!r} is not of the form 'Name: value'.")
        if SECRET.search(name):
            raise ConfigError(
                f"--header may not set {name}: a key belongs to one host and to no file; put it "
                "into a variable and name that with --api-key-env VAR@HOST."
            )
        if name.lower() in KEPT:
            raise ConfigError(f"--header may not set {name}: orch writes it itself.")
        fields[name] = value
    return fields


def with_system(problems: list[Problem], spec: Arm) -> list[Problem]:
    """The problems with the system prompt before their messages; raises ConfigError."""
    if not spec.system:
        return problems
    raw = next((problem for problem in problems if problem.messages is None), None)
    if raw is not None:
        raise ConfigError(
            f"--system needs chat messages, and problem {raw.id!r} is a raw prompt; add "
            "--prompt-style chat."
        )
    said = {"role": "system", "content": spec.system}
    return [replace(problem, messages=(said, *(problem.messages or ()))) for problem in problems]


def identity_of_more(spec: Arm) -> dict[str, object]:
    """What of it identifies a study; nothing where nothing is asked."""
    values = {"extra_body": body_fields(spec), "headers": header_fields(spec)}
    return {name: value for name, value in values.items() if value}
