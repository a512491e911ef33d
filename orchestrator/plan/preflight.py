"""What a server says of itself before anything is bought: its models, its context, its limits."""

from __future__ import annotations

from orchestrator.errors import ConfigError
from providers.errors import Overloaded, ProviderError, RateLimited
from providers.sample import Provider, SampleRequest


async def check_model(provider: Provider, name: str, base: SampleRequest, notes: list[str]) -> None:
    """Ask the server whether it is there and has the model; raises ConfigError.

    Where its list of models tells the longest context, max_tokens is held against it.
    """
    from tenacity import (
        AsyncRetrying,
        retry_if_exception_type,
        stop_after_attempt,
        wait_exponential_jitter,
    )

    patience = AsyncRetrying(
        retry=retry_if_exception_type((Overloaded, RateLimited)),
        stop=stop_after_attempt(4),
        wait=wait_exponential_jitter(multiplier=0.5, max=4, jitter=0.5),
        reraise=True,
    )
    try:
        models: list[str] = await patience(provider.models)
    except ProviderError as error:
        raise ConfigError(
            f"The server of provider {name!r} does not answer: {error}. Start it "
            "(for example `vllm serve MODEL` or `orch serve`), or correct --base-url."
        ) from None
    here = next((name for form in FORMS if (name := form.format(base.model)) in models), None)
    if models and here is None:
        shown = ", ".join(models[:20]) + (", ..." if len(models) > 20 else "")
        raise ConfigError(
            f"The server of provider {name!r} does not have the model "
            f"{base.model!r}; it has: {shown}."
        )
    longest = getattr(provider, "context_tokens", {}).get(here)
    if longest is not None and base.max_tokens >= longest:
        raise ConfigError(
            f"--max-tokens is {base.max_tokens}, and {base.model} takes {longest} tokens in all, "
            f"prompt and answer together; give a --max-tokens below {longest}."
        )
    notes += [note for note in getattr(provider, "told", []) if note not in notes]
    most = provider.capabilities.max_stop
    if most is not None and len(base.stop) > most:
        notes.append(
            f"{name} takes {most} stop strings of {len(base.stop)}: the rest is cut here, and what "
            "is written after it is paid for."
        )


FORMS = ("{}", "{}:latest", "models/{}")
"""How a list of models may call the model of a request: Ollama, Gemini."""


def say_repeats(base: SampleRequest, samples: int, notes: list[str]) -> None:
    """Without temperature every draw is the same: that is said, once."""
    if base.temperature == 0 and samples > 1:
        note = (
            f"Temperature 0 draws the same answer each time: {samples} samples of a problem say "
            "little more than one. Give a --temperature above 0, or --samples 1."
        )
        notes += [note] if note not in notes else []
