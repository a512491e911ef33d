"""What is asked of the batch and what it reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One sampled token's log-probability beside the likeliest ones, best first."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class GenerationJob:
    """One request's computation."""

    prompt: tuple[int, ...]
    """At least one token; with `max_tokens` it fits the context."""
    n: int
    max_tokens: int
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    seed: int
    top_logprobs: int | None = None
    """None: no log-probabilities; otherwise how many alternatives a token."""
    streamed: bool = False
    """Whether every token is reported as it is sampled."""


@dataclass(frozen=True, slots=True)
class SampledTokens:
    """Tokens just sampled by some choices of one job that are at the same text."""

    job_id: int
    choices: tuple[int, ...]
    token: int
    finish_reason: str | None
    """`stop` or `length` with the last token."""
    text: str
    """The whole text so far; with `finish_reason` without the stop string."""
    output_tokens: int
    logprobs: tuple[TokenLogprob, ...] | None = None
    """Where asked for: one per token."""
    last: bool = False
    """Whether this completes the job."""
