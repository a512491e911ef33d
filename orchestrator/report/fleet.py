"""How well a fleet was used, in one sentence: for the live view and for reports."""

from __future__ import annotations

from typing import Any

from orchestrator.report.text import dollars, percent


def fleet_sentence(fleet: dict[str, Any]) -> str:
    """From a document of session/usage.py."""
    servers = fleet["servers"]
    held_s, gpus = fleet["held_s"], fleet["gpus_each"]

    def total(name: str) -> float:
        return float(sum(server[name] for server in servers))

    used = sum(server["answers"] > 0 for server in servers)
    what = "server" if used == 1 else "servers"
    parts = [f"{used} {what}", f"{held_s * gpus / 3600:.3g} GPU-hours held"]
    worked_s, tokens = total("worked_s"), total("output_tokens")
    if held_s > 0:
        parts.append(f"GPUs worked {percent(min(1.0, worked_s / held_s))} of the time")
    if worked_s > 0:
        parts.append(f"{tokens / worked_s / gpus:,.0f} tokens/s a GPU while they worked")
    if total("places_s") > 0:
        parts.append(f"{percent(total('running_s') / total('places_s'))} of their places in use")
    most_kv = max((server["most_kv"] for server in servers), default=0.0)
    if most_kv > 0:
        parts.append(f"KV cache at most {percent(most_kv)} full")
    hits = _hits(total("prefix_hits"), total("prefix_queries")) or _hits(
        total("cached_tokens"), total("prompt_tokens")
    )
    if hits:
        parts.append(f"{hits} of prompt tokens from prefix caches")
    if fleet["usd_pico"] and tokens:
        million = fleet["usd_pico"] * 10**6 // round(tokens)
        parts.append(f"{dollars(million)} a million output tokens")
    return ", ".join(parts)


def _hits(found: float, asked: float) -> str:
    return percent(found / asked) if found and asked else ""
