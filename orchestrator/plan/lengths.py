"""Prompts that do not fit the model, found before anything is bought: their server counts them.

No text has more tokens than bytes, so that only prompts are asked about whose bytes and max_tokens
together exceed the context that the list of models told. vLLM and SGLang count at /tokenize beside
their API, with the chat template; a server that does not is left in peace, and its own refusals
tell later. What is learnt costs nothing and changes no bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from budgets.bounds import prompt_token_bound
from budgets.dialects import whole
from orchestrator.errors import ConfigError
from orchestrator.tasks import Problem
from providers.errors import ProviderError
from providers.laned import LaneProvider
from providers.probe import own_server
from providers.sample import Provider, SampleRequest

AT_ONCE = 16
MOST_ASKED = 4096
"""Prompts that are asked about at most: what is beyond them is the server's to refuse."""
MOST_NAMED = 5


async def too_long(
    provider: Provider, problems: Sequence[Problem], base: SampleRequest, notes: list[str]
) -> dict[int, str]:
    """By place in `problems`, why a prompt leaves no room for an answer; adds what to know.

    Raises ConfigError where none leaves any.
    """
    if not isinstance(provider, LaneProvider) or not own_server(provider):
        return {}
    longest = provider.context_tokens.get(base.model)
    if longest is None:
        return {}
    doubtful = [
        place for place, problem in enumerate(problems)
        if prompt_bound(problem) + base.max_tokens > longest
    ][:MOST_ASKED]  # fmt: skip
    beyond: dict[int, str] = {}
    tight = 0
    for first in range(0, len(doubtful), AT_ONCE):
        places = doubtful[first : first + AT_ONCE]
        counts = await asyncio.gather(*(_count(provider, problems[at], base) for at in places))
        if None in counts:
            break
        for place, tokens in zip(places, counts, strict=True):
            if tokens is not None and tokens >= longest:
                beyond[place] = (
                    f"its prompt has {tokens} tokens, and {base.model} takes {longest} in all, "
                    "prompt and answer together"
                )
            elif tokens is not None and tokens + base.max_tokens > longest:
                tight += 1
    if beyond and len(beyond) == len(problems):
        raise ConfigError(
            f"No prompt of the {len(problems)} problems fits: of {problems[0].id}, {beyond[0]}. "
            "Serve the model with a longer context, or give shorter prompts (--few-shot-count)."
        )
    _say(problems, base, beyond, tight, notes)
    return beyond


def _say(
    problems: Sequence[Problem], base: SampleRequest, beyond: dict[int, str], tight: int,
    notes: list[str],
) -> None:  # fmt: skip
    for place, why in list(beyond.items())[:MOST_NAMED]:
        notes.append(
            f"Problem {problems[place].id} does not fit: {why}. It is not asked, and the report "
            "counts it apart."
        )
    if len(beyond) > MOST_NAMED:
        notes.append(f"So do not {len(beyond) - MOST_NAMED} more problems.")
    if tight:
        notes.append(
            f"{tight} prompts leave less than --max-tokens {base.max_tokens} of {base.model}'s "
            "context: their answers are cut earlier, or refused."
        )


def prompt_bound(problem: Problem) -> int:
    """The most prompt tokens that one request for this problem can be billed for."""
    return prompt_token_bound(problem.texts, len(problem.messages or ()))


async def _count(provider: LaneProvider, problem: Problem, base: SampleRequest) -> int | None:
    """The tokens of a prompt by its server's own count; None where it does not count."""
    body: dict[str, object] = {"model": base.model, "prompt": problem.prompt}
    if problem.prompt is None:
        del body["prompt"]
        body |= {"messages": list(problem.messages or ()), "add_generation_prompt": True}
    try:
        answer = await provider.post_beside("/tokenize", body)
    except ProviderError:
        return None
    for name in COUNTS:
        if tokens := whole(answer.get(name)):
            return tokens
    listed = answer.get("tokens", answer.get("token_ids"))
    while isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], list):
        listed = listed[0]
    # llama.cpp counts another field, and says of what it did not read that it has no tokens.
    return len(listed) or None if isinstance(listed, list) else None


COUNTS = ("count", "num_tokens", "token_count", "total_tokens", "input_tokens", "length")
"""Where servers say how many tokens a text has."""
