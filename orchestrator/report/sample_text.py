"""A stored sample as a person reads it: a line of facts, then its text, harmless for a terminal."""

from __future__ import annotations

from orchestrator.report.text import dollars, visible
from orchestrator.store.sampled import StoredSample


def facts(one: StoredSample) -> str:
    """Problem, number, verdict, dollars, tokens, how it ended: one line."""
    parts = [f"{one.problem}, sample {one.sample}", one.verdict or "unjudged"]
    if one.answer is not None:
        parts.append(f"answer {one.answer}")
    parts.append(dollars(one.usd))
    if one.output_tokens is not None:
        parts.append(f"{one.output_tokens:,} tokens")
    parts.append(f"finish reason {one.finish_reason or 'not said'}")
    return visible(" · ".join(parts)).replace("\n", " ")


def whole(one: StoredSample) -> str:
    """The facts, the text, and why the verifier decided so."""
    said = f"\n  because: {visible(one.detail)}" if one.detail else ""
    return f"── {visible(one.arm)} · {facts(one)}\n{visible(one.text)}{said}\n"
