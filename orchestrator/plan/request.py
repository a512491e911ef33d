"""How an arm is asked, by what its provider's API can do: chat or raw, how many choices, how warm.

What a person left open is decided here, and what the API refuses is left out and said once.
"""

from __future__ import annotations

import math

from msgspec import structs

from orchestrator.errors import ConfigError
from orchestrator.plan.study import Arm
from orchestrator.tasks import Problem
from providers import known
from providers.sample import Capabilities, SampleRequest

MOST_CHOICES = 128
"""The most choices per request that are chosen unasked: what is in flight is held in memory."""
ROUNDS = 8
"""A plan is cut into so many requests per problem at least, so that a run cut short by its budget
has asked all problems alike."""
PAID_ROUNDS = 4
"""Where every request pays for its prompt: eight would cost a tenth more on long prompts."""


def chat_where_needed(spec: Arm, model: str, notes: list[str]) -> Arm:
    """The arm with the chat style where nobody chose one and the model takes chat only."""
    row = known.find(spec.provider)
    if spec.prompt_style or row is None:
        return spec
    # At another address than the provider's own, its models' names mean nothing.
    able = row.capabilities.raw_completions
    if able if spec.base_url else row.takes_raw_prompts(model):
        return spec
    note = (
        f"{model} on {spec.provider} takes chat messages only: a raw prompt is sent as one user "
        "message."
    )
    if note not in notes:
        notes.append(note)
    return structs.replace(spec, prompt_style="chat")


def refuse_raw_prompts(spec: Arm, problems: list[Problem], capabilities: Capabilities) -> None:
    """Raise ConfigError for raw prompts that the API has no words for."""
    if capabilities.raw_completions:
        return
    raw = next((problem for problem in problems if problem.prompt is not None), None)
    if raw is not None:
        raise ConfigError(
            f"Provider {spec.provider!r} takes chat messages only, and problem {raw.id!r} of "
            f"{spec.task} is a raw prompt; use --prompt-style chat."
        )


def choices_per_request(
    spec: Arm, capabilities: Capabilities, *, priced: bool, temperature: float | None
) -> int:
    """As many as asked, else a share of the plan that leaves some rounds.

    `priced`: every request pays for its prompt. At temperature 0 always one: servers refuse more,
    since all would be the same.
    """
    if temperature == 0:
        return 1
    if isinstance(spec.n_per_request, int):
        return min(spec.n_per_request, capabilities.max_n)
    rounds = PAID_ROUNDS if priced and spec.policy == "uniform" else ROUNDS
    most = min(capabilities.max_n, MOST_CHOICES)
    return max(1, min(most, math.ceil(spec.samples / rounds)))


def askable(base: SampleRequest, capabilities: Capabilities, notes: list[str]) -> SampleRequest:
    """The request without what the model refuses, which is noted."""
    if capabilities.temperature or (base.temperature is None and base.top_p is None):
        return base
    note = (
        f"{base.model} draws at its own temperature and refuses another: temperature and top_p "
        "are not sent."
    )
    if note not in notes:
        notes.append(note)
    return structs.replace(base, temperature=None, top_p=None)
